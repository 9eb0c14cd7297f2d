"""A worker that is killed in any stage of a recording: the next worker does the stage again."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.adapters.postgres import create_engine
from tests.audio.helpers import (
    TIMEOUT_SECONDS,
    create_note_from_audio,
    new_marker,
    read_event_types,
    read_note,
    wait_for_status,
)
from tests.conftest import Services, Tenant, make_tenant
from tests.faults.helpers import parts, until
from tests.support.databases import migrated_database
from tests.support.llm import Script
from tests.support.servers import ServerProcess, running_server, server_process
from tests.support.transcriber import ScriptedResponse, ScriptedTranscriber

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def alone(services: Services) -> AsyncIterator[str]:
    """A database of its own, whose work no other server's worker claims."""
    async with migrated_database(services.database_url) as url:
        yield url


@pytest.fixture
async def tables(alone: str) -> AsyncIterator[AsyncEngine]:
    opened = create_engine(alone)
    yield opened
    await opened.dispose()


@pytest.fixture
def settings(services: Services, transcriber_settings: dict[str, str], alone: str, tmp_path: Path) -> dict[str, str]:
    return {**services.settings, **transcriber_settings, "database_url": alone, "data_dir": str(tmp_path)}


async def leases_run_out(tables: AsyncEngine) -> None:
    """Ends all leases at once, instead of after a minute."""
    async with tables.begin() as connection:
        await connection.execute(text("UPDATE recordings SET work_after = now() - interval '1 s'"))
        later = "UPDATE notes SET translate_after = now() - interval '1 s' WHERE translate_after IS NOT NULL"
        await connection.execute(text(later))


async def kill_worker(served: ServerProcess, tables: AsyncEngine) -> None:
    [worker] = parts(served, "worker")
    worker.kill()
    await until(lambda: [child.pid for child in parts(served, "worker")] not in ([], [worker.pid]), TIMEOUT_SECONDS)
    await leases_run_out(tables)


async def test_a_worker_that_is_killed_in_any_stage_loses_no_work(
    services: Services, settings: dict[str, str], transcriber: ScriptedTranscriber, tables: AsyncEngine
) -> None:
    marker = new_marker()
    word = marker.decode()
    gates = [threading.Event() for _ in range(3)]
    transcriber.on(marker, ScriptedResponse({"text": f"spoken {word}"}, gate=gates[0]))
    services.llm.on(f'["spoken {word}"]', Script(['["gespr', 'ochen"]'], gate=gates[1]))
    services.llm.on(f"Speaker: spoken {word}", Script(["A ", "summary."], gate=gates[2]))
    with server_process(**settings) as served:
        tenant: Tenant = await make_tenant(served, tables)
        key = await tenant.key()
        before = (await key.http.post("/v1/notes", json={"title": "T", "translationLanguage": "de"})).json()["note"]
        await create_note_from_audio(key, marker, noteId=before["id"])

        await until(lambda: transcriber.requests_with(marker), TIMEOUT_SECONDS)
        await kill_worker(served, tables)
        await until(lambda: len(transcriber.requests_with(marker)) == 2, TIMEOUT_SECONDS)
        assert (await read_note(key, before["id"]))["status"] == "transcript-processing"
        gates[0].set()

        await until(lambda: services.llm.requests_with(f'["spoken {word}"]'), TIMEOUT_SECONDS)
        assert (await read_note(key, before["id"]))["status"] == "summarizing"
        await kill_worker(served, tables)
        await until(lambda: len(services.llm.requests_with(f'["spoken {word}"]')) == 2, TIMEOUT_SECONDS)
        gates[1].set()

        await until(lambda: services.llm.requests_with(f"Speaker: spoken {word}"), TIMEOUT_SECONDS)
        await kill_worker(served, tables)
        await until(lambda: len(services.llm.requests_with(f"Speaker: spoken {word}")) == 2, TIMEOUT_SECONDS)
        assert (await read_note(key, before["id"]))["status"] == "summarizing"
        gates[2].set()

        summarized = await wait_for_status(key, before["id"], "completed")
        [segment] = summarized["transcripts"]
        assert (segment["text"], segment["translation"]) == (f"spoken {word}", "gesprochen")
        assert summarized["summary"] == "A summary."
        # Each stage once: accepted, transcribed, translated, summarised.
        assert await read_event_types(tables, before["id"]) == [
            "note.created",
            "note.updated",
            "note.audio_uploaded",
            "note.updated",
            "note.updated",
            "note.updated",
            "note.completed",
        ]
        await key.close()


async def test_a_recording_survives_the_death_of_the_whole_server(
    settings: dict[str, str], transcriber: ScriptedTranscriber, tables: AsyncEngine
) -> None:
    """It is killed during the transcription, and the next server of the same folder goes on."""
    marker, gate = new_marker(), threading.Event()
    transcriber.on(marker, ScriptedResponse({"text": marker.decode()}, gate=gate))
    with server_process(**settings) as served:
        tenant = await make_tenant(served, tables)
        key = await tenant.key()
        note_id = await create_note_from_audio(key, marker)
        await until(lambda: transcriber.requests_with(marker), TIMEOUT_SECONDS)
        served.process.kill()
        served.process.wait(10)
    await leases_run_out(tables)
    gate.set()
    with server_process(**settings) as served:
        again = await tenant.key(server=served)
        assert (await wait_for_status(again, note_id, "completed"))["transcripts"][0]["text"] == marker.decode()
        for caller in (key, again):
            await caller.close()


async def test_the_built_in_model_quotes_a_summary_and_translates_nothing(
    settings: dict[str, str], transcriber: ScriptedTranscriber, tables: AsyncEngine
) -> None:
    """It can't translate."""
    marker = new_marker()
    lines = [
        "We move the Lisbon office in May because the lease ends.",
        "Hm.",
        "Ann rents the van for the Lisbon move and asks the landlord.",
    ]
    pieces = [{"text": line, "start": index, "end": index + 1} for index, line in enumerate(lines)]
    transcriber.on(marker, ScriptedResponse({"segments": pieces}))
    settings.pop("llm_base_url")
    settings.pop("llm_model")
    with running_server(**settings) as served:
        tenant = await make_tenant(served, tables)
        key = await tenant.key()
        note_id = await create_note_from_audio(key, marker)
        await key.http.patch(f"/v1/notes/{note_id}", json={"translationLanguage": "de"})
        summarized = await wait_for_status(key, note_id, "completed")
        assert summarized["summary"] == f"- Speaker: {lines[0]}\n- Speaker: {lines[2]}"
        assert summarized["title"] == "Speaker Move Lisbon Office May Because Lease"
        assert [one["translation"] for one in summarized["transcripts"]] == [None, None, None]
        await key.close()
