"""The leases of running replies.

The process that runs a reply renews its lease with each checkpoint. If the lease runs out the process has died, and a
worker claims the reply to end it.
"""

from datetime import timedelta

from sqlmodel import col

from models import Message
from resolvers.core.leases import LeaseQueue

RUNNING_REPLIES = LeaseQueue(
    "reply", Message, id=col(Message.id), until=col(Message.lease_until), lease=timedelta(seconds=30)
)
