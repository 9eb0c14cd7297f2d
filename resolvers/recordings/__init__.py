"""Recordings: audio that becomes the transcript and the summary of a note."""

from resolvers.recordings.accept import from_audio
from resolvers.recordings.addresses import Address, Ticket, prepare
from resolvers.recordings.cleaning import forget_orphans, forget_unused
from resolvers.recordings.receive import receive
from resolvers.recordings.work import claim, work

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
