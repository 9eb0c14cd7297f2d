"""Tags."""

from datetime import datetime

import strawberry
from strawberry import UNSET

from models.base import Record
from models.tag import TagChange, TagDraft
from resolvers.notes import tags
from schema.types.base import Info, Node, parse_id
from schema.types.inputs import to_draft


@strawberry.type
class Tag(Node):
    name: str
    color: str
    created_at: datetime


@strawberry.input
class CreateTagInput:
    name: str
    color: str


@strawberry.input
class UpdateTagInput:
    """Absent fields stay as they are."""

    name: str | None = UNSET
    color: str | None = UNSET


@strawberry.type
class TagMutation:
    @strawberry.mutation(
        graphql_type=Tag, description="Refused with ALREADY_EXISTS if the workspace has a tag of this name."
    )
    @staticmethod
    async def create_tag(info: Info, input: CreateTagInput) -> Record:  # noqa: A002 (the contract's name)
        return await tags.create_tag(info.context.ctx, to_draft(TagDraft, input))

    @strawberry.mutation(graphql_type=Tag)
    @staticmethod
    async def update_tag(info: Info, id: strawberry.ID, input: UpdateTagInput) -> Record:  # noqa: A002 (the contract's name)
        return await tags.update_tag(info.context.ctx, parse_id("Tag", id), to_draft(TagChange, input, keep_nulls=True))

    @strawberry.mutation(description="Deletes the tag and removes it from its notes.")
    @staticmethod
    async def delete_tag(info: Info, id: strawberry.ID) -> strawberry.ID:  # noqa: A002 (the contract's name)
        await tags.delete_tag(info.context.ctx, parse_id("Tag", id))
        return id
