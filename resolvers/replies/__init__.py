"""Replies: sending a message starts one in this process; any process can subscribe to it, as often as it wants."""

from resolvers.replies.cancel import cancel, cancel_in_conversation
from resolvers.replies.ending import close_lost
from resolvers.replies.events import DeletedReply, ReplyEvent
from resolvers.replies.runner import ProcessReplyRunner
from resolvers.replies.send import SentMessage, send
from resolvers.replies.subscribe import reply_cursor, subscribe, subscribe_after_cursor

__all__ = [
    "DeletedReply",
    "ProcessReplyRunner",
    "ReplyEvent",
    "SentMessage",
    "cancel",
    "cancel_in_conversation",
    "close_lost",
    "reply_cursor",
    "send",
    "subscribe",
    "subscribe_after_cursor",
]
