"""Webhooks and their deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import orjson
import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from models.base import Record
from resolvers.core.pagination import Page, PageArguments
from resolvers.webhooks import deliveries, endpoints
from resolvers.webhooks.drafts import WebhookChange, WebhookDraft
from schema.execution.selection import columns
from schema.types.base import Connection, Info, Node, get_or_none, parse_id
from schema.types.enums import DeliveryStatus
from schema.types.inputs import idempotency_key, to_draft
from schema.types.scalars import WebhookEventType


@strawberry.type(description="An event that is sent to a webhook, with the outcome of the last attempt.")
class WebhookDelivery(Node):
    event_id: strawberry.ID
    webhook_id: strawberry.ID
    type: str
    status: DeliveryStatus
    attempts: int
    request_headers: JSON | None
    response_status: int | None
    response_headers: JSON | None
    response_body: str | None = strawberry.field(description="The beginning of the response body.")
    error: str | None
    due_at: datetime | None
    attempted_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None

    @strawberry.field(graphql_type=JSON, description="The `payload` of the envelope, as it is sent.")
    @staticmethod
    def payload(root: strawberry.Parent[Record]) -> Any:
        return orjson.loads(root.body)["payload"]


@strawberry.type
class Webhook(Node):
    url: str
    label: str | None
    events: list[WebhookEventType]
    is_active: bool
    disabled_reason: str | None
    created_at: datetime

    @strawberry.field(graphql_type=Connection[WebhookDelivery], description="Newest first.")
    @staticmethod
    async def deliveries(
        root: strawberry.Parent[Record], info: Info, first: int | None = None, after: str | None = None
    ) -> Page:
        fields = frozenset(columns(info, ("nodes",), ("edges", "node")))
        return await info.context.loaders.deliveries.load((root.id, (PageArguments(first=first, after=after), fields)))


@strawberry.type(description="The secret is returned only here.")
class CreatedWebhook:
    webhook: Webhook
    secret: str


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """The object behind the type CreatedWebhook."""

    webhook: Record
    secret: str


@strawberry.input
class CreateWebhookInput:
    url: str
    label: str | None = UNSET
    events: list[WebhookEventType]
    is_active: bool | None = True
    idempotency_key: str | None = UNSET


@strawberry.input
class UpdateWebhookInput:
    """Absent fields stay as they are. A null clears the label."""

    url: str | None = UNSET
    label: str | None = UNSET
    events: list[WebhookEventType] | None = UNSET
    is_active: bool | None = UNSET


@strawberry.type
class WebhookQuery:
    @strawberry.field(graphql_type=Webhook | None)
    @staticmethod
    async def webhook(info: Info, id: strawberry.ID) -> Record | None:  # noqa: A002 (the contract's name)
        return await get_or_none(id, partial(endpoints.get, info.context.ctx))

    @strawberry.field(graphql_type=list[Webhook], description="Newest first.")
    @staticmethod
    async def webhooks(info: Info) -> Sequence[Record]:
        return await endpoints.list_endpoints(info.context.ctx)

    @strawberry.field(description="The names of all events that a webhook can receive.")
    @staticmethod
    def webhook_events(info: Info) -> list[WebhookEventType]:
        return [WebhookEventType(name) for name in endpoints.list_event_names(info.context.ctx)]


@strawberry.type
class WebhookMutation:
    @strawberry.mutation(graphql_type=CreatedWebhook, description="An active webhook receives a `test` event at once.")
    @staticmethod
    async def create_webhook(info: Info, input: CreateWebhookInput) -> NewWebhook:  # noqa: A002 (the contract's name)
        return NewWebhook(
            *await endpoints.create(info.context.ctx, to_draft(WebhookDraft, input), idempotency_key(input))
        )

    @strawberry.mutation(graphql_type=Webhook, description="Activating a webhook clears `disabledReason`.")
    @staticmethod
    async def update_webhook(
        info: Info,
        id: strawberry.ID,  # noqa: A002 (the contract's name)
        input: UpdateWebhookInput,  # noqa: A002 (the contract's name)
    ) -> Record:
        change = to_draft(WebhookChange, input, keep_nulls=True)
        return await endpoints.update(info.context.ctx, parse_id("Webhook", id), change)

    @strawberry.mutation(description="Deletes the webhook and its deliveries. Pending deliveries are not sent.")
    @staticmethod
    async def delete_webhook(info: Info, id: strawberry.ID) -> strawberry.ID:  # noqa: A002 (the contract's name)
        await endpoints.delete(info.context.ctx, parse_id("Webhook", id))
        return id

    @strawberry.mutation(graphql_type=CreatedWebhook, description="The old secret also signs for another 24 hours.")
    @staticmethod
    async def rotate_webhook_secret(info: Info, id: strawberry.ID) -> NewWebhook:  # noqa: A002 (the contract's name)
        return NewWebhook(*await endpoints.rotate_secret(info.context.ctx, parse_id("Webhook", id)))

    @strawberry.mutation(
        graphql_type=WebhookDelivery,
        description="Sends a `test` event. Refused with CONFLICT if the webhook is not active.",
    )
    @staticmethod
    async def test_webhook(info: Info, id: strawberry.ID) -> Record:  # noqa: A002 (the contract's name)
        return await deliveries.send_test(info.context.ctx, parse_id("Webhook", id))

    @strawberry.mutation(
        graphql_type=WebhookDelivery,
        description="Sends the same event again, with a new series of attempts. Refused with CONFLICT if the webhook "
        "is not active.",
    )
    @staticmethod
    async def redeliver(info: Info, delivery_id: strawberry.ID) -> Record:
        return await deliveries.redeliver(info.context.ctx, parse_id("Delivery", delivery_id))
