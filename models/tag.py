"""Tags, and what a client may write of them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import Color, Draft, key, new_id, reference, storable, string, timestamp

MAX_WORKSPACE_TAGS = 1_000
"""Tags of one workspace."""
MAX_TAG_NAME = 100
"""Characters of a tag's name, without the white space around it."""


class Tag(SQLModel, table=True):
    __tablename__ = "tags"
    __table_args__ = (UniqueConstraint("workspace_id", "name", name="tags_once"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    name: str = Field(sa_column=string())
    color: str = Field(sa_column=string())
    created_at: datetime = Field(default=None, sa_column=timestamp())


TagName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TAG_NAME), AfterValidator(storable)
]


class TagDraft(Draft):
    name: TagName
    color: Color


class TagChange(TagDraft):
    """The fields to change: what was not sent is kept (`model_fields_set` tells)."""

    name: TagName = ""
    color: Color = ""
