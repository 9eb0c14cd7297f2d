"""`/v1/webhooks`, and the address at which Zapier comes and goes."""

from models.base import Record
from resolvers.webhooks import deliveries, endpoints, zapier
from resolvers.webhooks.drafts import WebhookChange, WebhookDraft, ZapierHook
from rest_compat import serializers, shapes
from rest_compat.notes_api import V1
from rest_compat.operations import changes, described, does, makes, reads, removes, shows
from rest_compat.paging import Paging
from rest_compat.request import Call
from rest_compat.serializers import millis
from rest_compat.shapes import OneDelivery, OneSecretWebhook, OneWebhook, Paged, Removed, Zapped


def shown(row: Record) -> shapes.Webhook:
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


async def listed(call: Call) -> shapes.Webhooks:
    """Lists the workspace's webhooks, newest first."""
    return {"webhooks": [shown(row) for row in await endpoints.list_endpoints(call.ctx)]}


async def create(call: Call, body: WebhookDraft) -> OneSecretWebhook:
    """Creates a webhook, and tells its secret this once. An active one is sent a `test` event. 409 to a repeat after
    the secret was replaced."""
    row, secret = await endpoints.create(call.ctx, body, call.idempotency_key)
    return {"webhook": {**shown(row), "secret": secret}}


async def get(call: Call) -> OneWebhook:
    """A webhook."""
    return {"webhook": shown(await endpoints.get(call.ctx, call.ident("Webhook")))}


async def update(call: Call, body: WebhookChange) -> OneWebhook:
    """Changes the fields that are sent; null clears the label. To switch it on forgets why it was disabled."""
    return {"webhook": shown(await endpoints.update(call.ctx, call.ident("Webhook"), body))}


async def delete(call: Call) -> Removed:
    """Deletes a webhook with its deliveries: what waited for it is sent no more."""
    await endpoints.delete(call.ctx, call.ident("Webhook"))
    return {"success": True, "message": "Webhook deleted"}


async def rotate(call: Call) -> OneSecretWebhook:
    """Gives a webhook a new secret, and tells it this once. The old one signs too for another 24 hours."""
    row, secret = await endpoints.rotate_secret(call.ctx, call.ident("Webhook"))
    return {"webhook": {**shown(row), "secret": secret}}


async def test(call: Call) -> OneDelivery:
    """Sends a `test` event. 409 for a webhook that is switched off."""
    return {"delivery": delivery(await deliveries.send_test(call.ctx, call.ident("Webhook")))}


async def sent(call: Call, query: Paging) -> Paged[shapes.Delivery]:
    """Lists what was posted to a webhook, or will be, newest first."""
    rows, is_last = await deliveries.page_by_offset(call.ctx, call.ident("Webhook"), query.limit, query.offset)
    return serializers.paged([delivery(row) for row in rows], query.limit, query.offset, is_last=is_last)


async def redeliver(call: Call) -> OneDelivery:
    """Sends the same event again, with all its attempts. 409 for a webhook that is switched off."""
    delivery_id = call.ident("Delivery", "deliveryId")
    return {"delivery": delivery(await deliveries.redeliver(call.ctx, delivery_id, call.ident("Webhook")))}


async def hook(call: Call, body: ZapierHook) -> Zapped:
    """Tells an address of new notes from now on, once however often it is sent."""
    await zapier.subscribe(call.ctx, body)
    return {"status": "success"}


async def unhook(call: Call, body: ZapierHook) -> Zapped:
    """Tells the address of new notes no more."""
    await zapier.unsubscribe(call.ctx, body)
    return {"status": "success"}


ROUTES = [
    V1.route("/webhooks", GET=reads(listed), POST=makes(create, refuses=(409,))),
    V1.route("/webhooks/{id}", GET=shows(get), PATCH=changes(update), DELETE=removes(delete)),
    V1.route("/webhooks/{id}/test", POST=does(test, refuses=(409,))),
    V1.route("/webhooks/{id}/rotate-secret", POST=does(rotate)),
    V1.route("/webhooks/{id}/deliveries", GET=reads(sent)),
    V1.route("/webhooks/{id}/deliveries/{deliveryId}/redeliver", POST=does(redeliver, refuses=(409,))),
    V1.route(
        "/integrations/zapier/webhook",
        # It may be repeated as it is: a hook is known by its address.
        POST=described(hook, 201),
        DELETE=removes(unhook, refuses=(404, 413)),
    ),
]
