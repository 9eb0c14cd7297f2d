"""Tags, and the inputs that create and change them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from models.base import Color, Draft, key, new_id, reference, storable, string, timestamp
from models.limits import limit

MAX_WORKSPACE_TAGS = limit(1_000, "Tags of a workspace", area="Notes", beyond="`UNPROCESSABLE`, 422")
MAX_TAG_NAME = limit(100, "Name of a tag", area="Notes", unit="characters", minimum=1, beyond="`BAD_USER_INPUT`, 400")


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
    """The fields to change. A field that is not set (see `model_fields_set`) keeps its value."""

    name: TagName = ""
    color: Color = ""
