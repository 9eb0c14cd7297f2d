"""Folders of notes: a tree in each workspace."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from sqlalchemy import Boolean, Column, Index
from sqlmodel import Field, SQLModel

from models.base import Color, Draft, Id, Line, key, new_id, reference, storable, string, timestamp

MAX_FOLDERS = 1_000
"""Folders of one workspace."""
MAX_FOLDER_DEPTH = 20
"""Folders within each other, the outermost included."""
MAX_FOLDER_NAME = 255
"""Characters of a folder's name, without the white space around it."""
MAX_ICON = 100
"""Characters of a folder's icon: an emoji, or the name of a picture."""


class Folder(SQLModel, table=True):
    """A private folder is seen by its creator and the workspace's admins. It hides no note: their visibility does."""

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
    """A folder to create. `parent_folder_id` None: at the top."""

    name: FolderName
    icon: Annotated[Line, StringConstraints(max_length=MAX_ICON)] | None = None
    color: Color | None = None
    is_private: bool = False
    parent_folder_id: Id | None = None


class FolderChange(FolderDraft):
    """The fields to change: what was not sent is kept (`model_fields_set` tells), null clears what may be null."""

    name: FolderName = ""
