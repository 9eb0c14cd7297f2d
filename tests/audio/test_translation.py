"""Translations of transcripts, in whatever way a segment came to its note."""

import asyncio
import json
from typing import Any

import pytest

from tests.audio.helpers import PATIENCE, made, mark, note, reaches
from tests.conftest import Services, Tenant
from tests.support.clients import Caller
from tests.support.llm import Script
from tests.support.transcriber import ScriptedResponse, ScriptedTranscriber

APPEND = """mutation($id: ID!, $segments: [TranscriptSegmentInput!]!) {
  appendTranscript(noteId: $id, segments: $segments) { revision } }"""


def said(*texts: str, translation: str | None = None) -> list[dict[str, Any]]:
    times = {"startTimestamp": "00:00:01", "endTimestamp": "00:00:02"}
    more = {} if translation is None else {"translation": translation}
    return [{"speaker": "A", "text": text, **times, **more} for text in texts]


def translator(services: Services, marked: str, answer: str) -> None:
    services.llm.on(marked, Script([answer[:5], answer[5:]]))


async def translated(caller: Caller, note_id: str, *wanted: str | None) -> dict[str, Any]:
    """The note once its segments have these translations."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await note(caller, note_id)
            if [one["translation"] for one in found["transcripts"]] == list(wanted):
                return found
            await asyncio.sleep(0.05)


async def test_segments_that_are_written(audio_tenant: Tenant, services: Services) -> None:
    """With a note, added to it, in the place of others, and before the note had a language for them."""
    key, marked = await audio_tenant.key(), mark().decode()
    translator(services, marked, '```json\n["eins", "zwei"]\n```')
    draft = {
        "title": "T",
        "translationLanguage": "de",
        "transcripts": [*said(f"one {marked}"), *said("kept", translation="behalten"), *said("two")],
    }
    made_now = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    found = await translated(key, made_now["id"], "eins", "behalten", "zwei")
    async with asyncio.timeout(PATIENCE):
        while (found := await note(key, found["id"]))["revision"] == 1:
            await asyncio.sleep(0.05)
    # One more revision, and nothing else of the note is another.
    assert {name for name in found if found[name] != made_now[name]} == {"transcripts", "updatedAt", "revision"}
    assert found["revision"] == 2
    [asked] = services.llm.requests_with(marked)
    assert json.loads(asked["messages"][-1]["content"]) == [f"one {marked}", "two"]
    assert 'into the language "de"' in asked["messages"][0]["content"]

    more = mark().decode()
    translator(services, more, '["drei"]')
    await key.data(APPEND, id=found["id"], segments=said(f"three {more}"))
    await translated(key, found["id"], "eins", "behalten", "zwei", "drei")

    other = mark().decode()
    translator(services, other, '["vier"]')
    await key.http.patch(f"/v1/notes/{found['id']}", json={"transcripts": said(f"four {other}")})
    await translated(key, found["id"], "vier")

    late = mark().decode()
    translator(services, late, '["cinq"]')
    plain = (await key.http.post("/v1/notes", json={"title": "T", "transcripts": said(f"five {late}")})).json()["note"]
    await asyncio.sleep(0.5)
    assert services.llm.requests_with(late) == []
    await key.http.patch(f"/v1/notes/{plain['id']}", json={"translationLanguage": "fr"})
    await translated(key, plain["id"], "cinq")


@pytest.mark.parametrize(
    "answer", ['["one"]', '["a", "b", "c"]', "nothing", '{"a": "b"}', '[1, "b"]', "[", '["\\ud800", "b"]']
)
async def test_an_answer_that_is_wrong_twice(audio_tenant: Tenant, services: Services, answer: str) -> None:
    """Its segments stay without; those of other batches do not."""
    key, wrong, right = await audio_tenant.key(), mark().decode(), mark().decode()
    translator(services, wrong, answer)
    translator(services, right, '["fine"]')
    # The first two fill a batch by their length.
    texts = [f"{wrong} {'x' * 2_900}", "x" * 3_000, f"{right} {'x' * 2_000}"]
    draft = {"title": "T", "translationLanguage": "de", "transcripts": said(*texts)}
    found = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    await translated(key, found["id"], None, None, "fine")
    assert len(services.llm.requests_with(wrong)) == 2
    assert len(services.llm.requests_with(right)) == 1


async def test_a_model_that_is_away_for_a_while(audio_tenant: Tenant, services: Services) -> None:
    key, marked = await audio_tenant.key(), mark().decode()
    services.llm.on(marked, Script(status=500))
    draft = {"title": "T", "translationLanguage": "de", "transcripts": said(marked)}
    found = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    async with asyncio.timeout(PATIENCE):
        while not services.llm.requests_with(marked):
            await asyncio.sleep(0.05)
    translator(services, marked, '["da"]')
    await translated(key, found["id"], "da")


async def test_many_segments(audio_tenant: Tenant, services: Services) -> None:
    """Batches of twenty, each in its order."""
    key, marked = await audio_tenant.key(), mark().decode()
    translator(services, marked, json.dumps([f"t{number}" for number in range(20)]))
    draft = {"title": "T", "translationLanguage": "de", "transcripts": said(*(f"{marked} {n}" for n in range(60)))}
    found = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    await translated(key, found["id"], *[f"t{number}" for number in range(20)] * 3)
    assert [len(json.loads(one["messages"][-1]["content"])) for one in services.llm.requests_with(marked)] == [
        20,
        20,
        20,
    ]


async def test_before_the_summary(audio_tenant: Tenant, services: Services, transcriber: ScriptedTranscriber) -> None:
    key, marked = await audio_tenant.key(), mark()
    text = marked.decode()
    transcriber.on(marked, ScriptedResponse({"text": f"spoken {text}"}))
    services.llm.on(f'["spoken {text}"]', Script(['["gesprochen"]']))
    services.llm.on(f"Speaker: spoken {text}", Script(["A summary."]))
    before = (await key.http.post("/v1/notes", json={"title": "T", "translationLanguage": "de"})).json()["note"]
    await made(key, marked, noteId=before["id"])
    found = await reaches(key, before["id"], "completed")
    assert [one["translation"] for one in found["transcripts"]] == ["gesprochen"]
    assert found["summary"] == "A summary."
    tasks = [one["messages"][0]["content"].splitlines()[0] for one in services.llm.requests_with(text)]
    assert tasks == ["Task: translate", "Task: summary"]
