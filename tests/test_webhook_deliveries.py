"""What is written for webhooks to be told: of which events, in which words, to which endpoints, and again."""

import asyncio
from typing import Any

import jsonschema_rs
import orjson
import pytest
from sqlalchemy import text

import rest_compat
from models import Role
from models.base import as_id
from resolvers.notes.serialization import millis
from resolvers.webhooks.events import EVENT_NAMES
from rest_compat.openapi.document import document
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.note_defaults import JSON_COLUMN_DEFAULTS
from tests.support.rest import EdgeResult
from tests.support.samples import sql
from tests.support.webhooks import SENT, Edge, bodies, rows

DELIVERIES = f"""query($id: ID!, $first: Int, $after: String) {{ webhook(id: $id) {{
  deliveries(first: $first, after: $after) {{ totalCount pageInfo {{ hasNextPage endCursor }} nodes {SENT} }}
}} }}"""
NOTE = "mutation($input: CreateNoteInput!) { createNote(input: $input) { id } }"


@pytest.fixture
async def admin(tenant: Tenant) -> Caller:
    return await tenant.user(Role.ADMIN)


@pytest.fixture(params=["graphql", "rest"])
def edge(request: pytest.FixtureRequest, admin: Caller) -> Edge:
    return Edge(request.param, admin)


async def test_a_test_is_sent_on_creation_and_on_request(edge: Edge, tenant: Tenant) -> None:
    quiet = (await edge.create(isActive=False)).thing["id"]
    assert await rows(tenant, quiet) == []
    assert await edge.test(quiet) == EdgeResult(code="CONFLICT")
    webhook_id = (await edge.create(label="Ours", events=["note.deleted"])).thing["id"]
    delivery = (await edge.test(webhook_id)).thing
    first, second = await rows(tenant, webhook_id)
    assert (str(second.id), str(second.event_id)) == (delivery["id"], delivery["eventId"])
    assert first.event_id != second.event_id
    for row in (first, second):
        assert orjson.loads(row.body) == {
            "type": "test",
            "eventId": str(row.event_id),
            "webhookId": webhook_id,
            "workspaceId": str(tenant.id),
            "timestamp": orjson.loads(row.body)["timestamp"],
            "payload": {"message": "A test of the webhook Ours."},
        }
        validated(orjson.loads(row.body))
    assert delivery == {**fresh(edge, delivery, "test"), "webhookId": webhook_id, "eventId": str(second.event_id)} | (
        {"payload": {"message": "A test of the webhook Ours."}} if edge.graphql else {}
    )


def fresh(edge: Edge, delivery: dict[str, Any], kind: str) -> dict[str, Any]:
    """A delivery that nobody has tried to send yet, with its ids and moments."""
    nothing = ("requestHeaders", "responseStatus", "responseHeaders", "responseBody", "error", "attemptedAt")
    own = {name: delivery[name] for name in ("id", "webhookId", "eventId")}
    moments = {} if edge.graphql else {name: delivery[name] for name in ("dueAt", "createdAt")}
    assert None not in moments.values()
    return {
        **dict.fromkeys([*nothing, "deliveredAt"]),
        **own,
        **moments,
        "type": kind,
        "status": spelled(edge),
        "attempts": 0,
    }


def spelled(edge: Edge) -> str:
    return "PENDING" if edge.graphql else "pending"


async def test_a_redelivery_sends_the_same_event(edge: Edge, tenant: Tenant) -> None:
    webhook_id = (await edge.create()).thing["id"]
    [row] = await rows(tenant, webhook_id)
    over = """UPDATE deliveries SET status = 'delivered', due_at = NULL, attempts = 3, delivered_at = now(),
    attempted_at = NULL, request_headers = NULL, error = NULL WHERE id = :id"""
    await sql(tenant.database, over, id=row.id)
    delivery = (await edge.redeliver(webhook_id, str(row.id))).thing
    payload = {"payload": orjson.loads(row.body)["payload"]} if edge.graphql else {}
    assert delivery == {**fresh(edge, delivery, "test"), "id": str(row.id), "eventId": str(row.event_id)} | payload
    [again] = await rows(tenant, webhook_id)
    assert (again.body, again.delivered_at) == (row.body, None)
    other = (await edge.create(isActive=False)).thing["id"]
    if not edge.graphql:
        assert (await edge.redeliver(other, str(row.id))).code == "NOT_FOUND"
    for nothing in (other, "nobody", "\u0000" if edge.graphql else "%00"):
        assert (await edge.redeliver(webhook_id, nothing)).code == "NOT_FOUND"
    await edge.update(webhook_id, isActive=False)
    assert (await edge.redeliver(webhook_id, str(row.id))).code == "CONFLICT"


def validated(body: dict[str, Any]) -> dict[str, Any]:
    """The body, which is as the OpenAPI document says."""
    described = document(rest_compat.routes())
    shape = described["webhooks"][body["type"]]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema_rs.Draft202012Validator(
        {**shape, "components": described["components"]}, validate_formats=True
    ).validate(body)
    return body


PERSON = {"name": "Ann", "email": "ann@people.example", "profileImageUrl": None, "accountName": "Co"}
SEGMENT = {"speaker": "Ann", "text": "Hi", "startTimestamp": "00:00:01", "endTimestamp": "00:00:02"}
MEETING = {"id": "e", "title": "T", "startsAt": "2026-01-31T09:30:00Z", "endsAt": "2026-01-31T10:30:00Z"}
FULL_NOTE = {
    "title": "All of it",
    "summary": "S",
    "participants": [{**PERSON, "accountDomain": None, "accountImageUrl": None}],
    "transcripts": [{**SEGMENT, "translation": None}],
    "calendarEvent": {**MEETING, "attendees": [{"self": True, "email": "a@b.c", "displayName": "A"}]},
}


async def test_every_event_of_a_notes_life_is_delivered(tenant: Tenant, admin: Caller) -> None:
    edge, http = Edge("rest", admin), admin.http
    webhook_id = (await edge.create(events=[name for name in EVENT_NAMES if name != "test"])).thing["id"]
    tag = (await http.post("/v1/workspace/tags", json={"name": "a", "color": "#112233"})).json()["tag"]["id"]
    created = (await http.post("/v1/notes", json={**FULL_NOTE, "status": "idle", "tagIds": [tag]})).json()["note"]
    changed = (await http.patch(f"/v1/notes/{created['id']}", json={"status": "completed"})).json()["note"]
    assert (await http.delete(f"/v1/notes/{created['id']}")).status_code == 200
    test, *sent = await rows(tenant, webhook_id)
    assert [(row.type, row.note_id) for row in (test, *sent)] == [
        ("test", None),
        *((name, as_id(created["id"])) for name in ("note.created", "note.updated", "note.completed", "note.deleted")),
    ]
    assert [row.seq for row in sent] == sorted({row.seq for row in sent})
    # As it was at each event, to the byte as `/v1` shows it.
    notes = [created, changed, changed, {"id": created["id"]}]
    own = text("SELECT * FROM events WHERE workspace_id = :workspace")
    async with tenant.database.connect() as connection:
        log = {row.seq: row for row in await connection.execute(own, {"workspace": tenant.id})}
    for row, note in zip(sent, notes, strict=True):
        event = log[row.seq]
        assert row.event_id == event.id
        assert validated(orjson.loads(row.body)) == {
            "type": row.type,
            "eventId": str(event.id),
            "webhookId": webhook_id,
            "workspaceId": str(tenant.id),
            "timestamp": millis(event.created_at),
            "payload": {"note": note},
        }
        assert orjson.dumps(note) in row.body


async def test_the_older_names(tenant: Tenant, admin: Caller) -> None:
    edge = Edge("graphql", admin)
    old = (await edge.create(events=["meeting.created"])).thing["id"]
    both = (await edge.create(events=["meeting.created", "note.created"])).thing["id"]
    new = (await edge.create(events=["note.created", "meeting.created"])).thing["id"]
    note = (await admin.http.post("/v1/notes", json=FULL_NOTE)).json()["note"]
    meeting = {
        **JSON_COLUMN_DEFAULTS,
        **{name: note[name] for name in ("id", "title", "kind", "status", "visibility", "tags", "summary", "revision")},
        "created_at": note["createdAt"],
        "updated_at": note["updatedAt"],
        "participants": [
            {
                "name": "Ann",
                "email": "ann@people.example",
                "profile_image_url": None,
                "account_name": "Co",
                "account_domain": None,
                "account_image_url": None,
            }
        ],
        "total_duration_sec": 0.0,
        "user_written_note": "",
        "enhanced_note": "",
        "transcripts": [
            {
                "speaker": "Ann",
                "text": "Hi",
                "translation": None,
                "start_timestamp": "00:00:01",
                "end_timestamp": "00:00:02",
            }
        ],
        "calendar_event": {
            "id": "e",
            "href": None,
            "title": "T",
            "starts_at": "2026-01-31T09:30:00.000Z",
            "ends_at": "2026-01-31T10:30:00.000Z",
            "created_at": None,
            "updated_at": None,
            "calendar_id": None,
            "attendees": [{"self": True, "email": "a@b.c", "display_name": "A"}],
        },
        "input_language": None,
        "translation_language": None,
        "meeting_app": None,
    }
    events = set()
    for ident, kind, payload in (
        (old, "meeting.created", {"meeting": meeting}),
        # One delivery for an event, under the name that was listed first.
        (both, "meeting.created", {"meeting": meeting}),
        (new, "note.created", {"note": note}),
    ):
        _test, delivery = await bodies(tenant, ident)
        assert (validated(delivery)["type"], delivery["webhookId"], delivery["payload"]) == (kind, ident, payload)
        events.add((delivery["eventId"], delivery["timestamp"]))
    assert len(events) == 1


async def test_each_endpoint_receives_the_events_it_subscribes_to(
    tenant: Tenant, stranger: Tenant, admin: Caller
) -> None:
    edge, writer = Edge("rest", admin), await tenant.user()
    deletions = (await edge.create(events=["note.deleted"])).thing["id"]
    silent = (await edge.create(isActive=False)).thing["id"]
    subscribed = (await edge.create()).thing["id"]
    elsewhere = (await Edge("rest", await stranger.key()).create()).thing["id"]
    # The workspace's endpoints are told of private notes too, and of nobody's conversations.
    note = (await writer.data(NOTE, input={"title": "Mine", "visibility": "PRIVATE"}))["createNote"]["id"]
    await writer.data("mutation($n: ID!) { createConversation(input: {noteId: $n}) { id } }", n=note)
    assert [body["type"] for body in await bodies(tenant, subscribed)] == ["test", "note.created"]
    assert [body["type"] for body in await bodies(tenant, deletions)] == ["test"]
    assert await bodies(tenant, silent) == []
    assert [body["type"] for body in await bodies(stranger, elsewhere)] == ["test"]


async def test_an_endpoint_can_be_deleted_while_an_event_is_published(tenant: Tenant, admin: Caller) -> None:
    """Neither keeps the other from its end."""
    edge = Edge("rest", admin)
    for _ in range(10):
        webhook_id = (await edge.create()).thing["id"]
        note, deleted = await asyncio.gather(admin.data(NOTE, input={"title": "x"}), edge.delete(webhook_id))
        assert note["createNote"]["id"]
        assert deleted.thing == webhook_id
        assert await rows(tenant, webhook_id) == []


async def test_deliveries_are_paged(tenant: Tenant, admin: Caller) -> None:
    webhook_id = (await Edge("rest", admin).create()).thing["id"]
    for number in range(4):
        await admin.data(NOTE, input={"title": str(number)})
    newest = [str(row.id) for row in reversed(await rows(tenant, webhook_id))]
    assert len(newest) == 5
    ids: list[str] = []
    after, more = None, True
    while more:
        page = (await admin.data(DELIVERIES, id=webhook_id, first=2, after=after))["webhook"]["deliveries"]
        assert page["totalCount"] == 5
        ids += [node["id"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert ids == newest
    path = f"/v1/webhooks/{webhook_id}/deliveries"
    for offset, ids, is_last in ((0, newest[:2], False), (2, newest[2:4], False), (4, newest[4:], True), (9, [], True)):
        page = (await admin.http.get(path, params={"limit": 2, "offset": offset})).json()
        assert [one["id"] for one in page["items"]] == ids
        assert page["pagination"] == {"limit": 2, "nextOffset": offset + len(ids), "isLast": is_last}
    assert (await admin.http.get(path, params={"limit": 0})).status_code == 400
    [last] = (await admin.http.get(path, params={"limit": 1, "offset": 4})).json()["items"]
    assert set(last) == {*fresh(Edge("rest", admin), last, "test")}
    node = "query($id: ID!) { node(id: $id) { ... on WebhookDelivery { type payload } } }"
    assert await admin.data(node, id=newest[0]) == {
        "node": {"type": "note.created", "payload": (await bodies(tenant, webhook_id))[-1]["payload"]}
    }
