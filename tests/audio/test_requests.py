"""Requests for upload addresses and for notes from audio that are refused for their form or their caller."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Plan, Role
from tests.audio.helpers import (
    ADDRESS,
    FROM_AUDIO,
    check_refusal,
    create_note_from_audio,
    create_upload_url,
    read_note,
    read_recording,
)
from tests.conftest import Tenant, make_tenant
from tests.support.clients import Caller
from tests.support.servers import RunningServer

BODIES: list[tuple[str, dict[str, Any]]] = [
    (ADDRESS, {"fileExtension": "wav", "duration": 3}),
    (FROM_AUDIO, {"audioUrl": "https://x.example"}),
]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"fileExtension": "ogg", "duration": 3}, "fileExtension"),
        ({"fileExtension": "WAV", "duration": 3}, "fileExtension"),
        ({"fileExtension": 3, "duration": 3}, "fileExtension"),
        ({"duration": 3}, "fileExtension"),
        ({"fileExtension": "wav"}, "duration"),
        ({"fileExtension": "wav", "duration": 0}, "duration"),
        ({"fileExtension": "wav", "duration": -1}, "duration"),
        ({"fileExtension": "wav", "duration": 14400.01}, "duration"),
        ({"fileExtension": "wav", "duration": "3"}, "duration"),
        ({"fileExtension": "wav", "duration": None}, "duration"),
        ({"fileExtension": "wav", "duration": 3, "size": 1}, "size"),
    ],
)
async def test_an_invalid_request_for_an_address_names_its_field(
    audio_tenant: Tenant, body: dict[str, Any], field: str
) -> None:
    check_refusal(await (await audio_tenant.key()).http.post(ADDRESS, json=body), 400, "invalid_parameter", field)


@pytest.mark.parametrize("duration", [0.001, 1, 14_400])
async def test_the_shortest_and_the_longest_duration_are_accepted(audio_tenant: Tenant, duration: float) -> None:
    issued = await create_upload_url(await audio_tenant.key(), duration=duration)
    assert (await read_recording(audio_tenant.database, issued["audioUrl"])).duration_sec == duration


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"audioUrl": None}, "audioUrl"),
        ({"audioUrl": "x" * 2_001}, "audioUrl"),
        ({"audioUrl": "a\x00b"}, "audioUrl"),
        ({"title": ""}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"kind": "meeting"}, "kind"),
        ({"tags": "one"}, "tags"),
        ({"tags": ["x"] * 101}, "tags"),
        ({"tags": [3]}, "tags.0"),
        ({"noteId": "no-id"}, "noteId"),
        ({"folderId": 3}, "folderId"),
        ({"calendarEventId": "x" * 501}, "calendarEventId"),
        ({"url": "x"}, "url"),
    ],
)
async def test_an_invalid_request_for_a_note_names_its_field(
    audio_tenant: Tenant, more: dict[str, Any], field: str
) -> None:
    body = {"audioUrl": "https://x.example", **more}
    check_refusal(await (await audio_tenant.key()).http.post(FROM_AUDIO, json=body), 400, "invalid_parameter", field)


@pytest.mark.parametrize("plan", [Plan.FREE, Plan.PRO])
async def test_other_plans_than_enterprise_are_refused(
    audio_server: RunningServer, database: AsyncEngine, plan: Plan
) -> None:
    tenant = await make_tenant(audio_server, database, plan)
    for caller in (await tenant.key(), await tenant.user(Role.ADMIN)):
        for path, body in BODIES:
            refused = await caller.http.post(path, json=body)
            assert check_refusal(refused, 403, "plan_required") == "Notes from audio need the enterprise plan."
        await caller.close()


async def test_members_and_keys_with_the_scope_may_create_notes_from_audio(
    audio_tenant: Tenant, audio_server: RunningServer
) -> None:
    nobody = Caller(audio_server, "")
    for path, body in BODIES:
        assert (await nobody.http.post(path, json=body)).status_code == 401
        check_refusal(
            await (await audio_tenant.key("notes:read")).http.post(path, json=body), 403, "insufficient_scope"
        )
    await nobody.close()
    member = await audio_tenant.user()
    assert (await read_note(member, await create_note_from_audio(member)))["status"] != "idle"


async def test_a_server_without_a_transcriber_says_so(tenant: Tenant) -> None:
    for path, body in BODIES:
        refused = await (await tenant.key()).http.post(path, json=body)
        assert check_refusal(refused, 503, "transcriber_not_configured") == "This server has no transcriber configured."
    async with tenant.database.connect() as connection:
        query = text("SELECT count(*) FROM recordings WHERE workspace_id = :id")
        assert (await connection.execute(query, {"id": tenant.id})).scalar_one() == 0
