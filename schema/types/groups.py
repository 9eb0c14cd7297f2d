"""Groups of members."""

from datetime import datetime

import strawberry
from strawberry import UNSET

from models.base import Record
from models.people import GroupChange, GroupDraft
from resolvers.workspaces import groups
from schema.types.base import Info, Node, parse_id
from schema.types.inputs import to_draft


@strawberry.type
class Group(Node):
    name: str
    description: str | None
    created_at: datetime

    @strawberry.field
    @staticmethod
    async def member_count(root: strawberry.Parent[Record], info: Info) -> int:
        return await info.context.loaders.group_size.load(root.id)


@strawberry.input
class CreateGroupInput:
    name: str
    description: str | None = UNSET


@strawberry.input
class UpdateGroupInput:
    """Absent fields stay as they are. A null clears the description."""

    name: str | None = UNSET
    description: str | None = UNSET


@strawberry.type
class GroupMutation:
    @strawberry.mutation(graphql_type=Group)
    @staticmethod
    async def create_group(info: Info, input: CreateGroupInput) -> Record:  # noqa: A002 (the contract's name)
        return await groups.create_group(info.context.ctx, to_draft(GroupDraft, input))

    @strawberry.mutation(graphql_type=Group)
    @staticmethod
    async def update_group(info: Info, id: strawberry.ID, input: UpdateGroupInput) -> Record:  # noqa: A002 (the contract's names)
        return await groups.update_group(
            info.context.ctx, parse_id("Group", id), to_draft(GroupChange, input, keep_nulls=True)
        )

    @strawberry.mutation
    @staticmethod
    async def delete_group(info: Info, id: strawberry.ID) -> strawberry.ID:  # noqa: A002 (the contract's name)
        await groups.delete_group(info.context.ctx, parse_id("Group", id))
        return id
