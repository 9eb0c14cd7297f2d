"""Helpers of the tests of recordings."""

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
TIMEOUT_SECONDS = 90.0
"""Time until a worker must have done its work; on a busy machine it starts slowly."""


def new_marker() -> bytes:
    """Bytes that only this recording contains."""
    return uuid.uuid4().hex.encode()


def audio_bytes(extension: str = "wav", marker: bytes = b"", size: int = 2_000) -> bytes:
    start = STARTS[extension] + marker
    return start + b"\x01" * (size - len(start))


async def create_upload_url(caller: Caller, extension: str = "wav", duration: float = 12) -> dict[str, str]:
    response = await caller.http.post(ADDRESS, json={"fileExtension": extension, "duration": duration})
    assert response.status_code == 200, response.text
    issued: dict[str, str] = response.json()
    return issued


async def upload(url: str, content: Any, content_type: str = "audio/wav", **headers: str) -> httpx.Response:
    """Uploads with no other credential than the address."""
    async with httpx.AsyncClient(timeout=30, verify=False) as anybody:
        return await anybody.put(url, content=content, headers={"Content-Type": content_type, **headers})


async def upload_audio(caller: Caller, marker: bytes = b"", extension: str = "wav", duration: float = 12) -> str:
    """Uploads audio; returns its audioUrl."""
    issued = await create_upload_url(caller, extension, duration)
    response = await upload(issued["presignedUrl"], audio_bytes(extension, marker), issued["contentType"])
    assert response.status_code == 200, response.text
    return issued["audioUrl"]


async def create_note_from_audio(caller: Caller, marker: bytes = b"", **body: Any) -> str:
    """Creates a note from new audio; returns its id."""
    response = await caller.http.post(FROM_AUDIO, json={"audioUrl": await upload_audio(caller, marker), **body})
    assert response.status_code == 201, response.text
    return str(response.json()["noteId"])


async def read_note(caller: Caller, note_id: str) -> dict[str, Any]:
    response = await caller.http.get(f"/v1/notes/{note_id}")
    assert response.status_code == 200, response.text
    note: dict[str, Any] = response.json()["note"]
    return note


async def wait_for_status(caller: Caller, note_id: str, status: str) -> dict[str, Any]:
    """Returns the note once it has that status."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (note := await read_note(caller, note_id))["status"] != status:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the note never was {status}: {await read_note(caller, note_id)}") from None
    return note


async def read_event_types(database: AsyncEngine, note_id: str) -> list[str]:
    """Returns the types of the note's events, without those of indexing."""
    query = select(col(Event.type)).where(col(Event.note_id) == uuid.UUID(note_id)).order_by(col(Event.seq))
    async with database.connect() as connection:
        return [kind.value for kind in (await connection.execute(query)).scalars() if kind != "note.indexed"]


async def read_recording(database: AsyncEngine, audio_url: str) -> Any:
    """Returns the row of an audioUrl, None if there is none."""
    query = text("SELECT * FROM recordings WHERE id = :id")
    async with database.connect() as connection:
        return (await connection.execute(query, {"id": audio_url.rpartition("/")[2]})).one_or_none()


async def set_recording(database: AsyncEngine, note_id: str, **values: Any) -> None:
    """Writes columns of a note's recording that no caller can write."""
    names = ", ".join(f"{name} = {value}" for name, value in values.items())
    async with database.begin() as connection:
        await connection.execute(text(f"UPDATE recordings SET {names} WHERE note_id = :id"), {"id": note_id})


def check_refusal(response: httpx.Response, status: int, code: str, field: str | None = None) -> str:
    """Checks a refusal's status, code and field; returns its text."""
    assert response.status_code == status, response.text
    body = response.json()
    message: str = body["message"]
    kind = {403: "permission_error", 409: "conflict_error", 422: "validation_error", 503: "api_error"}
    kind |= {400: "validation_error", 404: "resource_error", 401: "authentication_error"}
    details = {"code": code, "message": message, "type": kind.get(status, "invalid_request_error")}
    details |= {} if field is None else {"param": field}
    assert body == {"error": details, "message": message, "code": code} | (
        {} if field is None else {"errors": body["errors"]}
    )
    assert field is None or field in body["errors"]
    return message
