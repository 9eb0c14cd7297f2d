"""Folders of notes: a tree in each workspace."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from sqlalchemy import Boolean, Column, Index
from sqlmodel import Field, SQLModel

from models.base import Color, Draft, Id, Line, key, new_id, reference, storable, string, timestamp
from models.limits import limit

MAX_FOLDERS = limit(1_000, "Folders of a workspace", area="Notes", beyond="`UNPROCESSABLE`, 422")
MAX_FOLDER_DEPTH = limit(20, "Nested folders, with the outermost one", area="Notes", beyond="`UNPROCESSABLE`, 422")
MAX_FOLDER_NAME = limit(
    255, "Name of a folder", area="Notes", unit="characters", minimum=1, beyond="`BAD_USER_INPUT`, 400"
)
MAX_ICON = limit(
    100,
    "Icon of a folder: an emoji, or the name of a picture",
    area="Notes",
    unit="characters",
    beyond="`BAD_USER_INPUT`, 400",
)


class Folder(SQLModel, table=True):
    """A folder. A private one is visible to its creator and the admins; the notes in it have their own visibility."""

    __tablename__ = "folders"
    __table_args__ = (Index("folders_in_order", "workspace_id", "name", "id"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    parent_id: UUID | None = Field(
        default=None, sa_column=reference("folders.id", ondelete="SET NULL", nullable=True, index=True)
    )
    created_by_id: UUID | None = Field(
        default=None, sa_column=reference("users.id", ondelete="SET NULL", nullable=True, index=True)
    )
    name: str = Field(sa_column=string())
    icon: str | None = Field(default=None, sa_column=string(nullable=True))
    color: str | None = Field(default=None, sa_column=string(nullable=True))
    is_private: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default="false"))
    created_at: datetime = Field(default=None, sa_column=timestamp())


FolderName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_FOLDER_NAME), AfterValidator(storable)
]


class FolderDraft(Draft):
    """A folder to create. `parent_folder_id` None means at the top level."""

    name: FolderName
    icon: Annotated[Line, StringConstraints(max_length=MAX_ICON)] | None = None
    color: Color | None = None
    is_private: bool = False
    parent_folder_id: Id | None = None


class FolderChange(FolderDraft):
    """The fields to change. A field that is not set (see `model_fields_set`) keeps its value; null clears a field."""

    name: FolderName = ""
