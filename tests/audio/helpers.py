"""Short ways to say what the tests of audio say often."""

import asyncio
import uuid
from typing import Any

import httpx
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from models import Event
from tests.support.clients import Caller

STARTS = {
    "m4a": b"\0\0\0\x20ftypM4A \0\0\0\0",
    "mp3": b"ID3\x04\0\0\0\0\0\0\0\0",
    "wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "aac": b"\xff\xf1\x50\x80\x01\x7f\xfc\0\0\0\0\0",
}
TYPES = {"m4a": "audio/mp4", "mp3": "audio/mpeg", "wav": "audio/wav", "aac": "audio/aac"}
ADDRESS = "/v1/notes/from-audio/generate-upload-url"
FROM_AUDIO = "/v1/notes/from-audio"
PATIENCE = 90.0
"""Seconds until a worker must have done something: on a busy machine it takes a while to start."""


def mark() -> bytes:
    """Something that only this recording contains."""
    return uuid.uuid4().hex.encode()


def sound(extension: str = "wav", marked: bytes = b"", size: int = 2_000) -> bytes:
    start = STARTS[extension] + marked
    return start + b"\x01" * (size - len(start))


async def address(caller: Caller, extension: str = "wav", duration: float = 12) -> dict[str, str]:
    response = await caller.http.post(ADDRESS, json={"fileExtension": extension, "duration": duration})
    assert response.status_code == 200, response.text
    given: dict[str, str] = response.json()
    return given


async def put(url: str, content: Any, content_type: str = "audio/wav", **headers: str) -> httpx.Response:
    """Without any other credential than the address."""
    async with httpx.AsyncClient(timeout=30, verify=False) as anybody:
        return await anybody.put(url, content=content, headers={"Content-Type": content_type, **headers})


async def uploaded(caller: Caller, marked: bytes = b"", extension: str = "wav", duration: float = 12) -> str:
    """The audioUrl of audio that has arrived."""
    given = await address(caller, extension, duration)
    response = await put(given["presignedUrl"], sound(extension, marked), given["contentType"])
    assert response.status_code == 200, response.text
    return given["audioUrl"]


async def made(caller: Caller, marked: bytes = b"", **body: Any) -> str:
    """The id of a note from audio that was just uploaded."""
    response = await caller.http.post(FROM_AUDIO, json={"audioUrl": await uploaded(caller, marked), **body})
    assert response.status_code == 201, response.text
    return str(response.json()["noteId"])


async def note(caller: Caller, note_id: str) -> dict[str, Any]:
    response = await caller.http.get(f"/v1/notes/{note_id}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()["note"]
    return found


async def reaches(caller: Caller, note_id: str, status: str) -> dict[str, Any]:
    """The note once it has that status."""
    try:
        async with asyncio.timeout(PATIENCE):
            while (found := await note(caller, note_id))["status"] != status:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the note never was {status}: {await note(caller, note_id)}") from None
    return found


async def told(database: AsyncEngine, note_id: str) -> list[str]:
    """The types of the note's events, without those of indexing."""
    query = select(col(Event.type)).where(col(Event.note_id) == uuid.UUID(note_id)).order_by(col(Event.seq))
    async with database.connect() as connection:
        return [kind.value for kind in (await connection.execute(query)).scalars() if kind != "note.indexed"]


async def recording(database: AsyncEngine, audio_url: str) -> Any:
    """The row behind an audioUrl, None when there is none."""
    query = text("SELECT * FROM recordings WHERE id = :id")
    async with database.connect() as connection:
        return (await connection.execute(query, {"id": audio_url.rpartition("/")[2]})).one_or_none()


async def set_recording(database: AsyncEngine, note_id: str, **values: Any) -> None:
    """Writes what no caller may, to the recording of a note."""
    names = ", ".join(f"{name} = {value}" for name, value in values.items())
    async with database.begin() as connection:
        await connection.execute(text(f"UPDATE recordings SET {names} WHERE note_id = :id"), {"id": note_id})


def error(response: httpx.Response, status: int, code: str, field: str | None = None) -> str:
    """Holds a refusal to its status, code and field; returns its text."""
    assert response.status_code == status, response.text
    body = response.json()
    message: str = body["message"]
    kind = {403: "permission_error", 409: "conflict_error", 422: "validation_error", 503: "api_error"}
    kind |= {400: "validation_error", 404: "resource_error", 401: "authentication_error"}
    shown = {"code": code, "message": message, "type": kind.get(status, "invalid_request_error")}
    shown |= {} if field is None else {"param": field}
    assert body == {"error": shown, "message": message, "code": code} | (
        {} if field is None else {"errors": body["errors"]}
    )
    assert field is None or field in body["errors"]
    return message
