"""Receiving an upload: content that is not as announced is refused before any of it is stored."""

import asyncio
import time
from collections.abc import AsyncIterator

from sqlalchemy import func, select, update
from sqlmodel import col

from models import Recording
from models.base import Record
from models.limits import limit
from models.recording import RecordingState
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem, bad_input
from resolvers.recordings.audio_format import SIGNATURE_BYTES, has_format
from resolvers.recordings.upload_urls import UploadSignature, is_signed, storage_name

MAX_AUDIO_BYTES = limit(
    500 * 1024 * 1024, "Size of a recording", area="Audio", unit="bytes", beyond="`PAYLOAD_TOO_LARGE`, 413"
)
MAX_BYTES_PER_SECOND = limit(
    400_000,
    "Size of a recording per second of its duration, beyond the first MiB",
    area="Audio",
    unit="bytes",
    beyond="`PAYLOAD_TOO_LARGE`, 413",
)
"""96,000 samples of 16 bits in two channels are 384,000 bytes."""
METADATA_BYTES = 1024 * 1024
"""Bytes that a recording may have beyond its samples, for tags and pictures."""
STALL_TIMEOUT_SECONDS = limit(
    60, "Time without data during an upload", area="Audio", unit="seconds", beyond="`BAD_USER_INPUT`, 400"
)


def max_bytes(duration: float) -> int:
    """Returns the largest size of a recording of so many seconds."""
    return min(MAX_AUDIO_BYTES, METADATA_BYTES + int(duration * MAX_BYTES_PER_SECOND))


async def receive_upload(
    ctx: Context, upload: UploadSignature, content_type: str, announced: int, chunks: AsyncIterator[bytes]
) -> None:
    """Stores the content of an upload. `announced` is its length according to the request, 0 if the request had none.

    Raises FORBIDDEN for an address that was not issued or has expired, CONFLICT for one that was used,
    UNSUPPORTED_MEDIA_TYPE for content of another type than was announced, PAYLOAD_TOO_LARGE, BAD_USER_INPUT.
    """
    recording = await _find_expected(ctx, upload)
    if content_type != recording.content_type:
        raise Problem(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"The Content-Type must be {recording.content_type}.")
    limit_bytes = max_bytes(recording.duration_sec)
    if announced > limit_bytes:
        raise too_large(limit_bytes)
    size = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal size
        async for chunk in _check_format(_check_stall(chunks), recording.extension):
            size += len(chunk)
            if size > limit_bytes:
                raise too_large(limit_bytes)
            yield chunk

    try:
        await ctx.audio.store.write(storage_name(recording), counted())
    except FileExistsError:
        raise _already_used() from None
    await _mark_uploaded(ctx, recording, size)


async def _find_expected(ctx: Context, upload: UploadSignature) -> Record:
    """Returns the recording that waits for this upload."""
    async with ctx.read() as tx:
        query = select(Recording).where(col(Recording.id) == upload.recording_id)
        recording = (await tx.execute(query)).one_or_none()
    # The text is the same whether the recording exists or not, so that guesses reveal nothing.
    if recording is None or not is_signed(recording.upload_key, upload):
        raise Problem(ErrorCode.FORBIDDEN, "This upload address was not issued by this server.")
    if upload.expires < time.time():
        raise Problem(ErrorCode.FORBIDDEN, "This upload address has expired.")
    if recording.state is not RecordingState.AWAITED:
        raise _already_used()
    return recording


async def _mark_uploaded(ctx: Context, recording: Record, size: int) -> None:
    values = {"state": RecordingState.UPLOADED, "size": size, "updated_at": func.now()}
    is_awaited = (col(Recording.id) == recording.id, col(Recording.state) == RecordingState.AWAITED)
    async with ctx.transaction() as tx:
        await tx.execute(update(Recording).where(*is_awaited).values(values))


def _already_used() -> Problem:
    return Problem(ErrorCode.CONFLICT, "This upload address was already used.")


def too_large(limit_bytes: int) -> Problem:
    return Problem(ErrorCode.PAYLOAD_TOO_LARGE, f"Audio of the announced duration has at most {limit_bytes} bytes.")


def wrong_format(extension: str) -> str:
    return f"The content is not {extension} audio."


async def _check_format(chunks: AsyncIterator[bytes], extension: str) -> AsyncIterator[bytes]:
    """Yields the same bytes. Raises UNSUPPORTED_MEDIA_TYPE if the first ones are not those of the format."""
    start = b""
    async for chunk in chunks:
        start += chunk
        if len(start) >= SIGNATURE_BYTES:
            break
    if not has_format(extension, start):
        raise Problem(ErrorCode.UNSUPPORTED_MEDIA_TYPE, wrong_format(extension))
    yield start
    async for chunk in chunks:
        yield chunk


async def _check_stall(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the same bytes. Raises BAD_USER_INPUT if none arrive for too long."""
    while True:
        try:
            async with asyncio.timeout(STALL_TIMEOUT_SECONDS):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise bad_input("body", f"No data arrived for {STALL_TIMEOUT_SECONDS} seconds.") from None
        yield chunk
