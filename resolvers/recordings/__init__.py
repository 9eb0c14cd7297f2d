"""Recordings: uploaded audio, which workers turn into the transcript and the summary of a note."""

from resolvers.recordings.cleanup import delete_orphaned_audio, delete_unused_audio
from resolvers.recordings.create import create_note_from_audio
from resolvers.recordings.process import claim, work
from resolvers.recordings.upload import receive_upload
from resolvers.recordings.upload_urls import UploadSignature, UploadUrl, create_upload_url

__all__ = [
    "UploadSignature",
    "UploadUrl",
    "claim",
    "create_note_from_audio",
    "create_upload_url",
    "delete_orphaned_audio",
    "delete_unused_audio",
    "receive_upload",
    "work",
]
