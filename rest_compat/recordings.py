"""`/v1/notes/from-audio`, which creates a note from a recording, and `/v1/uploads`, which receives its bytes."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID, uuid4

from pydantic import BaseModel, Field, StringConstraints
from starlette.requests import Request
from starlette.types import Scope
from typing_extensions import TypedDict

from models.base import as_id
from models.recording import FromAudioDraft, UploadDraft
from resolvers import recordings
from resolvers.core.context import Context
from resolvers.recordings import UploadSignature
from rest_compat.notes_api import V1
from rest_compat.operations import action_operation, create_operation
from rest_compat.request import Call
from rest_compat.shapes import Confirmation


class UploadUrls(TypedDict):
    presignedUrl: str
    audioUrl: str
    contentType: str


class NoteFromAudioResponse(TypedDict):
    noteId: UUID


class SignedUploadQuery(BaseModel):
    """The query parameters of an upload address. `expires` is in Unix seconds."""

    expires: Annotated[int, Field(ge=0, le=2**53)]
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


async def address(call: Call, body: UploadDraft) -> UploadUrls:
    """Returns an address that accepts audio by PUT for ten minutes, with the Content-Type of the response."""
    urls = await recordings.create_upload_url(call.ctx, body, f"{call.request.base_url}v1/uploads")
    return {"presignedUrl": urls.presigned_url, "audioUrl": urls.audio_url, "contentType": urls.content_type}


async def create(call: Call, body: FromAudioDraft) -> NoteFromAudioResponse:
    """Creates a note from uploaded audio, or adds the audio to a note. Transcription and summary follow."""
    return {"noteId": await recordings.create_note_from_audio(call.ctx, body, call.idempotency_key)}


async def upload(call: Call, query: SignedUploadQuery) -> Confirmation:
    """Receives the bytes of a recording. The address is the credential."""
    headers = call.request.headers
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    length = headers.get("Content-Length", "")[:20]
    # A text that can't be an id is answered like an id that was never issued.
    signature = UploadSignature(as_id(call.request.path_params["id"]) or uuid4(), query.expires, query.signature)
    announced = int(length) if length.isdigit() else 0
    await recordings.receive_upload(call.ctx, signature, media_type, announced, call.request.stream())
    return {"success": True, "message": "Audio received"}


async def read_public_call(request: Request) -> Call:
    """A call without a credential. The body is not read here: the endpoint streams it."""
    ctx: Context = request.state.context
    return Call(request, ctx)


def is_upload(scope: Scope) -> bool:
    """Whether a request is an upload. It counts its bytes itself: the general limit on bodies does not apply."""
    return bool(scope["method"] == "PUT" and scope["path"].startswith("/v1/uploads/"))


UPLOADS = replace(V1, read_call=read_public_call)

ROUTES = [
    V1.route("/notes/from-audio/generate-upload-url", POST=action_operation(address, more_errors=(503,))),
    V1.route("/notes/from-audio", POST=create_operation(create, more_errors=(404, 503))),
    UPLOADS.route(
        "/uploads/{id}", PUT=action_operation(upload, raw_body="audio/*", more_errors=(403, 404, 409, 413, 415, 503))
    ),
]
