"""Which notes a list contains, and their order."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field as Constraint

from models.base import Draft, Email, Id, Line, When
from models.limits import limit
from models.note import NoteKind, NoteStatus, NoteVisibility, TagIds

MAX_FILTER_FOLDERS = limit(100, "Folders in a filter of notes", area="Notes", beyond="`BAD_USER_INPUT`, 400")


class NoteOrderField(StrEnum):
    CREATED_AT = "createdAt"
    UPDATED_AT = "updatedAt"
    TITLE = "title"


class OrderDirection(StrEnum):
    ASC = "asc"
    DESC = "desc"


FolderIds = Annotated[list[Id], Constraint(max_length=MAX_FILTER_FOLDERS)]


class NoteFilter(Draft):
    """Conditions that must all hold. Dates include their bounds; of `tag_ids` and of `folder_ids`, one must match."""

    status: NoteStatus | None = None
    kind: NoteKind | None = None
    visibility: NoteVisibility | None = None
    search: Line | None = None
    created_by: Id | None = None
    created_from: When | None = None
    created_to: When | None = None
    tag_ids: TagIds | None = None
    folder_ids: FolderIds | None = None
    participant_email: Email | None = None


class NoteOrder(Draft):
    field: NoteOrderField = NoteOrderField.CREATED_AT
    direction: OrderDirection = OrderDirection.DESC
