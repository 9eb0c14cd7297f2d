"""`/v1/workspace/invites`, and `/v1/invites`, which is the same."""

from collections.abc import Iterator, Sequence

from starlette.routing import Route

from models.base import Record
from models.people import AcceptDraft, InviteDraft
from resolvers.core.context import Context
from resolvers.workspaces import groups, invites
from rest_compat import members, serializers, shapes
from rest_compat.notes_api import V1
from rest_compat.operations import does, makes, reads, removes
from rest_compat.paging import Paging
from rest_compat.request import Call
from rest_compat.shapes import OneInvite, OneMember, Paged, Removed


async def page(call: Call, query: Paging) -> Paged[shapes.Invite]:
    """Lists the workspace's open invites, newest first."""
    rows, is_last = await invites.window(call.ctx, query.limit, query.offset)
    return serializers.paged(await shown(call.ctx, rows), query.limit, query.offset, is_last=is_last)


async def create(call: Call, body: InviteDraft) -> OneInvite:
    """Invites into the workspace for 30 days: by e-mail for one person, by URL for everybody who has the code."""
    [invite] = await shown(call.ctx, [await invites.create(call.ctx, body, call.idempotency_key)])
    return {"invite": invite}


async def delete(call: Call) -> Removed:
    """Withdraws an open invite."""
    await invites.delete(call.ctx, call.ident("Invite"))
    return {"success": True, "message": "Invite deleted"}


async def accept(call: Call, body: AcceptDraft) -> OneMember:
    """Joins the workspace of an invite, with a person's own token; a member stays as they are."""
    return await members.one(call.ctx, await invites.accept(call.ctx, body))


async def shown(ctx: Context, rows: Sequence[Record]) -> list[shapes.Invite]:
    """The invites with their groups."""
    of_invites = await groups.of_invites(ctx, [row.id for row in rows])
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


def routes_at(place: str) -> Iterator[Route]:
    yield V1.route(place, GET=reads(page), POST=makes(create))
    # Before the ids: it would be taken for one.
    yield V1.route(f"{place}/accept", POST=does(accept, refuses=(404,)))
    yield V1.route(place + "/{id}", DELETE=removes(delete))


ROUTES = [*routes_at("/workspace/invites"), *routes_at("/invites")]
