"""Makes GraphQL enums of the models' own, under their own names. Import the enums from here."""

import strawberry

from models.conversation import AgentType, MessageRole, MessageState, SuggestionStatus
from models.event import EventType
from models.note import NoteKind, NoteStatus, NoteVisibility
from models.note_filter import NoteOrderField, OrderDirection
from models.search import SearchMode, TextSource
from models.webhook import DeliveryStatus
from models.workspace import Plan, Role

__all__ = [
    "AgentType",
    "DeliveryStatus",
    "EventType",
    "MessageRole",
    "MessageState",
    "NoteKind",
    "NoteOrderField",
    "NoteStatus",
    "NoteVisibility",
    "OrderDirection",
    "Plan",
    "Role",
    "SearchMode",
    "SuggestionStatus",
    "TextSource",
]

for _enum in (
    AgentType,
    DeliveryStatus,
    EventType,
    MessageRole,
    MessageState,
    NoteKind,
    NoteOrderField,
    NoteStatus,
    NoteVisibility,
    OrderDirection,
    Plan,
    Role,
    SearchMode,
    SuggestionStatus,
):
    strawberry.enum(_enum)
strawberry.enum(TextSource, name="TextSource")
