"""Who a credential stands for: API keys and users' access tokens."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import col

from models import ApiKey, Member, Plan, Role, User, Workspace
from models.base import Record, as_id, new_id
from resolvers.access import SCOPES
from resolvers.context import Claims, Context, Transaction, Viewer
from resolvers.errors import Code, Problem, bad_input

KEY_PREFIX = "sk-caret-api-"
SHOWN = len(KEY_PREFIX) + 4
"""Characters of a key that are kept readable."""


def refused(message: str) -> Problem:
    return Problem(Code.UNAUTHENTICATED, message)


async def authenticate(ctx: Context, credential: str, workspace_id: UUID | None = None) -> Viewer:
    """The viewer behind a key or an access token; `workspace_id` picks one of a user's workspaces.

    Raises UNAUTHENTICATED, or FORBIDDEN for a workspace that the user is not a member of.
    """
    if credential.startswith(KEY_PREFIX):
        return await _by_key(ctx, credential)
    claims = await ctx.tokens.verify(credential)
    async with ctx.read() as tx:
        member = await _membership(tx, claims.user_id, workspace_id)
    if member is None and workspace_id is None:
        member = await _first_seen(ctx, claims)
    if member is None:
        raise Problem(Code.FORBIDDEN, f"You are not a member of workspace {workspace_id}.")
    return Viewer(claims.user_id, member.workspace_id, member.role)


def digest_of(key: str) -> bytes:
    # Plain SHA-256 is enough: a key is 256 random bits, so there is nothing to guess from a dictionary.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


async def _by_key(ctx: Context, key: str) -> Viewer:
    digest = digest_of(key)
    query = (
        select(col(ApiKey.id), col(ApiKey.digest), col(ApiKey.scopes), col(Workspace.id), col(Workspace.user_id))
        .join(Workspace, col(Workspace.id) == col(ApiKey.workspace_id))
        .where(col(ApiKey.digest) == digest, col(ApiKey.revoked_at).is_(None))
    )
    async with ctx.read() as tx:
        row = (await tx.execute(query)).one_or_none()
    if row is None or not hmac.compare_digest(row.digest, digest):
        raise refused("This API key is unknown or was revoked.")
    key_id, _, scopes, workspace_id, user_id = row
    return Viewer(user_id, workspace_id, Role.ADMIN, key_id, None if scopes is None else frozenset(scopes))


async def _membership(tx: Transaction, user_id: UUID, workspace_id: UUID | None) -> Record | None:
    """The user's place in that workspace, or in the one they have been in for longest."""
    query = select(col(Member.workspace_id), col(Member.role)).where(col(Member.user_id) == user_id)
    if workspace_id is not None:
        query = query.where(col(Member.workspace_id) == workspace_id)
    return (await tx.execute(query.order_by(col(Member.created_at), col(Member.id)).limit(1))).one_or_none()


async def _first_seen(ctx: Context, claims: Claims) -> Record:
    """Gives a new user a row and a personal workspace. Two first requests at once end with one of each."""
    async with ctx.transaction() as tx:
        await ensure_user(tx, claims.user_id, claims.email, claims.name)
        # Whoever comes second waits here for the first, and then finds its membership.
        await tx.execute(select(User).where(col(User.id) == claims.user_id).with_for_update())
        member = await _membership(tx, claims.user_id, None)
        if member is None:
            name = claims.name or (claims.email or "Personal").partition("@")[0]
            workspace_id = await create_workspace(tx, f"{name}'s workspace")
            await join(tx, workspace_id, claims.user_id, Role.ADMIN)
            member = await _membership(tx, claims.user_id, None)
    if member is None:
        raise RuntimeError("a membership that was just written is not there")
    return member


async def standing(tx: Transaction, viewer: Viewer) -> Viewer:
    """The viewer as they are now: their role may have changed, or their place may be gone, since they came."""
    if viewer.api_key_id is not None:
        alive = select(col(ApiKey.id)).where(col(ApiKey.id) == viewer.api_key_id, col(ApiKey.revoked_at).is_(None))
        if (await tx.execute(alive)).one_or_none() is None:
            raise refused("This API key is unknown or was revoked.")
        return viewer
    member = await _membership(tx, viewer.user_id, viewer.workspace_id)
    if member is None:
        raise Problem(Code.FORBIDDEN, f"You are not a member of workspace {viewer.workspace_id}.")
    return replace(viewer, role=member.role)


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
        "digest": digest_of(key),
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
