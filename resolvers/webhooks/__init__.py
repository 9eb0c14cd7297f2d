"""Webhooks: the endpoints of a workspace, and what is posted to them."""

from resolvers.events import outbox
from resolvers.webhooks import payloads

outbox.register(payloads)
