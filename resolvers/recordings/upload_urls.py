"""Upload addresses: where a client may PUT the audio of a recording.

The address is the only credential of the upload. It is signed with a key of the recording's own that is stored in its
row, so that every process of every server can check it, however else they are configured.
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
from models.limits import limit
from models.recording import RecordingState, UploadDraft
from resolvers.auth import access
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.recordings.audio_format import CONTENT_TYPES

UPLOAD_SECONDS = limit(
    600, "Time for which an upload address is valid", area="Audio", unit="seconds", beyond="`FORBIDDEN`, 403"
)


@dataclass(frozen=True, slots=True)
class UploadUrl:
    """Where to PUT the audio, with which Content-Type, and the `audio_url` that names it in later requests."""

    presigned_url: str
    audio_url: str
    content_type: str


@dataclass(frozen=True, slots=True)
class UploadSignature:
    """What an upload presents of its address. `expires` is in Unix seconds."""

    recording_id: UUID
    expires: int
    signature: str


async def require_recording(ctx: Context) -> None:
    """Raises INSUFFICIENT_SCOPE, PLAN_REQUIRED or TRANSCRIBER_NOT_CONFIGURED if the viewer can't create recordings."""
    access.require_scope(ctx.viewer, "notes", write=True)
    query = select(col(Workspace.plan)).where(col(Workspace.id) == ctx.viewer.workspace_id)
    async with ctx.read() as tx:
        plan = (await tx.execute(query)).scalar()
    if plan is not Plan.ENTERPRISE:
        raise Problem(ErrorCode.PLAN_REQUIRED, "Notes from audio need the enterprise plan.")
    if ctx.audio.transcriber is None:
        raise Problem(ErrorCode.TRANSCRIBER_NOT_CONFIGURED, "This server has no transcriber configured.")


async def create_upload_url(ctx: Context, draft: UploadDraft, uploads_url: str) -> UploadUrl:
    """Issues an upload address. `uploads_url` is the URL of this server's uploads, without a slash at its end."""
    await require_recording(ctx)
    recording_id, key = new_id(), secrets.token_bytes(32)
    if ctx.audio.public_url is not None:
        uploads_url = f"{ctx.audio.public_url.rstrip('/')}/v1/uploads"
    extension, audio_url = draft.file_extension.value, f"{uploads_url}/{recording_id}"
    name = _storage_name(ctx.viewer.workspace_id, recording_id, extension)
    presigned_url = await ctx.audio.store.upload_url(name, UPLOAD_SECONDS)
    if presigned_url is None:
        expires = int(time.time()) + UPLOAD_SECONDS
        presigned_url = f"{audio_url}?expires={expires}&signature={sign(key, recording_id, expires)}"
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
    return UploadUrl(presigned_url, audio_url, CONTENT_TYPES[extension])


def storage_name(recording: Record) -> str:
    """Returns the name of a recording's audio in the store."""
    return _storage_name(recording.workspace_id, recording.id, recording.extension)


def _storage_name(workspace_id: UUID, recording_id: UUID, extension: str) -> str:
    return f"{workspace_id}/{recording_id}.{extension}"


def sign(key: bytes, recording_id: UUID, expires: int) -> str:
    return hmac.new(key, f"PUT {recording_id} {expires}".encode(), hashlib.sha256).hexdigest()


def is_signed(key: bytes, upload: UploadSignature) -> bool:
    expected = sign(key, upload.recording_id, upload.expires)
    return hmac.compare_digest(expected.encode(), upload.signature.encode())
