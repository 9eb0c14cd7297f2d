"""Workspaces, their people and their keys."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, Index, LargeBinary, String, UniqueConstraint, func
from sqlmodel import Field, SQLModel

from models.base import choice, json, key, new_id, reference, string, timestamp


class Plan(StrEnum):
    FREE = "free"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Role(StrEnum):
    ADMIN = "admin"
    MEMBER = "member"


class User(SQLModel, table=True):
    """A person (`id` is the `sub` of their token), or a workspace's own user, under which its API keys act."""

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
    id: UUID = Field(default_factory=new_id, sa_column=key())
    name: str = Field(sa_column=string())
    plan: Plan = Field(default=Plan.FREE, sa_column=choice(Plan, server_default=Plan.FREE.value))
    icon_url: str | None = Field(default=None, sa_column=string(nullable=True))
    allowed_email_domains: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(String), nullable=False, server_default="{}")
    )
    settings: dict[str, Any] = Field(default_factory=dict, sa_column=json(nullable=False, default="{}"))
    # RESTRICT: the workspace's own user goes after the workspace, never before it.
    user_id: UUID = Field(sa_column=reference("users.id", ondelete="RESTRICT", unique=True))
    # The last `seq` of the event log. Taken under this row's lock, so commits and numbers have one order.
    last_seq: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
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
    """A key of a workspace: only its SHA-256 is kept, and a prefix by which people recognise it."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_in_order", "workspace_id", "created_at", "id"),)
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    name: str = Field(sa_column=string())
    prefix: str = Field(sa_column=string())
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    # None: full access to the workspace.
    scopes: list[str] | None = Field(default=None, sa_column=Column(ARRAY(String), nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    last_used_at: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
