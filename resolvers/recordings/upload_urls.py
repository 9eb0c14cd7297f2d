"""Handing in audio: an address to put its bytes to, and what comes there.

The address is the only credential of the upload: it is signed with a key of its own that stands in the recording's row,
so that every process of every server knows it, whatever else they are configured with.
"""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import insert, select
from sqlmodel import col

from models import Plan, Recording, Workspace
from models.base import Record, new_id
from models.recording import RecordingState, UploadDraft
from resolvers.auth import access
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.recordings.audio_format import CONTENT_TYPES

UPLOAD_SECONDS = 600
"""How long an upload address may be used."""


@dataclass(frozen=True, slots=True)
class UploadUrl:
    """Where to PUT the bytes with which Content-Type, and under which name to speak of them then."""

    presigned_url: str
    audio_url: str
    content_type: str


@dataclass(frozen=True, slots=True)
class UploadSignature:
    """What an upload shows of its address. `expires` is in Unix seconds."""

    recording_id: UUID
    expires: int
    signature: str


async def may_record(ctx: Context) -> None:
    """Raises INSUFFICIENT_SCOPE, PLAN_REQUIRED, TRANSCRIBER_NOT_CONFIGURED."""
    access.require_scope(ctx.viewer, "notes", write=True)
    async with ctx.read() as tx:
        plan = (
            await tx.execute(select(col(Workspace.plan)).where(col(Workspace.id) == ctx.viewer.workspace_id))
        ).scalar()
    if plan is not Plan.ENTERPRISE:
        raise Problem(ErrorCode.PLAN_REQUIRED, "Notes from audio need the enterprise plan.")
    if ctx.audio.transcriber is None:
        raise Problem(ErrorCode.TRANSCRIBER_NOT_CONFIGURED, "This server has no transcriber configured.")


async def create_upload_url(ctx: Context, draft: UploadDraft, base: str) -> UploadUrl:
    """Gives out an upload address. `base` is the address of this server's uploads, without a slash at its end."""
    await may_record(ctx)
    recording_id, key = new_id(), secrets.token_bytes(32)
    base = base if ctx.audio.public_url is None else f"{ctx.audio.public_url.rstrip('/')}/v1/uploads"
    extension, audio_url = draft.file_extension.value, f"{base}/{recording_id}"
    name = audio_name(ctx.viewer.workspace_id, recording_id, extension)
    address = await ctx.audio.store.upload_url(name, UPLOAD_SECONDS)
    if address is None:
        expires = int(time.time()) + UPLOAD_SECONDS
        address = f"{audio_url}?expires={expires}&signature={signature(key, recording_id, expires)}"
    values = {
        "id": recording_id,
        "workspace_id": ctx.viewer.workspace_id,
        "created_by_id": ctx.viewer.user_id,
        "state": RecordingState.AWAITED,
        "content_type": CONTENT_TYPES[extension],
        "extension": extension,
        "duration_sec": draft.duration,
        "audio_url": audio_url,
        "upload_key": key,
    }
    async with ctx.transaction() as tx:
        await tx.execute(insert(Recording).values(values))
    return UploadUrl(address, audio_url, CONTENT_TYPES[extension])


def audio_name(workspace_id: UUID, recording_id: UUID, extension: str) -> str:
    """The name in the store."""
    return f"{workspace_id}/{recording_id}.{extension}"


def name_of(recording: Record) -> str:
    return audio_name(recording.workspace_id, recording.id, recording.extension)


def signature(key: bytes, recording_id: UUID, expires: int) -> str:
    return hmac.new(key, f"PUT {recording_id} {expires}".encode(), hashlib.sha256).hexdigest()


def is_signed(key: bytes, ticket: UploadSignature) -> bool:
    expected = signature(key, ticket.recording_id, ticket.expires)
    return hmac.compare_digest(expected.encode(), ticket.signature.encode())
