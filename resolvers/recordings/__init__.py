"""Recordings: audio that becomes the transcript and the summary of a note."""

from resolvers.recordings.cleanup import forget_orphans, forget_unused
from resolvers.recordings.create import from_audio
from resolvers.recordings.process import claim, work
from resolvers.recordings.upload import receive
from resolvers.recordings.upload_urls import Address, Ticket, prepare

__all__ = [
    "Address",
    "Ticket",
    "claim",
    "forget_orphans",
    "forget_unused",
    "from_audio",
    "prepare",
    "receive",
    "work",
]
