"""`/v1/webhooks`, and `/v1/integrations/zapier/webhook`, where Zapier subscribes and unsubscribes."""

from models.base import Record
from resolvers.webhooks import deliveries, endpoints, zapier
from resolvers.webhooks.drafts import WebhookChange, WebhookDraft, ZapierHook
from rest_compat import serializers, shapes
from rest_compat.notes_api import V1
from rest_compat.operations import (
    action_operation,
    create_operation,
    delete_operation,
    get_operation,
    list_operation,
    operation,
    update_operation,
)
from rest_compat.pagination import PageQuery
from rest_compat.request import Call
from rest_compat.serializers import millis
from rest_compat.shapes import (
    Confirmation,
    DeliveryResponse,
    Page,
    WebhookResponse,
    WebhookWithSecretResponse,
    ZapierResponse,
)


def serialize(row: Record) -> shapes.Webhook:
    return {
        "id": row.id,
        "url": row.url,
        "label": row.label,
        "events": row.events,
        "isActive": row.is_active,
        "disabledReason": row.disabled_reason,
        "createdAt": millis(row.created_at),
    }


def delivery(row: Record) -> shapes.Delivery:
    return {
        "id": row.id,
        "webhookId": row.webhook_id,
        "eventId": row.event_id,
        "type": row.type,
        "status": row.status,
        "attempts": row.attempts,
        "requestHeaders": row.request_headers,
        "responseStatus": row.response_status,
        "responseHeaders": row.response_headers,
        "responseBody": row.response_body,
        "error": row.error,
        "dueAt": row.due_at and millis(row.due_at),
        "attemptedAt": row.attempted_at and millis(row.attempted_at),
        "createdAt": millis(row.created_at),
        "deliveredAt": row.delivered_at and millis(row.delivered_at),
    }


async def list_all(call: Call) -> shapes.WebhookList:
    """Lists the workspace's webhooks, newest first."""
    return {"webhooks": [serialize(row) for row in await endpoints.list_endpoints(call.ctx)]}


async def create(call: Call, body: WebhookDraft) -> WebhookWithSecretResponse:
    """Creates a webhook. The secret is returned only here. An active webhook receives a `test` event. A repeat with
    the same Idempotency-Key is 409 after the secret was replaced."""
    row, secret = await endpoints.create(call.ctx, body, call.idempotency_key)
    return {"webhook": {**serialize(row), "secret": secret}}


async def get(call: Call) -> WebhookResponse:
    """Returns a webhook."""
    return {"webhook": serialize(await endpoints.get(call.ctx, call.path_id("Webhook")))}


async def update(call: Call, body: WebhookChange) -> WebhookResponse:
    """Changes the fields that are sent. Null clears the label. Activating the webhook clears `disabledReason`."""
    return {"webhook": serialize(await endpoints.update(call.ctx, call.path_id("Webhook"), body))}


async def delete(call: Call) -> Confirmation:
    """Deletes a webhook with its deliveries. Waiting deliveries are not sent."""
    await endpoints.delete(call.ctx, call.path_id("Webhook"))
    return {"success": True, "message": "Webhook deleted"}


async def rotate(call: Call) -> WebhookWithSecretResponse:
    """Replaces the secret. The new secret is returned only here. The old one also signs for another 24 hours."""
    row, secret = await endpoints.rotate_secret(call.ctx, call.path_id("Webhook"))
    return {"webhook": {**serialize(row), "secret": secret}}


async def test(call: Call) -> DeliveryResponse:
    """Sends a `test` event. 409 for a webhook that is not active."""
    return {"delivery": delivery(await deliveries.send_test(call.ctx, call.path_id("Webhook")))}


async def list_deliveries(call: Call, query: PageQuery) -> Page[shapes.Delivery]:
    """Lists the deliveries of a webhook, newest first."""
    rows, is_last = await deliveries.page_by_offset(call.ctx, call.path_id("Webhook"), query.limit, query.offset)
    return serializers.page_response([delivery(row) for row in rows], query.limit, query.offset, is_last=is_last)


async def redeliver(call: Call) -> DeliveryResponse:
    """Sends the same event again with a new series of attempts. 409 for a webhook that is not active."""
    delivery_id = call.path_id("Delivery", "deliveryId")
    return {"delivery": delivery(await deliveries.redeliver(call.ctx, delivery_id, call.path_id("Webhook")))}


async def subscribe(call: Call, body: ZapierHook) -> ZapierResponse:
    """Subscribes an address to new notes. A repeat changes nothing."""
    await zapier.subscribe(call.ctx, body)
    return {"status": "success"}


async def unsubscribe(call: Call, body: ZapierHook) -> ZapierResponse:
    """Unsubscribes an address from new notes."""
    await zapier.unsubscribe(call.ctx, body)
    return {"status": "success"}


ROUTES = [
    V1.route("/webhooks", GET=list_operation(list_all), POST=create_operation(create, more_errors=(409,))),
    V1.route("/webhooks/{id}", GET=get_operation(get), PATCH=update_operation(update), DELETE=delete_operation(delete)),
    V1.route("/webhooks/{id}/test", POST=action_operation(test, more_errors=(409,))),
    V1.route("/webhooks/{id}/rotate-secret", POST=action_operation(rotate)),
    V1.route("/webhooks/{id}/deliveries", GET=list_operation(list_deliveries)),
    V1.route("/webhooks/{id}/deliveries/{deliveryId}/redeliver", POST=action_operation(redeliver, more_errors=(409,))),
    V1.route(
        "/integrations/zapier/webhook",
        # A repeat needs no Idempotency-Key: a hook is identified by its address.
        POST=operation(subscribe, 201),
        DELETE=delete_operation(unsubscribe, more_errors=(404, 413)),
    ),
]
