"""Uploads: what an upload address accepts, and what the store has afterwards."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from resolvers.recordings.upload import MAX_BYTES_PER_SECOND, METADATA_BYTES
from resolvers.recordings.upload_urls import sign
from tests.audio.helpers import STARTS, TYPES, audio_bytes, check_refusal, create_upload_url, read_recording, upload
from tests.conftest import Tenant

NOT_ISSUED = "This upload address was not issued by this server."
USED = "This upload address was already used."


def stored_names(folder: Path, url: str) -> list[str]:
    """Returns the names in the store of an audioUrl."""
    return [path.name for path in folder.rglob(f"{urlsplit(url).path.rpartition('/')[2]}*")]


@pytest.mark.parametrize(
    ("extension", "start"),
    [
        *STARTS.items(),
        ("mp3", b"\xff\xfb\x90\x64" + bytes(8)),
        ("wav", b"RF64\0\0\0\0WAVE"),
        ("aac", b"ADIF" + bytes(8)),
    ],
)
async def test_every_format_is_accepted(audio_tenant: Tenant, audio_folder: Path, extension: str, start: bytes) -> None:
    issued = await create_upload_url(await audio_tenant.key(), extension)
    assert issued["contentType"] == TYPES[extension]
    content = start + b"\x01" * 100
    response = await upload(issued["presignedUrl"], content, f"{TYPES[extension].upper()}; a=b")
    assert (response.status_code, response.json()) == (200, {"success": True, "message": "Audio received"})
    assert stored_names(audio_folder, issued["audioUrl"]) == [f"{issued['audioUrl'].rpartition('/')[2]}.{extension}"]
    row = await read_recording(audio_tenant.database, issued["audioUrl"])
    assert (row.state, row.size, row.note_id) == ("uploaded", len(content), None)


@pytest.mark.parametrize("extension", TYPES)
async def test_other_content_than_announced_is_refused(
    audio_tenant: Tenant, audio_folder: Path, extension: str
) -> None:
    issued = await create_upload_url(await audio_tenant.key(), extension)
    others = [start for name, start in STARTS.items() if name != extension]
    for content in (b"", b"RIFF", b"\x89PNG\r\n\x1a\n" + bytes(100), b"<html>" + bytes(100), *others):
        response = await upload(issued["presignedUrl"], content, issued["contentType"])
        assert check_refusal(response, 415, "unsupported_media_type") == f"The content is not {extension} audio."
    for content_type in ("application/json", "", "audio/ogg"):
        response = await upload(issued["presignedUrl"], audio_bytes(extension), content_type)
        assert check_refusal(response, 415, "unsupported_media_type") == f"The Content-Type must be {TYPES[extension]}."
    assert stored_names(audio_folder, issued["audioUrl"]) == []
    # The address may still be used as it was meant.
    assert (await upload(issued["presignedUrl"], audio_bytes(extension), issued["contentType"])).status_code == 200


async def test_more_bytes_than_the_duration_allows_are_refused(audio_tenant: Tenant, audio_folder: Path) -> None:
    issued = await create_upload_url(await audio_tenant.key(), duration=0.5)
    most = METADATA_BYTES + MAX_BYTES_PER_SECOND // 2

    async def unannounced(size: int) -> AsyncIterator[bytes]:
        content = audio_bytes(size=size)
        for offset in range(0, size, 65_536):
            yield content[offset : offset + 65_536]

    for content in (audio_bytes(size=most + 1), unannounced(most + 1)):
        response = await upload(issued["presignedUrl"], content)
        assert (
            check_refusal(response, 413, "payload_too_large")
            == f"Audio of the announced duration has at most {most} bytes."
        )
        assert stored_names(audio_folder, issued["audioUrl"]) == []
    assert list((audio_folder / "incoming").iterdir()) == []
    assert (await upload(issued["presignedUrl"], unannounced(most))).status_code == 200


async def test_an_interrupted_upload_can_be_repeated(audio_tenant: Tenant, audio_folder: Path) -> None:
    issued = await create_upload_url(await audio_tenant.key(), duration=60)
    offset = urlsplit(issued["presignedUrl"])
    assert offset.hostname is not None
    reader, writer = await asyncio.open_connection(offset.hostname, offset.port)
    head = f"PUT {offset.path}?{offset.query} HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"
    head += "Content-Length: 3000000\r\n\r\n"
    writer.write(head.encode() + audio_bytes(size=1_500_000))
    await writer.drain()
    incoming = audio_folder / "incoming"
    async with asyncio.timeout(30):
        while not any(part.stat().st_size for part in incoming.iterdir()):
            await asyncio.sleep(0.02)
    writer.transport.abort()
    async with asyncio.timeout(30):
        while list(incoming.iterdir()):
            await asyncio.sleep(0.02)
    assert stored_names(audio_folder, issued["audioUrl"]) == []
    assert (await read_recording(audio_tenant.database, issued["audioUrl"])).state == "awaited"
    assert (await upload(issued["presignedUrl"], audio_bytes())).status_code == 200
    assert await reader.read() == b""


async def test_only_the_issued_address_accepts_an_upload(audio_tenant: Tenant, audio_folder: Path) -> None:
    key = await audio_tenant.key()
    issued, other = await create_upload_url(key), await create_upload_url(key)
    expires, signed = issued["presignedUrl"].partition("?expires=")[2].split("&signature=")
    url = issued["audioUrl"]
    assert abs(int(expires) - time.time() - 600) < 60
    for wrong in (
        f"{url}?expires={expires}&signature={'0' * 64}",
        f"{url}?expires={int(expires) + 1}&signature={signed}",
        f"{other['audioUrl']}?expires={expires}&signature={signed}",
        f"{url.rpartition('/')[0]}/{uuid.uuid4()}?expires={expires}&signature={signed}",
        f"{url.rpartition('/')[0]}/no-id?expires={expires}&signature={signed}",
    ):
        assert check_refusal(await upload(wrong, audio_bytes()), 403, "forbidden") == NOT_ISSUED
    row = await read_recording(audio_tenant.database, url)
    past = int(time.time()) - 1
    over = await upload(f"{url}?expires={past}&signature={sign(row.upload_key, row.id, past)}", audio_bytes())
    assert check_refusal(over, 403, "forbidden") == "This upload address has expired."
    for query, field in (
        ("", "expires"),
        (f"?expires={expires}", "signature"),
        (f"?expires=x&signature={signed}", "expires"),
        (f"?expires={expires}&signature={signed.upper()}", "signature"),
        (f"?expires={2**70}&signature={signed}", "expires"),
    ):
        check_refusal(await upload(url + query, audio_bytes()), 400, "invalid_parameter", field)
    async with httpx.AsyncClient(verify=False) as anybody:
        for method in ("GET", "POST", "DELETE"):
            check_refusal(await anybody.request(method, issued["presignedUrl"]), 405, "method_not_allowed")
    assert stored_names(audio_folder, url) == []


async def test_an_address_is_used_once(audio_tenant: Tenant) -> None:
    key = await audio_tenant.key()
    for _ in range(3):
        issued = await create_upload_url(key)
        answers = await asyncio.gather(
            *(upload(issued["presignedUrl"], audio_bytes(size=200_000 + n)) for n in range(4))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        for late in [answer for answer in answers if answer.status_code == 409]:
            assert check_refusal(late, 409, "conflict") == USED
        assert check_refusal(await upload(issued["presignedUrl"], audio_bytes()), 409, "conflict") == USED


async def test_pages_of_other_origins_may_upload(audio_tenant: Tenant) -> None:
    issued = await create_upload_url(await audio_tenant.key())
    preflight_headers = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type",
    }
    async with httpx.AsyncClient(verify=False) as browser:
        allowed = await browser.options(issued["presignedUrl"], headers=preflight_headers)
    assert allowed.status_code == 200
    assert "PUT" in allowed.headers["Access-Control-Allow-Methods"]
