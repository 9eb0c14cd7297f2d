"""TABLES and the drafts a client may write. No logic, no session."""

from models.conversation import Conversation, Message, Suggestion
from models.event import Event, EventType
from models.note import Note, NoteShare, NoteTag, Tag, TranscriptSegment
from models.search import DocumentEmbedding
from models.workspace import ApiKey, Member, Plan, Role, User, Workspace

__all__ = [
    "ApiKey",
    "Conversation",
    "DocumentEmbedding",
    "Event",
    "EventType",
    "Member",
    "Message",
    "Note",
    "NoteShare",
    "NoteTag",
    "Plan",
    "Role",
    "Suggestion",
    "Tag",
    "TranscriptSegment",
    "User",
    "Workspace",
]
