"""TABLES and the drafts a client may write. No logic, no session."""

from models.conversation import Conversation, Message, Suggestion
from models.event import Event, EventType
from models.folder import Folder
from models.note import Note, NoteShare, NoteTag
from models.recording import Recording
from models.search import DocumentEmbedding, TextSource, VectorSpace
from models.tag import Tag
from models.transcript import TranscriptSegment
from models.webhook import Delivery, DeliveryStatus, Webhook, WebhookPost
from models.workspace import (
    ApiKey,
    Group,
    GroupMember,
    IdempotencyKey,
    Invite,
    InviteGroup,
    Member,
    Plan,
    RateWindow,
    Role,
    User,
    Workspace,
)

__all__ = [
    "ApiKey",
    "Conversation",
    "Delivery",
    "DeliveryStatus",
    "DocumentEmbedding",
    "Event",
    "EventType",
    "Folder",
    "Group",
    "GroupMember",
    "IdempotencyKey",
    "Invite",
    "InviteGroup",
    "Member",
    "Message",
    "Note",
    "NoteShare",
    "NoteTag",
    "Plan",
    "RateWindow",
    "Recording",
    "Role",
    "Suggestion",
    "Tag",
    "TextSource",
    "TranscriptSegment",
    "User",
    "VectorSpace",
    "Webhook",
    "WebhookPost",
    "Workspace",
]
