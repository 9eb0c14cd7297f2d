"""Webhooks: the endpoints that a workspace sends its events to, and each delivery as a row that survives crashes."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Uuid
from sqlmodel import Field, SQLModel

from models.base import choice, json, key, new_id, reference, string, timestamp
from models.limits import limit

MAX_URL = limit(2_000, "A webhook's URL", area="Webhooks", unit="characters", beyond="`BAD_USER_INPUT`, 400", minimum=1)


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Webhook(SQLModel, table=True):
    """An endpoint of a workspace. Its secrets are encrypted; after a rotation both sign until `previous_until`."""

    __tablename__ = "webhooks"
    __table_args__ = (
        Index("webhooks_in_order", "workspace_id", "created_at", "id"),
        Index("webhooks_off", "updated_at", postgresql_where="NOT is_active"),
    )
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    created_by_id: UUID | None = Field(
        default=None, sa_column=reference("users.id", ondelete="SET NULL", nullable=True, index=True)
    )
    url: str = Field(sa_column=string())
    label: str | None = Field(default=None, sa_column=string(nullable=True))
    events: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(String), nullable=False))
    # Created by POST /v1/integrations/zapier/webhook: identified by its address, and left out of lists.
    is_zapier: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default="false"))
    is_active: bool = Field(default=True, sa_column=Column(Boolean, nullable=False, server_default="true"))
    # Why the server stopped posting to it, in words that are safe to show.
    disabled_reason: str | None = Field(default=None, sa_column=string(nullable=True))
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    previous_secret: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    previous_until: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    # Since when every attempt at it has failed.
    failing_since: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())
    updated_at: datetime = Field(default=None, sa_column=timestamp())


class Delivery(SQLModel, table=True):
    """One event for one endpoint. Each attempt posts exactly the bytes of `body`."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("deliveries_due", "due_at", postgresql_where="status = 'pending'"),
        Index("deliveries_waiting", "webhook_id", "note_id", "seq", postgresql_where="status = 'pending'"),
        Index("deliveries_in_order", "webhook_id", "created_at", "id"),
        Index("deliveries_by_age", "created_at"),
    )
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id", index=True))
    webhook_id: UUID = Field(sa_column=reference("webhooks.id"))
    # No foreign keys: an event, and so its delivery, outlives its note.
    event_id: UUID = Field(sa_column=Column(Uuid(), nullable=False))
    note_id: UUID | None = Field(default=None, sa_column=Column(Uuid(), nullable=True))
    # The event's position in the workspace's log, which orders a note's deliveries; None for a test.
    seq: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    type: str = Field(sa_column=string())
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    status: DeliveryStatus = Field(
        default=DeliveryStatus.PENDING, sa_column=choice(DeliveryStatus, server_default=DeliveryStatus.PENDING.value)
    )
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    # When it is attempted next; during an attempt, the end of the worker's lease. NULL once it is finished.
    due_at: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    attempted_at: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    delivered_at: datetime | None = Field(default=None, sa_column=timestamp(nullable=True))
    # Of the last attempt: the headers sent, and the beginning of the response.
    request_headers: dict[str, Any] | None = Field(default=None, sa_column=json())
    response_status: int | None = Field(default=None, sa_column=Column(Integer, nullable=True))
    response_headers: dict[str, Any] | None = Field(default=None, sa_column=json())
    response_body: str | None = Field(default=None, sa_column=string(nullable=True))
    # Why the last attempt failed, in words that are safe to show.
    error: str | None = Field(default=None, sa_column=string(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp())


class WebhookPost(SQLModel, table=True):
    """An attempt of the last minute, counted for the plan's rate. It outlives its delivery and its endpoint."""

    __tablename__ = "webhook_posts"
    __table_args__ = (
        Index("webhook_posts_of_late", "workspace_id", "posted_at"),
        Index("webhook_posts_by_age", "posted_at"),
    )
    id: UUID = Field(default_factory=new_id, sa_column=key())
    workspace_id: UUID = Field(sa_column=reference("workspaces.id"))
    posted_at: datetime = Field(sa_column=timestamp())
