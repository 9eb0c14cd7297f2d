"""The models' enums as GraphQL enums, under the same names. Types import them from here."""

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

DESCRIPTIONS = {
    AgentType: "Who answers a message. GENERAL may propose edits of the note; ANALYST reasons and cites its sources.",
    DeliveryStatus: "PENDING deliveries have another attempt ahead; FAILED is final.",
    EventType: "What happened in a workspace.",
    MessageRole: "Who wrote a message: the user, or the assistant that replied.",
    MessageState: "STREAMING while a reply is being written; the other states are final.",
    NoteKind: "What a note is about: a meeting, online or in person, or a podcast.",
    NoteOrderField: "What a list of notes is sorted by.",
    NoteStatus: "The stage of a note's recording, from IDLE to COMPLETED.",
    NoteVisibility: "PRIVATE: for the creator, the admins and those it is shared with. Otherwise: for all members.",
    OrderDirection: "ASC sorts from the smallest or oldest, DESC from the largest or newest.",
    Plan: "The plan of a workspace, which decides its rate limits.",
    Role: "A member's role in a workspace.",
    SearchMode: "How a search compares: TEXT by words, SEMANTIC by meaning, HYBRID by both.",
    SuggestionStatus: "PROPOSED until the user decides, or until another suggestion replaces it (SUPERSEDED).",
    TextSource: "The text of a note that a chunk is from. CONTENT was passed to `indexNote` and replaces the others.",
}

for _enum, _description in DESCRIPTIONS.items():
    strawberry.enum(_enum, description=_description)
