"""`/v1/workspace/invites`, and the same under `/v1/invites`."""

from collections.abc import Iterator, Sequence

from starlette.routing import Route

from models.base import Record
from models.people import AcceptDraft, InviteDraft
from resolvers.core.context import Context
from resolvers.workspaces import groups, invites
from rest_compat import members, serializers, shapes
from rest_compat.notes_api import V1
from rest_compat.operations import action_operation, create_operation, delete_operation, list_operation
from rest_compat.pagination import PageQuery
from rest_compat.request import Call
from rest_compat.shapes import Confirmation, InviteResponse, MemberResponse, Page


async def page(call: Call, query: PageQuery) -> Page[shapes.Invite]:
    """Lists the workspace's open invites, newest first."""
    rows, is_last = await invites.list_invites_by_offset(call.ctx, query.limit, query.offset)
    return serializers.page_response(
        await serialize_invites(call.ctx, rows), query.limit, query.offset, is_last=is_last
    )


async def create(call: Call, body: InviteDraft) -> InviteResponse:
    """Creates an invite that is valid for 30 days: one person by e-mail, or everybody who has the code by URL."""
    [invite] = await serialize_invites(call.ctx, [await invites.create_invite(call.ctx, body, call.idempotency_key)])
    return {"invite": invite}


async def delete(call: Call) -> Confirmation:
    """Withdraws an open invite."""
    await invites.delete_invite(call.ctx, call.path_id("Invite"))
    return {"success": True, "message": "Invite deleted"}


async def accept(call: Call, body: AcceptDraft) -> MemberResponse:
    """Joins the workspace of an invite. Needs a user's token. Nothing changes for a member of the workspace."""
    return await members.member_response(call.ctx, await invites.accept_invite(call.ctx, body))


async def serialize_invites(ctx: Context, rows: Sequence[Record]) -> list[shapes.Invite]:
    """The invites with their groups."""
    of_invites = await groups.find_groups_of_invites(ctx, [row.id for row in rows])
    return [
        {
            "id": row.id,
            "email": row.email,
            "code": row.code,
            "role": row.role,
            "isUrlInvite": row.is_url_invite,
            "expiresAt": serializers.millis(row.expires_at),
            "createdAt": serializers.millis(row.created_at),
            "groups": serializers.groups(of_invites.get(row.id, ())),
        }
        for row in rows
    ]


def routes_at(path: str) -> Iterator[Route]:
    yield V1.route(path, GET=list_operation(page), POST=create_operation(create))
    # Before the route with an id, which would match it.
    yield V1.route(f"{path}/accept", POST=action_operation(accept, more_errors=(404,)))
    yield V1.route(path + "/{id}", DELETE=delete_operation(delete))


ROUTES = [*routes_at("/workspace/invites"), *routes_at("/invites")]
