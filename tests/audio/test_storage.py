"""The store of a folder, and that of an S3 bucket, against a real S3 API on loopback."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # moto's, for the tests only
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.adapters.audio_storage import AudioBucket, AudioFolder
from caret.adapters.postgres import create_engine
from caret.settings import Settings
from caret.wiring import open_context
from resolvers import recordings
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.ports.audio import AudioStore
from tests.audio.helpers import (
    FROM_AUDIO,
    audio_bytes,
    check_refusal,
    create_note_from_audio,
    create_upload_url,
    new_marker,
    read_recording,
    upload,
    upload_audio,
    wait_for_status,
)
from tests.conftest import Services, Tenant, make_tenant
from tests.support.databases import migrated_database
from tests.support.servers import SECRET, RunningServer, running_server
from tests.support.transcriber import ScriptedResponse, ScriptedTranscriber

KEYS = {"access_key_id": "id", "secret_access_key": SecretStr("secret")}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket="notes")
    client.close()
    yield url
    server.stop()


def bucket(endpoint: str) -> AudioBucket:
    return AudioBucket("s3://notes/some/prefix", endpoint=endpoint, region="us-east-1", **KEYS)  # type: ignore[arg-type]


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3: str) -> AudioStore:
    return AudioFolder(tmp_path / "audio") if request.param == "folder" else bucket(s3)


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def everything(store: AudioStore) -> dict[str, int]:
    return {one.name: one.size async for batch in store.list_all() for one in batch}


async def test_a_store_returns_what_was_written(store: AudioStore) -> None:
    name = f"w/{new_marker().decode()}.wav"
    assert await store.find(name) is None
    content = os.urandom(3_000_000)
    await store.write(name, chunks(content[:1], content[1:2_000_000], b"", content[2_000_000:]))
    stored = await store.find(name)
    assert stored is not None
    assert (stored.name, stored.size) == (name, 3_000_000)
    assert abs(stored.stored_at.timestamp() - time.time()) < 60
    assert await store.read_start(name, 12) == content[:12]
    async with store.open(name, 3_000_000) as path:
        assert path.name == name[2:]
        assert path.read_bytes() == content
    assert (await everything(store))[name] == 3_000_000
    await store.delete([name, "w/never.wav"])
    assert await store.find(name) is None
    assert name not in await everything(store)


async def test_an_interrupted_upload_leaves_nothing(store: AudioStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        raise ConnectionResetError("scripted")

    name = f"w/{new_marker().decode()}.wav"
    with pytest.raises(ConnectionResetError):
        await store.write(name, broken())
    assert await store.find(name) is None


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.rglob("*")}


async def test_a_folder_is_private_and_keeps_the_first_upload(tmp_path: Path) -> None:
    folder = AudioFolder(tmp_path / "audio")
    await folder.write("w/a.wav", chunks(b"first"))
    with pytest.raises(FileExistsError):
        await folder.write("w/a.wav", chunks(b"second"))
    assert modes(tmp_path) == {"audio": "0o700", "incoming": "0o700", "w": "0o700", "a.wav": "0o600"}
    assert await folder.upload_url("w/a.wav", 600) is None


async def test_partial_uploads_of_a_killed_process_are_deleted(tmp_path: Path) -> None:
    folder = AudioFolder(tmp_path / "audio")
    for name, age in (("old", 7 * 3600), ("new", 3600)):
        part = tmp_path / "audio" / "incoming" / name
        part.write_bytes(b"x")
        os.utime(part, (time.time() - age, time.time() - age))
    assert await folder.delete_partial_uploads() == 1
    assert [part.name for part in (tmp_path / "audio" / "incoming").iterdir()] == ["new"]


async def test_an_unreachable_bucket_is_an_outage() -> None:
    away = bucket("http://127.0.0.1:9")
    with pytest.raises(Problem) as caught:
        await away.find("w/a.wav")
    assert (caught.value.code, caught.value.message) == (ErrorCode.UNAVAILABLE, "The audio storage is unavailable.")


@pytest.fixture
async def s3_settings(
    services: Services, transcriber_settings: dict[str, str], s3: str, tmp_path: Path
) -> AsyncIterator[tuple[RunningServer, AsyncEngine]]:
    """A server with a bucket, and its database of its own: the workers of other servers have no such bucket."""
    keys = {"storage_access_key_id": "id", "storage_secret_access_key": "secret"}
    bucket_settings = {
        "storage_url": "s3://notes/audio",
        "storage_endpoint": s3,
        "public_url": "https://caret.example/",
    }
    async with migrated_database(services.database_url) as url:
        tables = create_engine(url)
        settings = {
            **services.settings,
            **transcriber_settings,
            **keys,
            **bucket_settings,
            "database_url": url,
            "data_dir": str(tmp_path),
        }
        with running_server(**settings) as served:
            yield served, tables
        await tables.dispose()


async def test_audio_goes_directly_to_a_bucket(
    s3_settings: tuple[RunningServer, AsyncEngine], transcriber: ScriptedTranscriber, s3: str
) -> None:
    """The bytes go to the bucket itself, and are checked when the note is created."""
    tenant = await make_tenant(*s3_settings)
    key, marker = await tenant.key(), new_marker()
    issued = await create_upload_url(key)
    assert issued["presignedUrl"].startswith(f"{s3}/notes/audio/{tenant.id}/")
    assert issued["audioUrl"].startswith("https://caret.example/v1/uploads/")
    refused = await key.http.post(FROM_AUDIO, json={"audioUrl": issued["audioUrl"]})
    assert check_refusal(refused, 422, "unprocessable", "audioUrl") == "The audio has not been uploaded."
    for content, reason in (
        (b"<html>" + bytes(100), "The content is not wav audio."),
        (b"", "The content is not wav audio."),
        (
            audio_bytes(size=1024 * 1024 + 12 * 400_000 + 1),
            "Audio of the announced duration has at most 5848576 bytes.",
        ),
    ):
        assert (await upload(issued["presignedUrl"], content)).status_code == 200
        refused = await key.http.post(FROM_AUDIO, json={"audioUrl": issued["audioUrl"]})
        assert check_refusal(refused, 422, "unprocessable", "audioUrl") == reason
    transcriber.on(marker, ScriptedResponse())
    content = audio_bytes(marker=marker, size=3_000_000)
    assert (await upload(issued["presignedUrl"], content)).status_code == 200
    answer = await key.http.post(FROM_AUDIO, json={"audioUrl": issued["audioUrl"]})
    assert answer.status_code == 201, answer.text
    stored = await wait_for_status(key, answer.json()["noteId"], "completed")
    assert [one["text"] for one in stored["transcripts"]] == ["We move in May.", "Ann rents the van."]
    assert transcriber.requests_with(marker)[0].size == len(content)
    await key.close()


@pytest.fixture
async def ctx(services: Services, tmp_path: Path) -> AsyncIterator[Context]:
    settings = Settings(
        database_url=services.database_url, nats_url=services.nats_url, jwt_secret=SecretStr(SECRET), data_dir=tmp_path
    )
    async with open_context(settings) as context:
        yield context


async def test_unused_and_orphaned_audio_is_deleted(
    ctx: Context, audio_tenant: Tenant, audio_folder: Path, database: AsyncEngine, tmp_path: Path
) -> None:
    """Unused audio is deleted in time, and audio of a deleted note; audio of a note stays."""
    key = await audio_tenant.key()
    old, new, awaited = await upload_audio(key), await upload_audio(key), (await create_upload_url(key))["audioUrl"]
    note_id = await create_note_from_audio(key)
    deleted_id = await create_note_from_audio(key)
    for one in (note_id, deleted_id):
        await wait_for_status(key, one, "completed")
    here = Context(**{**vars(ctx), "audio": type(ctx.audio)(AudioFolder(audio_folder), None, None)})
    async with database.begin() as connection:
        past = text("UPDATE recordings SET created_at = now() - interval '61 min' WHERE id IN (:a, :b)")
        await connection.execute(past, {"a": old.rpartition("/")[2], "b": awaited.rpartition("/")[2]})
        query = text("SELECT id FROM recordings WHERE note_id = :id")
        used = str((await connection.execute(query, {"id": note_id})).scalar_one())
        lost = str((await connection.execute(query, {"id": deleted_id})).scalar_one())
    while await recordings.delete_unused_audio(here):
        pass
    assert [await read_recording(database, url) is None for url in (old, awaited, new)] == [True, True, False]
    assert (await key.http.delete(f"/v1/notes/{deleted_id}")).status_code == 200
    stray = audio_folder / "notes.txt"
    stray.write_text("not ours")
    assert await recordings.delete_orphaned_audio(here) == 0
    stored_names = {path.stem for path in (audio_folder / str(audio_tenant.id)).iterdir()}
    assert stored_names == {new.rpartition("/")[2], used}
    assert lost not in stored_names
    assert stray.exists()
    stray.unlink()
    refused = await key.http.post(FROM_AUDIO, json={"audioUrl": old})
    check_refusal(refused, 422, "unprocessable", "audioUrl")


async def test_the_upload_address_has_the_host_of_the_request(audio_tenant: Tenant) -> None:
    """Without CARET_PUBLIC_URL it has the host of the request; a proxy on this machine may set https."""
    key = await audio_tenant.key()
    forwarded = {"Host": "caret.example:8443", "X-Forwarded-Proto": "https"}
    body = {"fileExtension": "wav", "duration": 1}
    answer = await key.http.post("/v1/notes/from-audio/generate-upload-url", json=body, headers=forwarded)
    assert answer.json()["audioUrl"].startswith("https://caret.example:8443/v1/uploads/")
