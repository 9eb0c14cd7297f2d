"""Authentication by API key or access token, and the rows behind it: users, workspaces, memberships and keys."""

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

API_KEY_PREFIX = "sk-caret-api-"
STORED_PREFIX_CHARACTERS = len(API_KEY_PREFIX) + 4
"""The first characters of a key, which are stored so that people recognise it."""
LAST_USED_PRECISION = timedelta(minutes=1)
"""A key's `last_used_at` is written at most this often."""


def unauthenticated(message: str) -> Problem:
    return Problem(ErrorCode.UNAUTHENTICATED, message)


async def authenticate(ctx: Context, credential: str, workspace_id: UUID | None = None, *, meter: Meter) -> Viewer:
    """The viewer of an API key or an access token; `workspace_id` selects one of a user's workspaces.

    The same round trip spends the points that every request costs. Raises UNAUTHENTICATED, FORBIDDEN for a workspace
    that the user is not a member of (neither costs points), or RATE_LIMITED.
    """
    if credential.startswith(API_KEY_PREFIX):
        return await _by_key(ctx, credential, meter)
    claims = await ctx.token_verifier.verify(credential)
    member = await _by_membership(ctx, claims.user_id, workspace_id)
    if member is None and workspace_id is None:
        await _create_first_workspace(ctx, claims)
        member = await _by_membership(ctx, claims.user_id, None)
    if member is None:
        raise Problem(ErrorCode.FORBIDDEN, f"You are not a member of workspace {workspace_id}.")
    meter.record(member)
    return Viewer(claims.user_id, member.workspace_id, member.role, expires_at=claims.expires_at)


def hash_key(key: str) -> bytes:
    """The digest under which a key is stored."""
    # Plain SHA-256 is enough: a key has 256 random bits, so no dictionary helps to guess it.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


async def _by_key(ctx: Context, key: str, meter: Meter) -> Viewer:
    digest = hash_key(key)
    async with ctx.read() as tx:
        row = (
            await tx.execute(_key_query(), {"presented": digest, **charge_parameters(ctx.limits, REQUEST_COST_POINTS)})
        ).one_or_none()
        if row is None or not hmac.compare_digest(row.digest, digest):
            raise unauthenticated("This API key is unknown or was revoked.")
        if row.is_use_outdated:
            # One request a minute waits for this, because a task in the background could be lost. Of several requests
            # at once the first one writes; the others wait for the row and then find it up to date.
            used = update(ApiKey).where(col(ApiKey.id) == row.id, _is_use_outdated()).values(last_used_at=func.now())
            await tx.execute(used)
    meter.record(row)
    scopes = None if row.scopes is None else frozenset(row.scopes)
    return Viewer(row.user_id, row.workspace_id, API_KEY_ROLE, row.id, scopes)


def _is_use_outdated() -> ColumnElement[bool]:
    return or_(col(ApiKey.last_used_at).is_(None), col(ApiKey.last_used_at) < func.now() - LAST_USED_PRECISION)


@cache
def _key_query() -> Select[*tuple[Any, ...]]:
    spent, charge_columns = build_charge(col(Workspace.id), col(ApiKey.id))
    columns = (ApiKey.id, ApiKey.digest, ApiKey.scopes, ApiKey.workspace_id, Workspace.user_id)
    return (
        select(*map(col, columns), _is_use_outdated().label("is_use_outdated"), *charge_columns)
        .join(Workspace, col(Workspace.id) == col(ApiKey.workspace_id))
        .join(spent, true())
        .where(col(ApiKey.digest) == bindparam("presented"), col(ApiKey.revoked_at).is_(None))
    )


async def _by_membership(ctx: Context, user_id: UUID, workspace_id: UUID | None) -> Record | None:
    caller = {"user": user_id} if workspace_id is None else {"user": user_id, "workspace": workspace_id}
    query = _member_query(is_workspace_selected=workspace_id is not None)
    async with ctx.read() as tx:
        return (await tx.execute(query, {**caller, **charge_parameters(ctx.limits, REQUEST_COST_POINTS)})).one_or_none()


@cache
def _member_query(*, is_workspace_selected: bool) -> Select[*tuple[Any, ...]]:
    # The membership is a subquery: a sort and a limit around the charge would charge every workspace of the user.
    workspace_id: Any = bindparam("workspace") if is_workspace_selected else None
    membership = _membership_query(bindparam("user"), workspace_id).subquery("membership")
    spent, charge_columns = build_charge(membership.c.workspace_id, membership.c.user_id)
    return (
        select(membership.c.workspace_id, membership.c.role, *charge_columns)
        .join(Workspace, col(Workspace.id) == membership.c.workspace_id)
        .join(spent, true())
    )


async def _membership(tx: Transaction, user_id: UUID, workspace_id: UUID | None) -> Record | None:
    return (await tx.execute(_membership_query(user_id, workspace_id))).one_or_none()


def _membership_query(user_id: Any, workspace_id: Any) -> Select[*tuple[Any, ...]]:
    """The user's membership in the workspace; for None, their oldest membership."""
    columns = (Member.workspace_id, Member.user_id, Member.role)
    query = select(*map(col, columns)).where(col(Member.user_id) == user_id)
    if workspace_id is not None:
        query = query.where(col(Member.workspace_id) == workspace_id)
    return query.order_by(col(Member.created_at), col(Member.id)).limit(1)


async def _create_first_workspace(ctx: Context, claims: Claims) -> None:
    """Creates a row and a personal workspace for a new user: one of each, even if two first requests come at once."""
    async with ctx.transaction() as tx:
        await ensure_user(tx, claims.user_id, claims.email, claims.name)
        # A second request waits here for the first one, and then finds its membership.
        await tx.execute(select(User).where(col(User.id) == claims.user_id).with_for_update())
        if await _membership(tx, claims.user_id, None) is None:
            name = claims.name or (claims.email or "Personal").partition("@")[0]
            workspace_id = await create_workspace(tx, f"{name}'s workspace")
            await add_member(tx, workspace_id, claims.user_id, Role.ADMIN)


async def refresh_viewer(tx: Transaction, viewer: Viewer) -> Viewer:
    """The viewer with their current role. Raises `access_revoked` if the key was revoked or the membership ended."""
    if viewer.api_key_id is not None:
        not_revoked = select(col(ApiKey.id)).where(
            col(ApiKey.id) == viewer.api_key_id, col(ApiKey.revoked_at).is_(None)
        )
        if (await tx.execute(not_revoked)).one_or_none() is None:
            raise access_revoked(viewer)
        return viewer
    member = await _membership(tx, viewer.user_id, viewer.workspace_id)
    if member is None:
        raise access_revoked(viewer)
    return replace(viewer, role=member.role)


def access_revoked(viewer: Viewer) -> Problem:
    """The error for a viewer who lost access: UNAUTHENTICATED for a revoked key, FORBIDDEN for a former member."""
    if viewer.api_key_id is not None:
        return unauthenticated("This API key is unknown or was revoked.")
    return Problem(ErrorCode.FORBIDDEN, f"You are not a member of workspace {viewer.workspace_id}.")


async def ensure_user(tx: Transaction, user_id: UUID, email: str | None, name: str | None) -> None:
    name = name or (email or "Someone").partition("@")[0]
    values = {"id": user_id, "email": email, "name": name}
    await tx.execute(upsert(User).values(values).on_conflict_do_nothing(index_elements=["id"]))


async def create_workspace(tx: Transaction, name: str, plan: Plan = Plan.FREE) -> UUID:
    """Creates a workspace, with its own user, under which its API keys act."""
    user_id, workspace_id = new_id(), new_id()
    await ensure_user(tx, user_id, None, name)
    await tx.execute(insert(Workspace).values(id=workspace_id, name=name, plan=plan, user_id=user_id))
    return workspace_id


async def add_member(tx: Transaction, workspace_id: UUID, user_id: UUID, role: Role) -> None:
    values = {"workspace_id": workspace_id, "user_id": user_id, "role": role}
    await tx.execute(upsert(Member).values(values).on_conflict_do_nothing(constraint="members_once"))


async def create_key(tx: Transaction, workspace_id: UUID, name: str, scopes: Sequence[str] | None = None) -> str:
    """Creates an API key. The key is returned only here: its digest and its first characters are stored.

    `scopes` None gives full access to the workspace, an empty list gives none.
    """
    valid_scopes = {*SCOPES, *(f"{scope}:read" for scope in SCOPES)}
    for scope in scopes or ():
        if scope not in valid_scopes:
            raise bad_input("scopes", f"Unknown scope {scope!r}. Known: {', '.join(sorted(valid_scopes))}.")
    key = API_KEY_PREFIX + secrets.token_urlsafe(32)
    values = {
        "workspace_id": workspace_id,
        "name": name,
        "prefix": key[:STORED_PREFIX_CHARACTERS],
        "digest": hash_key(key),
        "scopes": None if scopes is None else list(scopes),
    }
    await tx.execute(insert(ApiKey).values(values))
    return key


async def find_workspace(tx: Transaction, name_or_id: str) -> UUID | None:
    by_id = as_id(name_or_id)
    condition = col(Workspace.id) == by_id if by_id else col(Workspace.name) == name_or_id
    row = await tx.execute(select(col(Workspace.id)).where(condition).order_by(col(Workspace.created_at)).limit(1))
    return row.scalar_one_or_none()


async def find_user(tx: Transaction, email: str) -> UUID | None:
    query = select(col(User.id)).where(func.lower(User.email) == email.lower()).order_by(col(User.created_at)).limit(1)
    return (await tx.execute(query)).scalar_one_or_none()
