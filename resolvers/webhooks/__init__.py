"""Webhooks: the endpoints of a workspace, the events that they subscribe to, and what is posted to them."""

from resolvers.events import outbox as events_outbox
from resolvers.webhooks import outbox

events_outbox.register(outbox)
