"""Replies belong to the server: sending starts one, following reads it, from any process and as often as wanted."""

from resolvers.replies.cancel import cancel, cancel_in
from resolvers.replies.ending import close_lost
from resolvers.replies.events import ReplyEvent, Unstored
from resolvers.replies.runner import ReplyRunner
from resolvers.replies.send import Sent, send
from resolvers.replies.subscribe import follow, follow_cursor, reply_cursor

__all__ = [
    "ReplyEvent",
    "ReplyRunner",
    "Sent",
    "Unstored",
    "cancel",
    "cancel_in",
    "close_lost",
    "follow",
    "follow_cursor",
    "reply_cursor",
    "send",
]
