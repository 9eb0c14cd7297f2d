"""`/v1/notes/from-audio`: a note of a recording, and `/v1/uploads`, where its bytes are put."""

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
from rest_compat.operations import does, makes
from rest_compat.request import Call
from rest_compat.shapes import Removed


class UploadAddress(TypedDict):
    presignedUrl: str
    audioUrl: str
    contentType: str


class NoteFromAudio(TypedDict):
    noteId: UUID


class Signed(BaseModel):
    """What stands in an upload address. `expires` is in Unix seconds."""

    expires: Annotated[int, Field(ge=0, le=2**53)]
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


async def address(call: Call, body: UploadDraft) -> UploadAddress:
    """Gives out an address to PUT audio to within ten minutes, with the Content-Type that it names."""
    given = await recordings.create_upload_url(call.ctx, body, f"{call.request.base_url}v1/uploads")
    return {"presignedUrl": given.presigned_url, "audioUrl": given.audio_url, "contentType": given.content_type}


async def create(call: Call, body: FromAudioDraft) -> NoteFromAudio:
    """Makes a note of audio that was uploaded, or adds it to one: it is transcribed and summarised from here on."""
    return {"noteId": await recordings.create_note_from_audio(call.ctx, body, call.idempotency_key)}


async def upload(call: Call, query: Signed) -> Removed:
    """Takes the bytes of a recording; the address itself is the credential."""
    headers = call.request.headers
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    length = headers.get("Content-Length", "")[:20]
    # What can't be an id names no recording, like any other id that was never given out.
    ticket = UploadSignature(as_id(call.request.path_params["id"]) or uuid4(), query.expires, query.signature)
    announced = int(length) if length.isdigit() else 0
    await recordings.receive_upload(call.ctx, ticket, kind, announced, call.request.stream())
    return {"success": True, "message": "Audio received"}


async def enter_anyone(request: Request) -> Call:
    """Whoever has the address may put the bytes there. The body is left where it is: it is read as it comes."""
    ctx: Context = request.state.context
    return Call(request, ctx)


def is_upload(scope: Scope) -> bool:
    """Whether a request may have a body beyond what others may: an upload counts its bytes itself."""
    return bool(scope["method"] == "PUT" and scope["path"].startswith("/v1/uploads/"))


UPLOADS = replace(V1, enter=enter_anyone)

ROUTES = [
    V1.route("/notes/from-audio/generate-upload-url", POST=does(address, refuses=(503,))),
    V1.route("/notes/from-audio", POST=makes(create, refuses=(404, 503))),
    UPLOADS.route("/uploads/{id}", PUT=does(upload, takes="audio/*", refuses=(403, 404, 409, 413, 415, 503))),
]
