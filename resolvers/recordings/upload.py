"""The bytes of an upload, on their way into the store: what is not as promised is refused before any of it is kept."""

import asyncio
import time
from collections.abc import AsyncIterator

from sqlalchemy import func, select, update
from sqlmodel import col

from models import Recording
from models.base import Record
from models.recording import RecordingState
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem, bad_input
from resolvers.recordings.audio_format import ENOUGH, is_it
from resolvers.recordings.upload_urls import UploadSignature, is_signed, name_of

MAX_AUDIO = 500 * 1024 * 1024
"""Bytes of one recording."""
MOST_PER_SECOND = 400_000
"""Bytes that a second of audio can be: 96,000 samples of 16 bits in two channels are 384,000."""
SPARE = 1024 * 1024
"""Bytes beyond that for tags and pictures."""
SILENCE = 60.0
"""Seconds that an upload may stand still."""


def most(duration: float) -> int:
    """The most bytes that a recording of so many seconds may have."""
    return min(MAX_AUDIO, SPARE + int(duration * MOST_PER_SECOND))


async def receive_upload(
    ctx: Context, ticket: UploadSignature, content_type: str, announced: int, chunks: AsyncIterator[bytes]
) -> None:
    """Keeps the bytes of an upload. `announced` is the length that was told in advance, 0 where none was.

    Raises FORBIDDEN for an address that was not given out or is over, CONFLICT for one that was used,
    UNSUPPORTED_MEDIA_TYPE for another kind of content than was promised, PAYLOAD_TOO_LARGE, BAD_USER_INPUT.
    """
    recording = await admitted(ctx, ticket)
    if content_type != recording.content_type:
        raise Problem(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"The Content-Type must be {recording.content_type}.")
    limit = most(recording.duration_sec)
    if announced > limit:
        raise too_large(limit)
    size = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal size
        async for chunk in begun(steady(chunks), recording.extension):
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            yield chunk

    try:
        await ctx.audio.store.write(name_of(recording), counted())
    except FileExistsError:
        raise used() from None
    arrived = {"state": RecordingState.UPLOADED, "size": size, "updated_at": func.now()}
    awaited = (col(Recording.id) == recording.id, col(Recording.state) == RecordingState.AWAITED)
    async with ctx.transaction() as tx:
        await tx.execute(update(Recording).where(*awaited).values(arrived))


async def admitted(ctx: Context, ticket: UploadSignature) -> Record:
    async with ctx.read() as tx:
        query = select(Recording).where(col(Recording.id) == ticket.recording_id)
        recording = (await tx.execute(query)).one_or_none()
    # The same words whether there is such a recording or not: a guess reveals nothing.
    if recording is None or not is_signed(recording.upload_key, ticket):
        raise Problem(ErrorCode.FORBIDDEN, "This upload address was not given out by this server.")
    if ticket.expires < time.time():
        raise Problem(ErrorCode.FORBIDDEN, "This upload address has expired.")
    if recording.state is not RecordingState.AWAITED:
        raise used()
    return recording


def used() -> Problem:
    return Problem(ErrorCode.CONFLICT, "This upload address was used already.")


def too_large(limit: int) -> Problem:
    return Problem(ErrorCode.PAYLOAD_TOO_LARGE, f"Audio of the announced duration has at most {limit} bytes.")


def not_that_kind(extension: str) -> str:
    return f"These bytes are no {extension} audio."


async def begun(chunks: AsyncIterator[bytes], extension: str) -> AsyncIterator[bytes]:
    """The same bytes, once their first ones are those of such audio."""
    start = b""
    async for chunk in chunks:
        start += chunk
        if len(start) >= ENOUGH:
            break
    if not is_it(extension, start):
        raise Problem(ErrorCode.UNSUPPORTED_MEDIA_TYPE, not_that_kind(extension))
    yield start
    async for chunk in chunks:
        yield chunk


async def steady(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes, as long as some keep coming."""
    while True:
        try:
            async with asyncio.timeout(SILENCE):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise bad_input("body", f"The upload stood still for {SILENCE:.0f} seconds.") from None
        yield chunk
