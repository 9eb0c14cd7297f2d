"""Folders of notes: a tree in each workspace."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Column, Index
from sqlmodel import Field, SQLModel

from models.base import key, new_id, reference, string, timestamp


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
