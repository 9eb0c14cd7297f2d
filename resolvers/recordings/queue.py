"""The queue of recordings: a worker claims one under a lease and does one stage of it."""

from datetime import timedelta

from sqlmodel import col

from models import Recording
from models.limits import limit
from resolvers.core.leases import Backoff, LeaseQueue

MAX_ATTEMPTS = limit(
    10, "Attempts at the transcription or the summary of a recording", area="Audio", beyond="the recording is given up"
)

RECORDINGS = LeaseQueue(
    "recording",
    Recording,
    id=col(Recording.id),
    until=col(Recording.work_after),
    lease=timedelta(seconds=60),
    failures=col(Recording.failures),
    # All attempts together take about half an hour. A transcriber may ask for longer waits.
    backoff=Backoff(longest=timedelta(minutes=10), longest_requested=timedelta(hours=1), attempts=MAX_ATTEMPTS),
)
