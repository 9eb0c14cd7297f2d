"""Who a credential stands for: API keys and users' access tokens."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, func, insert, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col

from models import ApiKey, Member, Plan, Role, User, Workspace
from models.base import Record, as_id, new_id
from models.workspace import API_KEY_ROLE
from resolvers.auth.access import SCOPES
from resolvers.core.allowance import REQUEST_COST_POINTS, Meter
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input
from resolvers.core.ports.access_tokens import Claims
from resolvers.core.rate_limit import build_charge, charge_parameters
from resolvers.core.viewer import Viewer

KEY_PREFIX = "sk-caret-api-"
SHOWN = len(KEY_PREFIX) + 4
"""Characters of a key that are kept readable."""
USE_NOTED = timedelta(minutes=1)
"""How old a key's `last_used_at` grows while it is used: that often at most it is written."""


def refused(message: str) -> Problem:
    return Problem(ErrorCode.UNAUTHENTICATED, message)


async def authenticate(ctx: Context, credential: str, workspace_id: UUID | None = None, *, meter: Meter) -> Viewer:
    """The viewer behind a key or an access token; `workspace_id` picks one of a user's workspaces.

    In the same round trip it spends what every request costs. Raises UNAUTHENTICATED, FORBIDDEN for a workspace that
    the user is not a member of (neither costs anything), or RATE_LIMITED.
    """
    if credential.startswith(KEY_PREFIX):
        return await _by_key(ctx, credential, meter)
    claims = await ctx.token_verifier.verify(credential)
    member = await _by_membership(ctx, claims.user_id, workspace_id)
    if member is None and workspace_id is None:
        await _first_seen(ctx, claims)
        member = await _by_membership(ctx, claims.user_id, None)
    if member is None:
        raise Problem(ErrorCode.FORBIDDEN, f"You are not a member of workspace {workspace_id}.")
    meter.record(member)
    return Viewer(claims.user_id, member.workspace_id, member.role, expires_at=claims.expires_at)


def hash_key(key: str) -> bytes:
    # Plain SHA-256 is enough: a key is 256 random bits, so there is nothing to guess from a dictionary.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


async def _by_key(ctx: Context, key: str, meter: Meter) -> Viewer:
    digest = hash_key(key)
    async with ctx.read() as tx:
        row = (
            await tx.execute(_key_query(), {"presented": digest, **charge_parameters(ctx.limits, REQUEST_COST_POINTS)})
        ).one_or_none()
        if row is None or not hmac.compare_digest(row.digest, digest):
            raise refused("This API key is unknown or was revoked.")
        if row.unnoted:
            # One request a minute waits for this, which a task of its own could lose. Of several at once the first
            # writes: the others wait for its row, look again and find it noted.
            noted = update(ApiKey).where(col(ApiKey.id) == row.id, _unnoted()).values(last_used_at=func.now())
            await tx.execute(noted)
    meter.record(row)
    scopes = None if row.scopes is None else frozenset(row.scopes)
    return Viewer(row.user_id, row.workspace_id, API_KEY_ROLE, row.id, scopes)


def _unnoted() -> ColumnElement[bool]:
    return or_(col(ApiKey.last_used_at).is_(None), col(ApiKey.last_used_at) < func.now() - USE_NOTED)


@cache
def _key_query() -> Select[*tuple[Any, ...]]:
    spent, charged = build_charge(col(Workspace.id), col(ApiKey.id))
    columns = (ApiKey.id, ApiKey.digest, ApiKey.scopes, ApiKey.workspace_id, Workspace.user_id)
    return (
        select(*map(col, columns), _unnoted().label("unnoted"), *charged)
        .join(Workspace, col(Workspace.id) == col(ApiKey.workspace_id))
        .join(spent, true())
        .where(col(ApiKey.digest) == bindparam("presented"), col(ApiKey.revoked_at).is_(None))
    )


async def _by_membership(ctx: Context, user_id: UUID, workspace_id: UUID | None) -> Record | None:
    caller = {"user": user_id} if workspace_id is None else {"user": user_id, "workspace": workspace_id}
    query = _member_query(picked=workspace_id is not None)
    async with ctx.read() as tx:
        return (await tx.execute(query, {**caller, **charge_parameters(ctx.limits, REQUEST_COST_POINTS)})).one_or_none()


@cache
def _member_query(*, picked: bool) -> Select[*tuple[Any, ...]]:
    # The place is found first and by itself: a sort and a limit around the charge would charge for every workspace.
    place = _place(bindparam("user"), bindparam("workspace") if picked else None).subquery("place")
    spent, charged = build_charge(place.c.workspace_id, place.c.user_id)
    return (
        select(place.c.workspace_id, place.c.role, *charged)
        .join(Workspace, col(Workspace.id) == place.c.workspace_id)
        .join(spent, true())
    )


async def _membership(tx: Transaction, user_id: UUID, workspace_id: UUID | None) -> Record | None:
    return (await tx.execute(_place(user_id, workspace_id))).one_or_none()


def _place(user_id: Any, workspace_id: Any) -> Select[*tuple[Any, ...]]:
    """The user's place in that workspace, or in the one they have been in for longest."""
    columns = (Member.workspace_id, Member.user_id, Member.role)
    query = select(*map(col, columns)).where(col(Member.user_id) == user_id)
    if workspace_id is not None:
        query = query.where(col(Member.workspace_id) == workspace_id)
    return query.order_by(col(Member.created_at), col(Member.id)).limit(1)


async def _first_seen(ctx: Context, claims: Claims) -> None:
    """Gives a new user a row and a personal workspace. Two first requests at once end with one of each."""
    async with ctx.transaction() as tx:
        await ensure_user(tx, claims.user_id, claims.email, claims.name)
        # Whoever comes second waits here for the first, and then finds its membership.
        await tx.execute(select(User).where(col(User.id) == claims.user_id).with_for_update())
        if await _membership(tx, claims.user_id, None) is None:
            name = claims.name or (claims.email or "Personal").partition("@")[0]
            workspace_id = await create_workspace(tx, f"{name}'s workspace")
            await join(tx, workspace_id, claims.user_id, Role.ADMIN)


async def refresh_viewer(tx: Transaction, viewer: Viewer) -> Viewer:
    """The viewer as they are now: their role may have changed, or their place may be gone, since they came."""
    if viewer.api_key_id is not None:
        alive = select(col(ApiKey.id)).where(col(ApiKey.id) == viewer.api_key_id, col(ApiKey.revoked_at).is_(None))
        if (await tx.execute(alive)).one_or_none() is None:
            raise access_revoked(viewer)
        return viewer
    member = await _membership(tx, viewer.user_id, viewer.workspace_id)
    if member is None:
        raise access_revoked(viewer)
    return replace(viewer, role=member.role)


def access_revoked(viewer: Viewer) -> Problem:
    """What is told to who was let in once: UNAUTHENTICATED to a key, FORBIDDEN to a person."""
    if viewer.api_key_id is not None:
        return refused("This API key is unknown or was revoked.")
    return Problem(ErrorCode.FORBIDDEN, f"You are not a member of workspace {viewer.workspace_id}.")


async def ensure_user(tx: Transaction, user_id: UUID, email: str | None, name: str | None) -> None:
    name = name or (email or "Someone").partition("@")[0]
    values = {"id": user_id, "email": email, "name": name}
    await tx.execute(upsert(User).values(values).on_conflict_do_nothing(index_elements=["id"]))


async def create_workspace(tx: Transaction, name: str, plan: Plan = Plan.FREE) -> UUID:
    """A workspace with its own user, under which its keys act."""
    user_id, workspace_id = new_id(), new_id()
    await ensure_user(tx, user_id, None, name)
    await tx.execute(insert(Workspace).values(id=workspace_id, name=name, plan=plan, user_id=user_id))
    return workspace_id


async def join(tx: Transaction, workspace_id: UUID, user_id: UUID, role: Role) -> None:
    values = {"workspace_id": workspace_id, "user_id": user_id, "role": role}
    await tx.execute(upsert(Member).values(values).on_conflict_do_nothing(constraint="members_once"))


async def create_key(tx: Transaction, workspace_id: UUID, name: str, scopes: Sequence[str] | None = None) -> str:
    """A new key, returned this once: only its digest and its first characters are kept.

    `scopes` None gives full access to the workspace, an empty list gives none.
    """
    known = {*SCOPES, *(f"{scope}:read" for scope in SCOPES)}
    for scope in scopes or ():
        if scope not in known:
            raise bad_input("scopes", f"Unknown scope {scope!r}. Known: {', '.join(sorted(known))}.")
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    values = {
        "workspace_id": workspace_id,
        "name": name,
        "prefix": key[:SHOWN],
        "digest": hash_key(key),
        "scopes": None if scopes is None else list(scopes),
    }
    await tx.execute(insert(ApiKey).values(values))
    return key


async def find_workspace(tx: Transaction, name_or_id: str) -> UUID | None:
    by_id = as_id(name_or_id)
    condition = col(Workspace.id) == by_id if by_id else col(Workspace.name) == name_or_id
    found = await tx.execute(select(col(Workspace.id)).where(condition).order_by(col(Workspace.created_at)).limit(1))
    return found.scalar_one_or_none()


async def find_user(tx: Transaction, email: str) -> UUID | None:
    query = select(col(User.id)).where(func.lower(User.email) == email.lower()).order_by(col(User.created_at)).limit(1)
    return (await tx.execute(query)).scalar_one_or_none()
