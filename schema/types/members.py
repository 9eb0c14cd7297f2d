"""The members of a workspace."""

from collections.abc import Sequence
from datetime import datetime

import strawberry
from strawberry import UNSET

from models.base import Record
from models.people import MemberChange
from resolvers.workspaces import members
from schema.types.base import Info, Node, parse_id
from schema.types.enums import Role
from schema.types.groups import Group
from schema.types.inputs import to_draft
from schema.types.users import User


@strawberry.type
class Member(Node):
    role: Role
    created_at: datetime

    @strawberry.field(graphql_type=User)
    @staticmethod
    async def user(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.user.load(root.user_id)

    @strawberry.field(graphql_type=list[Group])
    @staticmethod
    async def groups(root: strawberry.Parent[Record], info: Info) -> Sequence[Record]:
        return await info.context.loaders.groups_of_member.load(root.id)


@strawberry.input
class UpdateMemberInput:
    """Absent fields stay as they are. `groupIds` replaces all groups of the member."""

    role: Role | None = UNSET
    group_ids: list[strawberry.ID] | None = UNSET


@strawberry.type
class MemberMutation:
    @strawberry.mutation(graphql_type=Member, description="Refused with CONFLICT if it would demote the last admin.")
    @staticmethod
    async def update_member(info: Info, id: strawberry.ID, input: UpdateMemberInput) -> Record:  # noqa: A002 (the contract's names)
        return await members.update_member(
            info.context.ctx, parse_id("Member", id), to_draft(MemberChange, input, keep_nulls=True)
        )

    @strawberry.mutation(description="Members may remove themselves. Removing the last admin is refused with CONFLICT.")
    @staticmethod
    async def remove_member(info: Info, id: strawberry.ID) -> strawberry.ID:  # noqa: A002 (the contract's name)
        await members.remove_member(info.context.ctx, parse_id("Member", id))
        return id
