"""`/v1/workspace/members`."""

from collections.abc import Sequence

from models.base import Record
from models.people import MemberChange, MemberFilter
from resolvers.core.context import Context
from resolvers.workspaces import groups, members
from rest_compat import serializers, shapes
from rest_compat.notes_api import V1
from rest_compat.operations import delete_operation, get_operation, list_operation, update_operation
from rest_compat.pagination import PageQuery
from rest_compat.request import Call
from rest_compat.shapes import Confirmation, MemberResponse, Page


class MembersQuery(MemberFilter, PageQuery):
    """The query parameters of the list of members."""


async def page(call: Call, query: MembersQuery) -> Page[shapes.Member]:
    """Lists the members of the workspace, longest members first. `search` matches a part of a name or an address."""
    rows, is_last = await members.list_members_by_offset(call.ctx, query.limit, query.offset, query)
    return serializers.page_response(
        await serialize_members(call.ctx, rows), query.limit, query.offset, is_last=is_last
    )


async def get(call: Call) -> MemberResponse:
    """Returns a member of the workspace."""
    return await member_response(call.ctx, await members.get_member(call.ctx, call.path_id("Member")))


async def update(call: Call, body: MemberChange) -> MemberResponse:
    """Changes the role, or replaces all groups of a member. The last admin can't be demoted."""
    return await member_response(call.ctx, await members.update_member(call.ctx, call.path_id("Member"), body))


async def remove(call: Call) -> Confirmation:
    """Removes a member from the workspace. Members may remove themselves. The last admin can't be removed."""
    await members.remove_member(call.ctx, call.path_id("Member"))
    return {"success": True, "message": "Member removed"}


async def member_response(ctx: Context, row: Record) -> MemberResponse:
    [member] = await serialize_members(ctx, [row])
    return {"member": member}


async def serialize_members(ctx: Context, rows: Sequence[Record]) -> list[shapes.Member]:
    """The members with their groups."""
    of_members = await groups.find_groups_of_members(ctx, [row.id for row in rows])
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
    V1.route("/workspace/members", GET=list_operation(page)),
    V1.route(
        "/workspace/members/{id}",
        GET=get_operation(get),
        PATCH=update_operation(update),
        DELETE=delete_operation(remove, more_errors=(409,)),
    ),
]
