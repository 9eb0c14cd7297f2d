"""A worker that is killed in any state: what it was doing is done by the next one."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.adapters.postgres import create_engine
from tests.audio.helpers import PATIENCE, made, mark, note, reaches, told
from tests.conftest import Services, Tenant, make_tenant
from tests.faults.helpers import parts, until
from tests.support.databases import migrated_database
from tests.support.llm import Script
from tests.support.servers import ServerProcess, running_server, server_process
from tests.support.transcriber import ScriptedResponse, ScriptedTranscriber

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def alone(services: Services) -> AsyncIterator[str]:
    """A database whose work no other server's worker takes."""
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
    """As if the minutes were over."""
    async with tables.begin() as connection:
        await connection.execute(text("UPDATE recordings SET work_after = now() - interval '1 s'"))
        later = "UPDATE notes SET translate_after = now() - interval '1 s' WHERE translate_after IS NOT NULL"
        await connection.execute(text(later))


async def kill_worker(served: ServerProcess, tables: AsyncEngine) -> None:
    [worker] = parts(served, "worker")
    worker.kill()
    await until(lambda: [child.pid for child in parts(served, "worker")] not in ([], [worker.pid]), PATIENCE)
    await leases_run_out(tables)


async def test_in_every_state(
    services: Services, settings: dict[str, str], transcriber: ScriptedTranscriber, tables: AsyncEngine
) -> None:
    marked = mark()
    word = marked.decode()
    gates = [threading.Event() for _ in range(3)]
    transcriber.on(marked, ScriptedResponse({"text": f"spoken {word}"}, gate=gates[0]))
    services.llm.on(f'["spoken {word}"]', Script(['["gespr', 'ochen"]'], gate=gates[1]))
    services.llm.on(f"Speaker: spoken {word}", Script(["A ", "summary."], gate=gates[2]))
    with server_process(**settings) as served:
        tenant: Tenant = await make_tenant(served, tables)
        key = await tenant.key()
        before = (await key.http.post("/v1/notes", json={"title": "T", "translationLanguage": "de"})).json()["note"]
        await made(key, marked, noteId=before["id"])

        await until(lambda: transcriber.requests_with(marked), PATIENCE)
        await kill_worker(served, tables)
        await until(lambda: len(transcriber.requests_with(marked)) == 2, PATIENCE)
        assert (await note(key, before["id"]))["status"] == "transcript-processing"
        gates[0].set()

        await until(lambda: services.llm.requests_with(f'["spoken {word}"]'), PATIENCE)
        assert (await note(key, before["id"]))["status"] == "summarizing"
        await kill_worker(served, tables)
        await until(lambda: len(services.llm.requests_with(f'["spoken {word}"]')) == 2, PATIENCE)
        gates[1].set()

        await until(lambda: services.llm.requests_with(f"Speaker: spoken {word}"), PATIENCE)
        await kill_worker(served, tables)
        await until(lambda: len(services.llm.requests_with(f"Speaker: spoken {word}")) == 2, PATIENCE)
        assert (await note(key, before["id"]))["status"] == "summarizing"
        gates[2].set()

        found = await reaches(key, before["id"], "completed")
        [segment] = found["transcripts"]
        assert (segment["text"], segment["translation"]) == (f"spoken {word}", "gesprochen")
        assert found["summary"] == "A summary."
        # Each stage once: accepted, transcribed, translated, summarised.
        assert await told(tables, before["id"]) == [
            "note.created",
            "note.updated",
            "note.audio_uploaded",
            "note.updated",
            "note.updated",
            "note.updated",
            "note.completed",
        ]
        await key.close()


async def test_the_whole_server(
    settings: dict[str, str], transcriber: ScriptedTranscriber, tables: AsyncEngine
) -> None:
    """Killed while the transcriber listens; the next server of the same folder goes on."""
    marked, gate = mark(), threading.Event()
    transcriber.on(marked, ScriptedResponse({"text": marked.decode()}, gate=gate))
    with server_process(**settings) as served:
        tenant = await make_tenant(served, tables)
        key = await tenant.key()
        note_id = await made(key, marked)
        await until(lambda: transcriber.requests_with(marked), PATIENCE)
        served.process.kill()
        served.process.wait(10)
    await leases_run_out(tables)
    gate.set()
    with server_process(**settings) as served:
        again = await tenant.key(server=served)
        assert (await reaches(again, note_id, "completed"))["transcripts"][0]["text"] == marked.decode()
        for caller in (key, again):
            await caller.close()


async def test_with_the_built_in_model_only(
    settings: dict[str, str], transcriber: ScriptedTranscriber, tables: AsyncEngine
) -> None:
    """The summary is quoted, and nothing is translated: it can't."""
    marked = mark()
    lines = [
        "We move the Lisbon office in May because the lease ends.",
        "Hm.",
        "Ann rents the van for the Lisbon move and asks the landlord.",
    ]
    pieces = [{"text": line, "start": place, "end": place + 1} for place, line in enumerate(lines)]
    transcriber.on(marked, ScriptedResponse({"segments": pieces}))
    settings.pop("llm_base_url")
    settings.pop("llm_model")
    with running_server(**settings) as served:
        tenant = await make_tenant(served, tables)
        key = await tenant.key()
        note_id = await made(key, marked)
        await key.http.patch(f"/v1/notes/{note_id}", json={"translationLanguage": "de"})
        found = await reaches(key, note_id, "completed")
        assert found["summary"] == f"- Speaker: {lines[0]}\n- Speaker: {lines[2]}"
        assert found["title"] == "Speaker Move Lisbon Office May Because Lease"
        assert [one["translation"] for one in found["transcripts"]] == [None, None, None]
        await key.close()
