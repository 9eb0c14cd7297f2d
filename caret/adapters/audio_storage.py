"""Stores audio: in a folder of this machine (on a cluster: one that all machines share), or in an S3 bucket."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store
from pydantic import SecretStr

from models.base import new_id
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.ports.audio import StoredAudio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import ObjectMeta
    from obstore.store import S3Credential

log = structlog.get_logger()

BLOCK_BYTES = 1024 * 1024
"""Written at once."""
PAGE_SIZE = 500
"""Entries of one listing."""
INCOMING = "incoming"
"""The folder of uploads that are not complete, beside the audio."""
ABANDONED_AFTER = timedelta(hours=6)
"""An upload that is not complete after so long will never be."""
REQUEST_TIMEOUT = timedelta(minutes=30)
"""For one request to a bucket, its bytes included."""
CONNECT_TIMEOUT = timedelta(seconds=5)
RETRY_TIMEOUT = timedelta(seconds=20)
"""For so long a failed request is retried."""


@contextmanager
def unavailable_on_failure() -> "Iterator[None]":
    try:
        yield
    except BaseError as error:
        # The text may contain URLs with signatures; the class is enough.
        log.warning("storage.failed", error=type(error).__name__)
        raise Problem(ErrorCode.UNAVAILABLE, "The audio storage is unavailable.") from error


class AudioFolder:
    """A folder of mode 0700. Uploads are written beside the audio, and moved to it when they are complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._incoming = self._folder / INCOMING
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self._store = LocalStore(self._folder, automatic_cleanup=False)

    async def upload_url(self, name: str, seconds: int) -> str | None:  # noqa: ARG002 (the protocol's)
        return None

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        part = self._incoming / str(new_id())
        try:
            file = await asyncio.to_thread(create, part)
            try:
                async for block in blocks(chunks):
                    await asyncio.to_thread(file.write, block)
                await asyncio.to_thread(sync, file)
            finally:
                await asyncio.to_thread(file.close)
            await asyncio.to_thread(publish_file, part, self._folder / name)
        finally:
            # Also when the task was cancelled: no incomplete file may stay.
            part.unlink(missing_ok=True)

    async def find(self, name: str) -> StoredAudio | None:
        return await find(self._store, name)

    async def read_start(self, name: str, length: int) -> bytes:
        return await first_bytes(self._store, name, length)

    @asynccontextmanager
    async def open(self, name: str, most: int) -> AsyncIterator[Path]:  # noqa: ARG002 (a file of our own)
        yield self._folder / name

    async def delete(self, names: Sequence[str]) -> None:
        await delete(self._store, names)

    async def list_all(self) -> AsyncIterator[Sequence[StoredAudio]]:
        async for batch in list_entries(self._store):
            yield [entry for entry in batch if not entry.name.startswith(f"{INCOMING}/")]

    async def delete_partial_uploads(self) -> int:
        return await asyncio.to_thread(delete_abandoned, self._incoming)


class AudioBucket:
    """A bucket of S3 or of a compatible service; callers upload to it themselves."""

    def __init__(
        self, url: str, *, endpoint: str | None, region: str, access_key_id: str, secret_access_key: SecretStr
    ) -> None:
        address = urlsplit(url)

        def credential() -> "S3Credential":
            return {
                "access_key_id": access_key_id,
                "secret_access_key": secret_access_key.get_secret_value(),
                "token": None,
                "expires_at": None,
            }

        self._store = S3Store(
            address.netloc,
            prefix=address.path.strip("/") or None,
            config={"region": region, **({"endpoint": endpoint} if endpoint else {})},
            # As a provider, because the library would otherwise complete a key from the environment.
            credential_provider=credential,
            client_options={"timeout": REQUEST_TIMEOUT, "connect_timeout": CONNECT_TIMEOUT, "allow_http": True},
            retry_config={"max_retries": 2, "retry_timeout": RETRY_TIMEOUT},
        )

    async def upload_url(self, name: str, seconds: int) -> str | None:
        with unavailable_on_failure():
            return await obstore.sign_async(self._store, "PUT", name, timedelta(seconds=seconds))

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        with unavailable_on_failure():
            await obstore.put_async(self._store, name, chunks)

    async def find(self, name: str) -> StoredAudio | None:
        return await find(self._store, name)

    async def read_start(self, name: str, length: int) -> bytes:
        return await first_bytes(self._store, name, length)

    @asynccontextmanager
    async def open(self, name: str, most: int) -> AsyncIterator[Path]:
        with tempfile.TemporaryDirectory(prefix="caret-audio-") as folder:
            copy = Path(folder) / name.rpartition("/")[2]
            with unavailable_on_failure():
                response = await obstore.get_async(self._store, name)
                if response.meta["size"] > most:
                    raise FileNotFoundError(name)
                with await asyncio.to_thread(create, copy) as file:
                    async for chunk in response.stream(BLOCK_BYTES):
                        await asyncio.to_thread(file.write, chunk)
            yield copy

    async def delete(self, names: Sequence[str]) -> None:
        await delete(self._store, names)

    async def list_all(self) -> AsyncIterator[Sequence[StoredAudio]]:
        async for batch in list_entries(self._store):
            yield batch

    async def delete_partial_uploads(self) -> int:
        return 0  # a PUT to S3 leaves nothing until it is complete


async def find(store: LocalStore | S3Store, name: str) -> StoredAudio | None:
    with unavailable_on_failure():
        try:
            return stored(await obstore.head_async(store, name))
        except FileNotFoundError:
            return None


async def first_bytes(store: LocalStore | S3Store, name: str, length: int) -> bytes:
    with unavailable_on_failure():
        return bytes(await obstore.get_range_async(store, name, start=0, length=length))


async def delete(store: LocalStore | S3Store, names: Sequence[str]) -> None:
    with unavailable_on_failure():
        for name in names:
            try:
                await obstore.delete_async(store, name)
            except FileNotFoundError:
                continue


async def list_entries(store: LocalStore | S3Store) -> AsyncIterator[Sequence[StoredAudio]]:
    with unavailable_on_failure():
        async for batch in obstore.list(store, chunk_size=PAGE_SIZE):
            yield [stored(meta) for meta in batch]


def stored(meta: "ObjectMeta") -> StoredAudio:
    return StoredAudio(meta["path"], meta["size"], meta["last_modified"])


async def blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces that are large enough for a thread's work."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) >= BLOCK_BYTES:
            yield bytes(buffer)
            buffer.clear()
    yield bytes(buffer)


def create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def publish_file(part: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    # A link, not a rename: of two uploads to one address the first complete one stays.
    os.link(part, target)


def delete_abandoned(folder: Path) -> int:
    """Deletes what is older than any running upload; returns how many."""
    oldest, deleted = time.time() - ABANDONED_AFTER.total_seconds(), 0
    for part in folder.iterdir():
        if part.stat().st_mtime < oldest:
            part.unlink(missing_ok=True)
            deleted += 1
    return deleted
