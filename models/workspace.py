"""Workspaces, their people and their API keys."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlmodel import Field, SQLModel

from models.base import choice, json, key, new_id, reference, string, timestamp


class Plan(StrEnum):
    FREE = "free"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Role(StrEnum):
    """A user's role in a workspace. `is_admin`: it sees and manages everything there, except for other users'
    conversations. To add a role, add a line here and a migration that widens the CHECK constraints of the columns
    `role`; tests/test_roles.py names whatever else is missing."""

    is_admin: bool

    def __new__(cls, value: str, is_admin: bool = False) -> "Role":
        member = str.__new__(cls, value)
        member._value_ = value
        member.is_admin = is_admin
        return member

    ADMIN = "admin", True
    MEMBER = "member", False


ADMIN_ROLES = tuple(role for role in Role if role.is_admin)
API_KEY_ROLE = Role.ADMIN
"""The role of an API key in its workspace."""


class User(SQLModel, table=True):
    """A person, whose `id` is the `sub` of their access token, or a workspace's own user, as which its API keys act."""

    __tablename__ = "users"
    id: UUID = Field(default_factory=new_id, sa_column=key())
    email: str | None = Field(default=None, sa_column=string(nullable=True))
    name: str = Field(sa_column=string())
    profile_url: str | None = Field(default=None, sa_column=string(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())


Index("users_by_email", func.lower(User.email))


class Workspace(SQLModel, table=True):
    __tablename__ = "workspaces"
    __table_args__ = (Index("workspaces_to_reindex", "id", postgresql_where="reindex_since IS NOT NULL"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    name: str = Field(sa_column=string())
    plan: Plan = Field(default=Plan.FREE, sa_column=choice(Plan, server_default=Plan.FREE.value))
    icon_url: str | None = Field(default=None, sa_column=string(nullable=True))
    allowed_email_domains: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(String), nullable=False, server_default="{}")
    )
    settings: dict[str, Any] = Field(default_factory=dict, sa_column=json(nullable=False, default="{}"))
    # RESTRICT: the workspace's own user is deleted after the workspace, never before it.
    user_id: UUID = Field(sa_column=reference("users.id", ondelete="RESTRICT", unique=True))
    # The last `seq` of the event log, incremented under this row's lock: commits and numbers have the same order.
    last_seq: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    # The `seq` at which the event log begins: older events were deleted.
    first_seq: int = Field(default=1, sa_column=Column(BigInteger, nullable=False, server_default="1"))
    # If set, the notes that were indexed before this time are indexed again.
    reindex_since: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())


class Member(SQLModel, table=True):
    __tablename__ = "members"
    __table_args__ = (
        UniqueConstraint("workspace_id", "user_id", name="members_once"),
        Index("members_by_user", "user_id", "created_at", "id"),
        Index("members_in_order", "workspace_id", "created_at", "id"),
    )
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    user_id: UUID = Field(sa_column=reference("users.id"))
    role: Role = Field(default=Role.MEMBER, sa_column=choice(Role))
    created_at: datetime = Field(default=None, sa_column=timestamp())


class ApiKey(SQLModel, table=True):
    """An API key of a workspace. Only its SHA-256 digest is stored, and a prefix by which people recognise it."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_in_order", "workspace_id", "created_at", "id"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    name: str = Field(sa_column=string())
    prefix: str = Field(sa_column=string())
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    # None means full access to the workspace.
    scopes: list[str] | None = Field(default=None, sa_column=Column(ARRAY(String), nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    last_used_at: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))


class Group(SQLModel, table=True):
    """A named set of members of a workspace, as in an organisation chart. It grants no rights."""

    __tablename__ = "groups"
    __table_args__ = (UniqueConstraint("workspace_id", "name", name="groups_once"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    name: str = Field(sa_column=string())
    description: str | None = Field(default=None, sa_column=string(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())


class GroupMember(SQLModel, table=True):
    __tablename__ = "group_members"
    __table_args__ = (Index("group_members_by_member", "member_id", "group_id"),)
    group_id: UUID = Field(sa_column=reference("groups.id", primary_key=True))
    member_id: UUID = Field(sa_column=reference("members.id", primary_key=True))
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))


class Invite(SQLModel, table=True):
    """An open invite for the user with `email`, or with `is_url_invite` for everybody who has its code."""

    __tablename__ = "invites"
    __table_args__ = (Index("invites_in_order", "workspace_id", "created_at", "id"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    email: str | None = Field(default=None, sa_column=string(nullable=True))
    code: str = Field(sa_column=Column(String, nullable=False, unique=True))
    role: Role = Field(default=Role.MEMBER, sa_column=choice(Role))
    is_url_invite: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default="false"))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    created_by_id: UUID | None = Field(
        default=None, sa_column=reference("users.id", ondelete="SET NULL", nullable=True, index=True)
    )
    created_at: datetime = Field(default=None, sa_column=timestamp())


class InviteGroup(SQLModel, table=True):
    """A group that a user joins by accepting the invite."""

    __tablename__ = "invite_groups"
    __table_args__ = (Index("invite_groups_by_group", "group_id", "invite_id"),)
    invite_id: UUID = Field(sa_column=reference("invites.id", primary_key=True))
    group_id: UUID = Field(sa_column=reference("groups.id", primary_key=True))
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))


class IdempotencyKey(SQLModel, table=True):
    """The row that a create with an idempotency key made. It is written in the transaction of the create."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_age", "created_at"),)
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", primary_key=True))
    # The API key or user that made the request. Not a foreign key, because it may be either.
    actor_id: UUID = Field(sa_column=Column(Uuid(), primary_key=True))
    key: str = Field(sa_column=Column(String, primary_key=True))
    # SHA-256 of the operation and its input: the same key with another input is refused.
    fingerprint: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    result_id: UUID = Field(sa_column=Column(Uuid(), nullable=False))
    created_at: datetime = Field(default=None, sa_column=timestamp())


class RateWindow(SQLModel, table=True):
    """The points that a caller spent in each of the last 61 seconds. Unlogged: a crash of Postgres resets them."""

    __tablename__ = "rate_windows"
    __table_args__ = {"prefixes": ["UNLOGGED"]}
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", primary_key=True))
    actor_id: UUID = Field(sa_column=Column(Uuid(), primary_key=True))
    # The Unix second that was counted last. `spent` holds the points of each second at its number modulo 61.
    second: int = Field(sa_column=Column(BigInteger, nullable=False))
    spent: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False))
