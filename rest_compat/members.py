"""`/v1/workspace/members`."""

from collections.abc import Sequence

from models.base import Record
from models.people import MemberChange, MemberFilter
from resolvers.core.context import Context
from resolvers.workspaces import groups, members
from rest_compat import serializers, shapes
from rest_compat.notes_api import V1
from rest_compat.operations import changes, reads, removes, shows
from rest_compat.paging import Paging
from rest_compat.request import Call
from rest_compat.shapes import OneMember, Paged, Removed


class MembersQuery(MemberFilter, Paging):
    """Which members to list, and which part of them."""


async def page(call: Call, query: MembersQuery) -> Paged[shapes.Member]:
    """Lists the members of the workspace, first joined first; `search` finds a part of a name or of an address."""
    rows, is_last = await members.window(call.ctx, query.limit, query.offset, query)
    return serializers.paged(await shown(call.ctx, rows), query.limit, query.offset, is_last=is_last)


async def get(call: Call) -> OneMember:
    """A member of the workspace."""
    return await one(call.ctx, await members.get(call.ctx, call.ident("Member")))


async def update(call: Call, body: MemberChange) -> OneMember:
    """Changes the role and the groups, which are replaced whole; the last admin can't be demoted."""
    return await one(call.ctx, await members.update(call.ctx, call.ident("Member"), body))


async def remove(call: Call) -> Removed:
    """Removes a member from the workspace, but for the last admin; everybody may remove themself."""
    await members.remove(call.ctx, call.ident("Member"))
    return {"success": True, "message": "Member removed"}


async def one(ctx: Context, row: Record) -> OneMember:
    [member] = await shown(ctx, [row])
    return {"member": member}


async def shown(ctx: Context, rows: Sequence[Record]) -> list[shapes.Member]:
    """The members with their groups."""
    of_members = await groups.of_members(ctx, [row.id for row in rows])
    return [
        {
            "id": row.id,
            "userId": row.user_id,
            "name": row.name,
            "email": row.email,
            "profileUrl": row.profile_url,
            "role": row.role,
            "createdAt": serializers.millis(row.created_at),
            "groups": serializers.groups(of_members.get(row.id, ())),
        }
        for row in rows
    ]


ROUTES = [
    V1.route("/workspace/members", GET=reads(page)),
    V1.route("/workspace/members/{id}", GET=shows(get), PATCH=changes(update), DELETE=removes(remove, refuses=(409,))),
]
