"""Notes from uploaded audio: new ones, existing ones, and what is refused."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.audio.helpers import (
    FROM_AUDIO,
    audio_bytes,
    check_refusal,
    create_note_from_audio,
    create_upload_url,
    new_marker,
    read_event_types,
    read_note,
    read_recording,
    upload,
    upload_audio,
    wait_for_status,
)
from tests.conftest import Services, Tenant, make_tenant
from tests.support.llm import Script
from tests.support.note_defaults import JSON_DEFAULTS
from tests.support.servers import RunningServer
from tests.support.transcriber import ScriptedResponse, ScriptedTranscriber

NOBODYS = "This audioUrl was not issued for this workspace."
SEGMENT = {"speaker": "Cleo", "text": "Before.", "startTimestamp": "00:00:01", "endTimestamp": "00:00:02"}


@pytest.fixture
async def neighbour(audio_server: RunningServer, database: AsyncEngine) -> AsyncIterator[Tenant]:
    other = await make_tenant(audio_server, database)
    yield other
    for caller in other.callers:
        await caller.close()


async def test_only_audio_of_the_own_workspace_is_used(audio_tenant: Tenant, neighbour: Tenant) -> None:
    key = await audio_tenant.key()
    url, theirs = await upload_audio(key), await upload_audio(await neighbour.key())
    for wrong in (
        "https://evil.example/audio.wav",
        "file:///etc/passwd",
        "",
        theirs,
        url.replace("http://", "https://"),
        f"https://evil.example/v1/uploads/{url.rpartition('/')[2]}",
        url + "/",
    ):
        refused = await key.http.post(FROM_AUDIO, json={"audioUrl": wrong})
        assert check_refusal(refused, 422, "unprocessable", "audioUrl") == NOBODYS
    issued = await create_upload_url(key)
    refused = await key.http.post(FROM_AUDIO, json={"audioUrl": issued["audioUrl"]})
    assert check_refusal(refused, 422, "unprocessable", "audioUrl") == "The audio has not been uploaded."
    await upload(issued["presignedUrl"], audio_bytes())
    assert (await key.http.post(FROM_AUDIO, json={"audioUrl": issued["audioUrl"]})).status_code == 201
    assert (await read_recording(audio_tenant.database, theirs)).state == "uploaded"


async def test_audio_is_used_once(audio_tenant: Tenant) -> None:
    key = await audio_tenant.key()
    body = {"audioUrl": await upload_audio(key)}
    answers = await asyncio.gather(*(key.http.post(FROM_AUDIO, json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    for late in [answer for answer in answers if answer.status_code == 409]:
        assert check_refusal(late, 409, "conflict", "audioUrl") == "A note was already created from this audio."


async def test_an_idempotency_key_creates_one_note(audio_tenant: Tenant) -> None:
    key = await audio_tenant.key()
    body = {"audioUrl": await upload_audio(key), "title": "Once"}
    headers = {"Idempotency-Key": new_marker().decode()}
    answers = await asyncio.gather(*(key.http.post(FROM_AUDIO, json=body, headers=headers) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    [note_id] = {answer.json()["noteId"] for answer in answers}
    assert (await read_event_types(audio_tenant.database, note_id))[:2] == ["note.created", "note.audio_uploaded"]
    other = await key.http.post(FROM_AUDIO, json={**body, "title": "Twice"}, headers=headers)
    check_refusal(other, 422, "unprocessable", "Idempotency-Key")


async def create_tag_and_folder(tenant: Tenant) -> dict[str, str]:
    """Creates a tag and a folder of the workspace."""
    ids = {"tag": str(new_marker()[:8].decode()), "name": new_marker().decode()}
    async with tenant.database.begin() as connection:
        ids_by_table = {}
        for table, more in (("tags", "name, color"), ("folders", "name, icon")):
            statement = text(
                f"INSERT INTO {table} (id, workspace_id, {more}) "
                "VALUES (gen_random_uuid(), :workspace, :name, '#112233') RETURNING id"
            )
            row = await connection.execute(statement, {"workspace": tenant.id, "name": ids["name"]})
            ids_by_table[table] = str(row.scalar_one())
    return {"tag": ids_by_table["tags"], "folder": ids_by_table["folders"], "name": ids["name"]}


async def test_a_new_note_takes_every_field_of_the_request(
    audio_tenant: Tenant, transcriber: ScriptedTranscriber
) -> None:
    key, marker, gate = await audio_tenant.key(), new_marker(), threading.Event()
    transcriber.on(marker, ScriptedResponse(gate=gate))
    first, second = await create_tag_and_folder(audio_tenant), await create_tag_and_folder(audio_tenant)
    fields = {
        "title": "Übersicht 🙂",
        "kind": "podcast",
        "tags": [first["name"], second["tag"], first["tag"].upper()],
        "folderId": first["folder"],
        "calendarEventId": "event-1",
    }
    created = await read_note(key, await create_note_from_audio(key, marker, **fields))
    event = created["calendarEvent"]
    tags = [{"id": one["tag"], "name": one["name"], "color": "#112233"} for one in (first, second)]
    assert created == {
        **JSON_DEFAULTS,
        "id": created["id"],
        "title": "Übersicht 🙂",
        "kind": "podcast",
        "status": "transcript-processing",
        "createdAt": created["createdAt"],
        "updatedAt": created["createdAt"],
        "visibility": "workspace",
        "tags": sorted(tags, key=lambda tag: tag["name"]),
        "participants": [],
        "totalDurationSec": 0,
        "userWrittenNote": "",
        "enhancedNote": "",
        "summary": "",
        "transcripts": [],
        "calendarEvent": {
            **dict.fromkeys(["href", "createdAt", "updatedAt", "calendarId"]),
            "id": "event-1",
            "title": "Übersicht 🙂",
            "startsAt": event["startsAt"],
            "endsAt": event["endsAt"],
            "attendees": [],
        },
        "inputLanguage": None,
        "translationLanguage": None,
        "meetingApp": None,
        "revision": 1,
    }
    async with audio_tenant.database.connect() as connection:
        query = text("SELECT folder_id FROM notes WHERE id = :id")
        assert str((await connection.execute(query, {"id": created["id"]})).scalar_one()) == first["folder"]
    gate.set()
    # The user's title stays.
    assert (await wait_for_status(key, created["id"], "completed"))["title"] == "Übersicht 🙂"


async def test_a_folder_that_is_being_renamed_takes_notes_meanwhile(audio_tenant: Tenant) -> None:
    """As `POST /v1/notes` does: only a folder that is being deleted makes them wait."""
    key, folder = await audio_tenant.key(), (await create_tag_and_folder(audio_tenant))["folder"]
    audio_url = await upload_audio(key)
    rename = text("UPDATE folders SET name = 'Renamed' WHERE id = CAST(:id AS uuid)")
    async with audio_tenant.database.begin() as connection:
        await connection.execute(rename, {"id": folder})
        response = await key.http.post(FROM_AUDIO, json={"audioUrl": audio_url, "folderId": folder}, timeout=30)
        assert response.status_code == 201, response.text


async def test_unknown_folders_tags_and_notes_are_refused(audio_tenant: Tenant, neighbour: Tenant) -> None:
    key, url = await audio_tenant.key(), await upload_audio(await audio_tenant.key())
    theirs = await create_tag_and_folder(neighbour)
    foreign = (await (await neighbour.key()).http.post("/v1/notes", json={"title": "Theirs"})).json()["note"]["id"]

    async def refused(status: int, code: str, field: str | None, **body: Any) -> str:
        return check_refusal(await key.http.post(FROM_AUDIO, json={"audioUrl": url, **body}), status, code, field)

    assert await refused(422, "unprocessable", "folderId", folderId=theirs["folder"])
    assert await refused(422, "unprocessable", "tags", tags=[theirs["tag"]]) == f"Unknown tag {theirs['tag']}."
    assert await refused(422, "unprocessable", "tags", tags=[theirs["name"]]) == f"Unknown tag {theirs['name']}."
    assert await refused(404, "resource_not_found", None, noteId=foreign) == f"Note {foreign} not found."
    # Nothing of it was done: the audio is still to be had.
    assert (await read_recording(audio_tenant.database, url)).state == "uploaded"
    private = await (await audio_tenant.user()).http.post("/v1/notes", json={"title": "Mine", "visibility": "private"})
    body = {"audioUrl": url, "noteId": private.json()["note"]["id"]}
    check_refusal(await (await audio_tenant.user()).http.post(FROM_AUDIO, json=body), 403, "forbidden")
    assert (await key.http.post(FROM_AUDIO, json=body)).status_code == 201


async def test_audio_can_be_added_to_an_existing_note(
    audio_tenant: Tenant, services: Services, transcriber: ScriptedTranscriber
) -> None:
    """It keeps what it has, and the new segments follow the old ones."""
    key, marker, gate = await audio_tenant.key(), new_marker(), threading.Event()
    transcriber.on(marker, ScriptedResponse(gate=gate))
    services.llm.on(f"Cleo: Before. {marker.decode()}", Script(["All of it."]))
    draft = {
        "title": "Series",
        "kind": "online",
        "totalDurationSec": 100,
        "inputLanguage": "fr",
        "summary": "Old.",
        "transcripts": [{**SEGMENT, "text": f"Before. {marker.decode()}"}],
    }
    before = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    assert await create_note_from_audio(key, marker, noteId=before["id"]) == before["id"]
    busy = await key.http.post(FROM_AUDIO, json={"audioUrl": await upload_audio(key), "noteId": before["id"]})
    assert check_refusal(busy, 409, "conflict", "noteId") == "Another recording is being added to this note."
    assert (await read_note(key, before["id"]))["status"] == "transcript-processing"
    gate.set()
    after = await wait_for_status(key, before["id"], "completed")
    times = [(one["text"], one["startTimestamp"], one["endTimestamp"]) for one in after["transcripts"]]
    assert times == [
        (f"Before. {marker.decode()}", "00:00:01", "00:00:02"),
        ("We move in May.", "00:01:40", "00:01:44"),
        ("Ann rents the van.", "00:01:44", "00:01:52"),
    ]
    changed = {"status", "summary", "transcripts", "totalDurationSec", "updatedAt", "revision"}
    assert {name for name in after if after[name] != before[name]} == changed - {"status"}
    assert (after["summary"], after["totalDurationSec"], after["revision"]) == ("All of it.", 112.5, 4)
    assert await read_event_types(audio_tenant.database, before["id"]) == [
        "note.created",
        "note.completed",
        "note.updated",
        "note.audio_uploaded",
        "note.updated",
        "note.updated",
        "note.completed",
    ]
    # And once more, now that nothing else is on its way to it.
    assert await create_note_from_audio(key, noteId=before["id"]) == before["id"]
