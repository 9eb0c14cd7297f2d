"""What may be put to an upload address, and what is left of it."""

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
from tests.audio.helpers import STARTS, TYPES, address, error, put, recording, sound
from tests.conftest import Tenant

NOT_GIVEN = "This upload address was not issued by this server."
USED = "This upload address was already used."


def kept(folder: Path, url: str) -> list[str]:
    """What the store has of an address."""
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
async def test_each_kind_is_taken(audio_tenant: Tenant, audio_folder: Path, extension: str, start: bytes) -> None:
    given = await address(await audio_tenant.key(), extension)
    assert given["contentType"] == TYPES[extension]
    content = start + b"\x01" * 100
    response = await put(given["presignedUrl"], content, f"{TYPES[extension].upper()}; a=b")
    assert (response.status_code, response.json()) == (200, {"success": True, "message": "Audio received"})
    assert kept(audio_folder, given["audioUrl"]) == [f"{given['audioUrl'].rpartition('/')[2]}.{extension}"]
    row = await recording(audio_tenant.database, given["audioUrl"])
    assert (row.state, row.size, row.note_id) == ("uploaded", len(content), None)


@pytest.mark.parametrize("extension", TYPES)
async def test_another_kind_is_not(audio_tenant: Tenant, audio_folder: Path, extension: str) -> None:
    given = await address(await audio_tenant.key(), extension)
    others = [start for name, start in STARTS.items() if name != extension]
    for content in (b"", b"RIFF", b"\x89PNG\r\n\x1a\n" + bytes(100), b"<html>" + bytes(100), *others):
        response = await put(given["presignedUrl"], content, given["contentType"])
        assert error(response, 415, "unsupported_media_type") == f"The content is not {extension} audio."
    for said in ("application/json", "", "audio/ogg"):
        response = await put(given["presignedUrl"], sound(extension), said)
        assert error(response, 415, "unsupported_media_type") == f"The Content-Type must be {TYPES[extension]}."
    assert kept(audio_folder, given["audioUrl"]) == []
    # The address may still be used as it was meant.
    assert (await put(given["presignedUrl"], sound(extension), given["contentType"])).status_code == 200


async def test_no_more_bytes_than_the_duration_may_have(audio_tenant: Tenant, audio_folder: Path) -> None:
    given = await address(await audio_tenant.key(), duration=0.5)
    most = METADATA_BYTES + MAX_BYTES_PER_SECOND // 2

    async def unannounced(size: int) -> AsyncIterator[bytes]:
        content = sound(size=size)
        for place in range(0, size, 65_536):
            yield content[place : place + 65_536]

    for content in (sound(size=most + 1), unannounced(most + 1)):
        response = await put(given["presignedUrl"], content)
        assert error(response, 413, "payload_too_large") == f"Audio of the announced duration has at most {most} bytes."
        assert kept(audio_folder, given["audioUrl"]) == []
    assert list((audio_folder / "incoming").iterdir()) == []
    assert (await put(given["presignedUrl"], unannounced(most))).status_code == 200


async def test_what_is_broken_off_leaves_nothing(audio_tenant: Tenant, audio_folder: Path) -> None:
    given = await address(await audio_tenant.key(), duration=60)
    place = urlsplit(given["presignedUrl"])
    assert place.hostname is not None
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"PUT {place.path}?{place.query} HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n"
    head += "Content-Length: 3000000\r\n\r\n"
    writer.write(head.encode() + sound(size=1_500_000))
    await writer.drain()
    incoming = audio_folder / "incoming"
    async with asyncio.timeout(30):
        while not any(part.stat().st_size for part in incoming.iterdir()):
            await asyncio.sleep(0.02)
    writer.transport.abort()
    async with asyncio.timeout(30):
        while list(incoming.iterdir()):
            await asyncio.sleep(0.02)
    assert kept(audio_folder, given["audioUrl"]) == []
    assert (await recording(audio_tenant.database, given["audioUrl"])).state == "awaited"
    assert (await put(given["presignedUrl"], sound())).status_code == 200
    assert await reader.read() == b""


async def test_only_the_address_itself_opens_the_way(audio_tenant: Tenant, audio_folder: Path) -> None:
    key = await audio_tenant.key()
    given, other = await address(key), await address(key)
    expires, signed = given["presignedUrl"].partition("?expires=")[2].split("&signature=")
    url = given["audioUrl"]
    assert abs(int(expires) - time.time() - 600) < 60
    for wrong in (
        f"{url}?expires={expires}&signature={'0' * 64}",
        f"{url}?expires={int(expires) + 1}&signature={signed}",
        f"{other['audioUrl']}?expires={expires}&signature={signed}",
        f"{url.rpartition('/')[0]}/{uuid.uuid4()}?expires={expires}&signature={signed}",
        f"{url.rpartition('/')[0]}/no-id?expires={expires}&signature={signed}",
    ):
        assert error(await put(wrong, sound()), 403, "forbidden") == NOT_GIVEN
    row = await recording(audio_tenant.database, url)
    past = int(time.time()) - 1
    over = await put(f"{url}?expires={past}&signature={sign(row.upload_key, row.id, past)}", sound())
    assert error(over, 403, "forbidden") == "This upload address has expired."
    for query, field in (
        ("", "expires"),
        (f"?expires={expires}", "signature"),
        (f"?expires=x&signature={signed}", "expires"),
        (f"?expires={expires}&signature={signed.upper()}", "signature"),
        (f"?expires={2**70}&signature={signed}", "expires"),
    ):
        error(await put(url + query, sound()), 400, "invalid_parameter", field)
    async with httpx.AsyncClient(verify=False) as anybody:
        for method in ("GET", "POST", "DELETE"):
            error(await anybody.request(method, given["presignedUrl"]), 405, "method_not_allowed")
    assert kept(audio_folder, url) == []


async def test_an_address_is_used_once(audio_tenant: Tenant) -> None:
    key = await audio_tenant.key()
    for _ in range(3):
        given = await address(key)
        answers = await asyncio.gather(*(put(given["presignedUrl"], sound(size=200_000 + n)) for n in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        for late in [answer for answer in answers if answer.status_code == 409]:
            assert error(late, 409, "conflict") == USED
        assert error(await put(given["presignedUrl"], sound()), 409, "conflict") == USED


async def test_a_page_elsewhere_may_upload(audio_tenant: Tenant) -> None:
    given = await address(await audio_tenant.key())
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type",
    }
    async with httpx.AsyncClient(verify=False) as browser:
        allowed = await browser.options(given["presignedUrl"], headers=asked)
    assert allowed.status_code == 200
    assert "PUT" in allowed.headers["Access-Control-Allow-Methods"]
