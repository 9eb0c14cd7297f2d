"""Where audio is kept: a folder of this machine (on a cluster: one that all machines share), or an S3 bucket."""

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

BLOCK = 1024 * 1024
"""Bytes that are written at once."""
LISTED = 500
INCOMING = "incoming"
"""Beside the audio: uploads that are not complete."""
ABANDONED = timedelta(hours=6)
"""After so long an upload that is not complete never will be."""
MOST_SECONDS = timedelta(minutes=30)
"""For one request of an S3 store, its bytes included."""
CONNECT_SECONDS = timedelta(seconds=5)
PATIENCE = timedelta(seconds=20)
"""For how long a request that failed is tried again."""


@contextmanager
def reached() -> "Iterator[None]":
    try:
        yield
    except BaseError as error:
        # Its text may hold addresses with signatures: the class says enough.
        log.warning("storage.failed", error=type(error).__name__)
        raise Problem(ErrorCode.UNAVAILABLE, "The audio storage is unavailable.") from error


class AudioFolder:
    """A folder, which is made with a private mode. What arrives is written beside it and moved in when complete."""

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
            await asyncio.to_thread(move_in, part, self._folder / name)
        finally:
            # Also when the task was cancelled: nothing that is not complete may stay.
            part.unlink(missing_ok=True)

    async def find(self, name: str) -> StoredAudio | None:
        return await found(self._store, name)

    async def read_start(self, name: str, length: int) -> bytes:
        return await first_bytes(self._store, name, length)

    @asynccontextmanager
    async def open(self, name: str, most: int) -> AsyncIterator[Path]:  # noqa: ARG002 (it was counted)
        yield self._folder / name

    async def delete(self, names: Sequence[str]) -> None:
        await delete(self._store, names)

    async def list_all(self) -> AsyncIterator[Sequence[StoredAudio]]:
        async for batch in listed(self._store):
            yield [one for one in batch if not one.name.startswith(f"{INCOMING}/")]

    async def delete_partial_uploads(self) -> int:
        return await asyncio.to_thread(sweep, self._incoming)


class AudioBucket:
    """A bucket of S3 or of what speaks like it; callers put their bytes there themselves."""

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
            # Given as a provider: the library would else complete a key with what the environment says.
            credential_provider=credential,
            client_options={"timeout": MOST_SECONDS, "connect_timeout": CONNECT_SECONDS, "allow_http": True},
            retry_config={"max_retries": 2, "retry_timeout": PATIENCE},
        )

    async def upload_url(self, name: str, seconds: int) -> str | None:
        with reached():
            return await obstore.sign_async(self._store, "PUT", name, timedelta(seconds=seconds))

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        with reached():
            await obstore.put_async(self._store, name, chunks)

    async def find(self, name: str) -> StoredAudio | None:
        return await found(self._store, name)

    async def read_start(self, name: str, length: int) -> bytes:
        return await first_bytes(self._store, name, length)

    @asynccontextmanager
    async def open(self, name: str, most: int) -> AsyncIterator[Path]:
        with tempfile.TemporaryDirectory(prefix="caret-audio-") as folder:
            copy = Path(folder) / name.rpartition("/")[2]
            with reached():
                answer = await obstore.get_async(self._store, name)
                if answer.meta["size"] > most:
                    raise FileNotFoundError(name)
                with await asyncio.to_thread(create, copy) as file:
                    async for chunk in answer.stream(BLOCK):
                        await asyncio.to_thread(file.write, chunk)
            yield copy

    async def delete(self, names: Sequence[str]) -> None:
        await delete(self._store, names)

    async def list_all(self) -> AsyncIterator[Sequence[StoredAudio]]:
        async for batch in listed(self._store):
            yield batch

    async def delete_partial_uploads(self) -> int:
        return 0  # a PUT to S3 leaves nothing until it is complete


async def found(store: LocalStore | S3Store, name: str) -> StoredAudio | None:
    with reached():
        try:
            return stored(await obstore.head_async(store, name))
        except FileNotFoundError:
            return None


async def first_bytes(store: LocalStore | S3Store, name: str, length: int) -> bytes:
    with reached():
        return bytes(await obstore.get_range_async(store, name, start=0, length=length))


async def delete(store: LocalStore | S3Store, names: Sequence[str]) -> None:
    with reached():
        for name in names:
            try:
                await obstore.delete_async(store, name)
            except FileNotFoundError:
                continue


async def listed(store: LocalStore | S3Store) -> AsyncIterator[Sequence[StoredAudio]]:
    with reached():
        async for batch in obstore.list(store, chunk_size=LISTED):
            yield [stored(meta) for meta in batch]


def stored(meta: "ObjectMeta") -> StoredAudio:
    return StoredAudio(meta["path"], meta["size"], meta["last_modified"])


async def blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces that are worth a thread's while."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        if len(gathered) >= BLOCK:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def move_in(part: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    # A link and not a rename: of two uploads to one address the first that is complete stays.
    os.link(part, target)


def sweep(folder: Path) -> int:
    """Removes what is older than any upload that still runs."""
    limit, removed = time.time() - ABANDONED.total_seconds(), 0
    for part in folder.iterdir():
        if part.stat().st_mtime < limit:
            part.unlink(missing_ok=True)
            removed += 1
    return removed
