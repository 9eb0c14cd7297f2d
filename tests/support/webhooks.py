"""Webhooks as both edges have them, and what is written for them to be told."""

from typing import Any

import orjson
from sqlalchemy import text

from models.base import as_id
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.rest import EdgeResult, send_mutation, send_rest

URL = "https://hooks.example/caret"
WEBHOOK_FIELDS = "{ id url label events isActive disabledReason createdAt }"
LIST = f"{{ webhooks {WEBHOOK_FIELDS} }}"
GET = f"query($id: ID!) {{ webhook(id: $id) {WEBHOOK_FIELDS} }}"
MAKE = f"mutation($input: CreateWebhookInput!) {{ createWebhook(input: $input) {{ secret webhook {WEBHOOK_FIELDS} }} }}"
CHANGE = f"mutation($id: ID!, $input: UpdateWebhookInput!) {{ updateWebhook(id: $id, input: $input) {WEBHOOK_FIELDS} }}"
ROTATE = f"mutation($id: ID!) {{ rotateWebhookSecret(id: $id) {{ secret webhook {WEBHOOK_FIELDS} }} }}"
REMOVE = "mutation($id: ID!) { deleteWebhook(id: $id) }"
SENT = """{ id eventId webhookId type status attempts requestHeaders responseStatus responseHeaders responseBody error
  attemptedAt deliveredAt payload }"""
TEST = f"mutation($id: ID!) {{ testWebhook(id: $id) {SENT} }}"
AGAIN = f"mutation($id: ID!) {{ redeliver(deliveryId: $id) {SENT} }}"


class Edge:
    """The same operations by either edge, answering in one form."""

    def __init__(self, name: str, caller: Caller) -> None:
        self.name, self.caller, self.graphql = name, caller, name == "graphql"

    async def create(self, *, idempotency_key: str | None = None, **fields: Any) -> EdgeResult:
        values = {"url": URL, "events": ["note.created"], **fields}
        if not self.graphql:
            headers = None if idempotency_key is None else {"Idempotency-Key": idempotency_key}
            return await send_rest(self.caller, "POST", "/v1/webhooks", values, headers)
        if idempotency_key is not None:
            values["idempotencyKey"] = idempotency_key
        result = await send_mutation(self.caller, MAKE, input=values)
        return EdgeResult({**result.value["webhook"], "secret": result.value["secret"]}) if result.value else result

    async def update(self, ident: str, **fields: Any) -> EdgeResult:
        if self.graphql:
            return await send_mutation(self.caller, CHANGE, id=ident, input=fields)
        return await send_rest(self.caller, "PATCH", f"/v1/webhooks/{ident}", fields)

    async def rotate(self, ident: str) -> EdgeResult:
        if not self.graphql:
            return await posted(self.caller, f"/v1/webhooks/{ident}/rotate-secret", "webhook")
        result = await send_mutation(self.caller, ROTATE, id=ident)
        return EdgeResult({**result.value["webhook"], "secret": result.value["secret"]}) if result.value else result

    async def delete(self, ident: str) -> EdgeResult:
        if self.graphql:
            return await send_mutation(self.caller, REMOVE, id=ident)
        return await send_rest(self.caller, "DELETE", f"/v1/webhooks/{ident}")

    async def test(self, ident: str) -> EdgeResult:
        if self.graphql:
            return await send_mutation(self.caller, TEST, id=ident)
        return await posted(self.caller, f"/v1/webhooks/{ident}/test", "delivery")

    async def redeliver(self, webhook: str, ident: str) -> EdgeResult:
        if self.graphql:
            return await send_mutation(self.caller, AGAIN, id=ident)
        return await posted(self.caller, f"/v1/webhooks/{webhook}/deliveries/{ident}/redeliver", "delivery")

    async def listed(self) -> list[dict[str, Any]]:
        if self.graphql:
            return list((await self.caller.data(LIST))["webhooks"])
        return list((await self.caller.http.get("/v1/webhooks")).json()["webhooks"])

    async def get(self, ident: str) -> Any:
        """None where there is none."""
        if self.graphql:
            return (await self.caller.data(GET, id=ident))["webhook"]
        answer = await self.caller.http.get(f"/v1/webhooks/{ident}")
        return answer.json()["webhook"] if answer.status_code == 200 else None


async def posted(caller: Caller, path: str, noun: str) -> EdgeResult:
    """A POST that makes nothing new."""
    answer = await caller.http.post(path)
    if answer.status_code != 200:
        return EdgeResult(code=answer.json()["code"].upper().replace("RESOURCE_", ""))
    assert set(answer.json()) == {noun}
    return EdgeResult(answer.json()[noun])


async def rows(tenant: Tenant, webhook: str) -> list[Any]:
    """The endpoint's deliveries, the oldest first."""
    query = "SELECT * FROM deliveries WHERE webhook_id = :webhook ORDER BY seq NULLS FIRST, id"
    async with tenant.database.connect() as connection:
        return list(await connection.execute(text(query), {"webhook": as_id(webhook)}))


async def bodies(tenant: Tenant, webhook: str) -> list[dict[str, Any]]:
    return [orjson.loads(row.body) for row in await rows(tenant, webhook)]
