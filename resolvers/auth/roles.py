"""Access control for a workspace itself: its members, groups, invites, API keys and webhooks.

All members see a workspace's members and groups. Its admins see the rest, and change all of them. An API key acts as an
admin of its workspace, and is not a member.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, literal, select
from sqlalchemy.orm import Mapped, aliased
from sqlmodel import col

from models import ApiKey, Delivery, Group, Invite, Member, Role, Webhook, Workspace
from models.base import Record
from models.workspace import ADMIN_ROLES, API_KEY_ROLE
from resolvers.core.database import Transaction
from resolvers.core.errors import forbidden, not_found
from resolvers.core.nested_pages import Parents, any_of
from resolvers.core.viewer import Viewer

ROLE = Member.__table__.columns["role"].type  # type: ignore[attr-defined]  # set on table classes


def viewer_role(viewer: Viewer, workspace_id: Mapped[UUID]) -> ColumnElement[Role | None]:
    """The SQL value of the viewer's current role in a workspace; NULL for an outsider."""
    if viewer.api_key_id is not None:
        return case((workspace_id == viewer.workspace_id, literal(API_KEY_ROLE, ROLE)))
    member = aliased(Member)
    is_viewer = (col(member.workspace_id) == workspace_id, col(member.user_id) == viewer.user_id)
    return select(col(member.role)).where(*is_viewer).scalar_subquery()


def is_admin(viewer: Viewer, workspace_id: Mapped[UUID]) -> ColumnElement[bool]:
    """The SQL condition that a row is in a workspace of which the viewer is an admin."""
    return viewer_role(viewer, workspace_id).in_(ADMIN_ROLES)


async def require_workspace(tx: Transaction, viewer: Viewer, workspace_id: UUID, *, admin: bool = False) -> None:
    """Raises NOT_FOUND for outsiders of the workspace, and with `admin` FORBIDDEN for members who are not admins."""
    query = select(viewer_role(viewer, col(Workspace.id))).where(col(Workspace.id) == workspace_id)
    role: Role | None = (await tx.execute(query)).scalar_one_or_none()
    if role is None:
        raise not_found("Workspace", workspace_id)
    _check_role(role, admin=admin)


def _check_role(role: Role, *, admin: bool) -> None:
    if admin and not role.is_admin:
        raise forbidden("Workspace")


def workspace_parents(viewer: Viewer, workspace_ids: Sequence[UUID], *, admin: bool = False) -> Parents:
    """Workspaces whose lists are read together, each with the checks of `require_workspace`."""
    role = viewer_role(viewer, col(Workspace.id))
    columns: list[Any] = [col(Workspace.id).label("parent_id"), role.label("viewer_role")]
    query = select(*columns).where(col(Workspace.id) == any_of(workspace_ids), role.is_not(None))
    return Parents(workspace_ids, query, "Workspace", lambda parent: _check_role(parent.viewer_role, admin=admin))


async def require_row(
    tx: Transaction,
    viewer: Viewer,
    table: type[Member | Group | Invite | ApiKey | Webhook | Delivery],
    ident: UUID,
    *,
    admin: bool = False,
) -> Record:
    """A row of one of the viewer's workspaces, with `viewer_role`, the viewer's role there.

    Raises NOT_FOUND for outsiders, and with `admin` FORBIDDEN for members who are not admins.
    """
    role = viewer_role(viewer, col(table.workspace_id)).label("viewer_role")
    row = (await tx.execute(select(table, role).where(col(table.id) == ident))).one_or_none()
    if row is None or row.viewer_role is None:
        raise not_found(table.__name__, ident)
    if admin and not row.viewer_role.is_admin:
        raise forbidden(table.__name__)
    return row
