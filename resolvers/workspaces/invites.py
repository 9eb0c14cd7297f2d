"""Invites to a workspace: by e-mail for one person, by URL for everybody who has the code. Admins see and create them.

A code is a secret: whoever may not use it gets the same NOT_FOUND as for a code that does not exist.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, insert, select
from sqlalchemy import delete as remove
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col

from models import Group, Invite, InviteGroup, Member, User, Workspace
from models.base import Record, new_id
from models.limits import limit
from models.people import AcceptDraft, InviteDraft
from resolvers.auth import access, roles
from resolvers.core import locks
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input, not_found
from resolvers.core.idempotency import claim
from resolvers.core.nested_pages import Pages, read_pages
from resolvers.core.pagination import Order, PageArguments, check_limit_and_offset
from resolvers.workspaces import groups, members

LIFETIME_DAYS = limit(30, "How long an invite is open", area="Workspaces", unit="days", beyond="`NOT_FOUND`, 404")
LIFETIME = timedelta(days=LIFETIME_DAYS)
MAX_INVITES = limit(1_000, "Open invites of a workspace", area="Workspaces", beyond="`UNPROCESSABLE`, 422")
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""The characters of codes, without those that are mistaken for others."""
CODE_LENGTH = 8

BY_TIME = Order("invite", col(Invite.created_at), col(Invite.id), descending=True)
OPEN = col(Invite.expires_at) > func.now()


def _pending(workspace_id: Any) -> Select[Any]:
    return select(Invite).where(col(Invite.workspace_id) == workspace_id, OPEN)


async def list_invites(ctx: Context, workspace_ids: Sequence[UUID], window: PageArguments) -> Pages:
    """A page of the open invites of each workspace, newest first. FORBIDDEN where the viewer is not an admin."""
    access.require_scope(ctx.viewer, "users")
    return await read_pages(
        ctx, roles.workspace_parents(ctx.viewer, workspace_ids, admin=True), _pending, BY_TIME, window
    )


async def list_invites_by_offset(ctx: Context, limit: int, offset: int) -> tuple[Sequence[Record], bool]:
    """A page of the open invites of the viewer's workspace by offset, and whether it is the last one."""
    access.require_scope(ctx.viewer, "users")
    check_limit_and_offset(limit, offset)
    query = BY_TIME.apply(_pending(ctx.viewer.workspace_id), PageArguments(first=limit)).offset(offset)
    async with ctx.read() as tx:
        await roles.require_workspace(tx, ctx.viewer, ctx.viewer.workspace_id, admin=True)
        rows = (await tx.execute(query)).all()
    return rows[:limit], len(rows) <= limit


async def find_invites(ctx: Context, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The open invites with these ids in workspaces of which the viewer is an admin, by id."""
    query = select(Invite).where(
        col(Invite.id).in_(list(ids)), OPEN, roles.is_admin(ctx.viewer, col(Invite.workspace_id))
    )
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def create_invite(ctx: Context, draft: InviteDraft, key: str | None = None) -> Record:
    """Creates an invite to the viewer's workspace. A second call with the same idempotency key returns the first one.

    Raises ALREADY_EXISTS if the address has an open invite, UNPROCESSABLE for a domain that is not allowed, for an
    unknown group, and beyond MAX_INVITES.
    """
    viewer, invite_id = ctx.viewer, new_id()
    access.require_scope(viewer, "users", write=True)
    if draft.email is None and not draft.is_url_invite:
        raise bad_input("email", "An invite that is not a URL invite needs an address.")
    async with ctx.transaction() as tx:
        await roles.require_workspace(tx, viewer, viewer.workspace_id, admin=True)
        await locks.acquire_lock(tx, "invites", viewer.workspace_id)
        created_id = await claim(tx, viewer, key, invite_id, operation="createInvite", draft=draft)
        if created_id != invite_id:
            return await roles.require_row(tx, viewer, Invite, created_id, admin=True)
        await _check(tx, viewer.workspace_id, draft)
        values = {"id": invite_id, "workspace_id": viewer.workspace_id, "created_by_id": viewer.user_id}
        return await _create(tx, draft, {**values, **draft.model_dump(exclude={"group_ids"})})


async def _create(tx: Transaction, draft: InviteDraft, values: dict[str, Any]) -> Record:
    group_ids = await groups.lock_groups(tx, values["workspace_id"], draft.group_ids)
    row = None
    while row is None:  # repeated if another invite has the code, once in 10^12
        values |= {"code": new_code(), "expires_at": func.now() + LIFETIME}
        written = upsert(Invite).values(values).on_conflict_do_nothing(index_elements=["code"]).returning(Invite)
        row = (await tx.execute(written)).one_or_none()
    if group_ids:
        owner = {"invite_id": row.id, "workspace_id": row.workspace_id}
        await tx.execute(insert(InviteGroup), [{**owner, "group_id": group_id} for group_id in group_ids])
    return row


def new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


async def _check(tx: Transaction, workspace_id: UUID, draft: InviteDraft) -> None:
    """Checks whether an invite may be created. The caller holds the lock on the workspace's invites."""
    in_workspace = col(Invite.workspace_id) == workspace_id
    # Expired invites neither count nor keep an address from being invited again.
    await tx.execute(remove(Invite).where(in_workspace, col(Invite.expires_at) <= func.now()))
    if (await tx.execute(select(func.count()).select_from(Invite).where(in_workspace))).scalar_one() >= MAX_INVITES:
        raise Problem(ErrorCode.UNPROCESSABLE, f"A workspace has at most {MAX_INVITES:,} open invites.")
    if draft.email is None:
        return
    domains = select(col(Workspace.allowed_email_domains)).where(col(Workspace.id) == workspace_id)
    if not is_allowed(draft.email, (await tx.execute(domains)).scalar_one()):
        raise Problem(ErrorCode.UNPROCESSABLE, "The workspace does not allow addresses of this domain.", "email")
    same = and_(
        in_workspace, func.lower(col(Invite.email)) == draft.email.lower(), col(Invite.is_url_invite).is_(False)
    )
    if not draft.is_url_invite and (await tx.execute(select(col(Invite.id)).where(same))).first():
        raise Problem(ErrorCode.ALREADY_EXISTS, "This address already has an open invite.", "email")


def is_allowed(email: str | None, domains: Sequence[str]) -> bool:
    """Whether an address belongs to one of the domains. Without domains, every address is allowed."""
    domain = (email or "").rpartition("@")[2].lower()
    return not domains or domain in {one.lower() for one in domains}


async def delete_invite(ctx: Context, invite_id: UUID) -> None:
    """Deletes an open invite."""
    access.require_scope(ctx.viewer, "users", write=True)
    async with ctx.transaction() as tx:
        await roles.require_row(tx, ctx.viewer, Invite, invite_id, admin=True)
        statement = remove(Invite).where(col(Invite.id) == invite_id).returning(OPEN)
        if not (await tx.execute(statement)).scalar_one_or_none():
            raise not_found("Invite", invite_id)


async def accept_invite(ctx: Context, draft: AcceptDraft) -> Record:
    """Makes the viewer a member of the invite's workspace. The membership of those who have one stays as it is.

    The code takes the place of the gates in `access` and `roles`, because the viewer is still an outsider.
    Raises NOT_FOUND if the code is not for them, FORBIDDEN to API keys and for a domain that is not allowed.
    """
    viewer = ctx.viewer
    if viewer.api_key_id is not None:
        raise Problem(ErrorCode.FORBIDDEN, "Only a person can accept an invite, with their own token.")
    async with ctx.transaction() as tx:
        email = (await tx.execute(select(col(User.email)).where(col(User.id) == viewer.user_id))).scalar_one()
        invite = await _lock_usable(tx, draft.code, email)
        membership = and_(col(Member.workspace_id) == invite.workspace_id, col(Member.user_id) == viewer.user_id)
        if (await tx.execute(select(col(Member.id)).where(membership))).first() is None:
            if not is_allowed(email, invite.allowed_email_domains):
                raise Problem(ErrorCode.FORBIDDEN, "The workspace does not allow addresses of your domain.")
            await _join(tx, invite, viewer.user_id)
        return (await tx.execute(members.MEMBERS.where(membership))).one()


async def _lock_usable(tx: Transaction, code: str, email: str | None) -> Record:
    """Locks and returns the open invite with a code that is for this address."""
    query = (
        select(Invite, col(Workspace.allowed_email_domains))
        .join(Workspace, col(Workspace.id) == col(Invite.workspace_id))
        .where(col(Invite.code) == code.upper(), OPEN)
    )
    invite = (await tx.execute(query.with_for_update(of=Invite))).one_or_none()
    if invite is None or (not invite.is_url_invite and not _is_same_address(invite.email, email)):
        raise not_found("Invite", code)
    return invite


def _is_same_address(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one.lower() == other.lower()


async def _join(tx: Transaction, invite: Record, user_id: UUID) -> None:
    # The user may accept another invite at the same moment. Then this one stays open.
    values = {"workspace_id": invite.workspace_id, "user_id": user_id, "role": invite.role}
    joining = upsert(Member).values(values).on_conflict_do_nothing(constraint="members_once").returning(col(Member.id))
    member_id: UUID | None = (await tx.execute(joining)).scalar_one_or_none()
    if member_id is None:
        return
    groups_of_invite = select(col(Group.id)).join(InviteGroup, col(InviteGroup.group_id) == col(Group.id))
    query = groups_of_invite.where(col(InviteGroup.invite_id) == invite.id).order_by(col(Group.id))
    # Locked, so that a group that is being deleted at this moment is left out.
    locked = await tx.execute(query.with_for_update(of=Group, read=True, key_share=True))
    await members.add_to_groups(tx, invite.workspace_id, member_id, locked.scalars())
    if not invite.is_url_invite:
        await tx.execute(remove(Invite).where(col(Invite.id) == invite.id))
