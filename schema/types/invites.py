"""Invites into a workspace."""

from collections.abc import Sequence
from datetime import datetime

import strawberry
from strawberry import UNSET

from models.base import Record
from models.people import AcceptDraft, InviteDraft
from resolvers.core.drafts import parse_draft
from resolvers.workspaces import invites
from schema.types.base import Info, Node, parse_id
from schema.types.enums import Role
from schema.types.groups import Group
from schema.types.inputs import to_draft
from schema.types.members import Member


@strawberry.type
class Invite(Node):
    email: str | None
    code: str
    role: Role
    is_url_invite: bool
    expires_at: datetime
    created_at: datetime

    @strawberry.field(graphql_type=list[Group])
    @staticmethod
    async def groups(root: strawberry.Parent[Record], info: Info) -> Sequence[Record]:
        return await info.context.loaders.groups_of_invite.load(root.id)


@strawberry.input
class CreateInviteInput:
    """Anyone who has the code can accept a URL invite. Other invites need an `email`."""

    email: str | None = UNSET
    role: Role | None = Role.MEMBER
    is_url_invite: bool | None = False
    group_ids: list[strawberry.ID] | None = UNSET


@strawberry.type
class InviteMutation:
    @strawberry.mutation(graphql_type=Invite)
    @staticmethod
    async def create_invite(info: Info, input: CreateInviteInput) -> Record:  # noqa: A002 (the contract's name)
        return await invites.create_invite(info.context.ctx, to_draft(InviteDraft, input))

    @strawberry.mutation
    @staticmethod
    async def delete_invite(info: Info, id: strawberry.ID) -> strawberry.ID:  # noqa: A002 (the contract's name)
        await invites.delete_invite(info.context.ctx, parse_id("Invite", id))
        return id

    @strawberry.mutation(
        graphql_type=Member,
        description="Makes the caller a member of the workspace. Needs a user's access token. An existing membership "
        "does not change.",
    )
    @staticmethod
    async def accept_invite(info: Info, code: str) -> Record:
        return await invites.accept_invite(info.context.ctx, parse_draft(AcceptDraft, {"code": code}))
