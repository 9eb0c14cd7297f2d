"""Translations of transcripts, however a segment was written."""

import asyncio
import json
from typing import Any

import pytest

from tests.audio.helpers import TIMEOUT_SECONDS, create_note_from_audio, new_marker, read_note, wait_for_status
from tests.conftest import Services, Tenant
from tests.support.clients import Caller
from tests.support.llm import Script
from tests.support.transcriber import ScriptedResponse, ScriptedTranscriber

APPEND = """mutation($id: ID!, $segments: [TranscriptSegmentInput!]!) {
  appendTranscript(noteId: $id, segments: $segments) { revision } }"""


def segments(*texts: str, translation: str | None = None) -> list[dict[str, Any]]:
    times = {"startTimestamp": "00:00:01", "endTimestamp": "00:00:02"}
    more = {} if translation is None else {"translation": translation}
    return [{"speaker": "A", "text": text, **times, **more} for text in texts]


def translator(services: Services, marker: str, answer: str) -> None:
    services.llm.on(marker, Script([answer[:5], answer[5:]]))


async def translated(caller: Caller, note_id: str, *expected: str | None) -> dict[str, Any]:
    """Returns the note once its segments have these translations."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            current = await read_note(caller, note_id)
            if [one["translation"] for one in current["transcripts"]] == list(expected):
                return current
            await asyncio.sleep(0.05)


async def test_segments_are_translated_however_they_were_written(audio_tenant: Tenant, services: Services) -> None:
    """With the note, appended, as replacements, and before the note had a translation language."""
    key, marker = await audio_tenant.key(), new_marker().decode()
    translator(services, marker, '```json\n["eins", "zwei"]\n```')
    draft = {
        "title": "T",
        "translationLanguage": "de",
        "transcripts": [*segments(f"one {marker}"), *segments("kept", translation="behalten"), *segments("two")],
    }
    original = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    current = await translated(key, original["id"], "eins", "behalten", "zwei")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (current := await read_note(key, current["id"]))["revision"] == 1:
            await asyncio.sleep(0.05)
    # One more revision, and nothing else of the note is another.
    assert {name for name in current if current[name] != original[name]} == {"transcripts", "updatedAt", "revision"}
    assert current["revision"] == 2
    [model_request] = services.llm.requests_with(marker)
    assert json.loads(model_request["messages"][-1]["content"]) == [f"one {marker}", "two"]
    assert 'into the language "de"' in model_request["messages"][0]["content"]

    more = new_marker().decode()
    translator(services, more, '["drei"]')
    await key.data(APPEND, id=current["id"], segments=segments(f"three {more}"))
    await translated(key, current["id"], "eins", "behalten", "zwei", "drei")

    other = new_marker().decode()
    translator(services, other, '["vier"]')
    await key.http.patch(f"/v1/notes/{current['id']}", json={"transcripts": segments(f"four {other}")})
    await translated(key, current["id"], "vier")

    late = new_marker().decode()
    translator(services, late, '["cinq"]')
    untranslated = (
        await key.http.post("/v1/notes", json={"title": "T", "transcripts": segments(f"five {late}")})
    ).json()["note"]
    await asyncio.sleep(0.5)
    assert services.llm.requests_with(late) == []
    await key.http.patch(f"/v1/notes/{untranslated['id']}", json={"translationLanguage": "fr"})
    await translated(key, untranslated["id"], "cinq")


@pytest.mark.parametrize(
    "answer", ['["one"]', '["a", "b", "c"]', "nothing", '{"a": "b"}', '[1, "b"]', "[", '["\\ud800", "b"]']
)
async def test_a_wrong_answer_is_retried_once_and_then_left_out(
    audio_tenant: Tenant, services: Services, answer: str
) -> None:
    """Its segments have no translation; those of other batches have one."""
    key, wrong, right = await audio_tenant.key(), new_marker().decode(), new_marker().decode()
    translator(services, wrong, answer)
    translator(services, right, '["fine"]')
    # The first two fill a batch by their length.
    texts = [f"{wrong} {'x' * 2_900}", "x" * 3_000, f"{right} {'x' * 2_000}"]
    draft = {"title": "T", "translationLanguage": "de", "transcripts": segments(*texts)}
    current = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    await translated(key, current["id"], None, None, "fine")
    assert len(services.llm.requests_with(wrong)) == 2
    assert len(services.llm.requests_with(right)) == 1


async def test_a_translation_waits_for_a_model_that_is_away(audio_tenant: Tenant, services: Services) -> None:
    key, marker = await audio_tenant.key(), new_marker().decode()
    services.llm.on(marker, Script(status=500))
    draft = {"title": "T", "translationLanguage": "de", "transcripts": segments(marker)}
    current = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not services.llm.requests_with(marker):
            await asyncio.sleep(0.05)
    translator(services, marker, '["da"]')
    await translated(key, current["id"], "da")


async def test_many_segments_are_translated_in_batches(audio_tenant: Tenant, services: Services) -> None:
    """Batches of twenty, each in its order."""
    key, marker = await audio_tenant.key(), new_marker().decode()
    translator(services, marker, json.dumps([f"t{number}" for number in range(20)]))
    draft = {"title": "T", "translationLanguage": "de", "transcripts": segments(*(f"{marker} {n}" for n in range(60)))}
    current = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    await translated(key, current["id"], *[f"t{number}" for number in range(20)] * 3)
    assert [len(json.loads(one["messages"][-1]["content"])) for one in services.llm.requests_with(marker)] == [
        20,
        20,
        20,
    ]


async def test_the_translation_comes_before_the_summary(
    audio_tenant: Tenant, services: Services, transcriber: ScriptedTranscriber
) -> None:
    key, marker = await audio_tenant.key(), new_marker()
    text = marker.decode()
    transcriber.on(marker, ScriptedResponse({"text": f"spoken {text}"}))
    services.llm.on(f'["spoken {text}"]', Script(['["gesprochen"]']))
    services.llm.on(f"Speaker: spoken {text}", Script(["A summary."]))
    before = (await key.http.post("/v1/notes", json={"title": "T", "translationLanguage": "de"})).json()["note"]
    await create_note_from_audio(key, marker, noteId=before["id"])
    current = await wait_for_status(key, before["id"], "completed")
    assert [one["translation"] for one in current["transcripts"]] == ["gesprochen"]
    assert current["summary"] == "A summary."
    tasks = [one["messages"][0]["content"].splitlines()[0] for one in services.llm.requests_with(text)]
    assert tasks == ["Task: translate", "Task: summary"]
