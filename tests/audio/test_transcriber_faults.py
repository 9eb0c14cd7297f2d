"""A transcriber that fails, and one that says strange things."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from caret.providers import OpenAITranscriber
from models.transcript import MAX_SEGMENT_CHARACTERS, MAX_SEGMENTS
from resolvers.core.ports.audio import AudioRefused, TranscriberUnavailable, Transcription, TranscriptPiece
from resolvers.recordings.transcribe import timestamp, to_segments
from tests.audio.helpers import PATIENCE, made, mark, reaches, set_recording, sound, told
from tests.conftest import Services, Tenant
from tests.support.clients import Caller
from tests.support.llm import Script
from tests.support.transcriber import ScriptedResponse, ScriptedTranscriber

GARBAGE: list[Any] = [b"<html>", [], {"text": 3}, {"segments": [{"start": "x"}]}, {"segments": {}}, b""]


async def failed(tenant: Tenant, note_id: str) -> tuple[str, str | None, int]:
    from sqlalchemy import text

    query = text("SELECT state, error, failures FROM recordings WHERE note_id = :id")
    async with tenant.database.connect() as connection:
        row = (await connection.execute(query, {"id": note_id})).one()
        return row.state, row.error, row.failures


@pytest.mark.parametrize(
    "first",
    [
        ScriptedResponse(status=500),
        ScriptedResponse(status=429, headers={"Retry-After": "1"}),
        ScriptedResponse(status=401),
        *(ScriptedResponse(answer) for answer in GARBAGE),
    ],
)
async def test_it_is_asked_again(
    audio_tenant: Tenant, transcriber: ScriptedTranscriber, first: ScriptedResponse
) -> None:
    key, marked = await audio_tenant.key(), mark()
    transcriber.on(marked, first, ScriptedResponse())
    found = await reaches(key, await made(key, marked), "completed")
    assert [one["text"] for one in found["transcripts"]] == ["We move in May.", "Ann rents the van."]
    assert len(transcriber.requests_with(marked)) == 2
    assert await failed(audio_tenant, found["id"]) == ("done", None, 0)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "The transcriber could not read the audio."),
        (413, "The audio is too large for the transcriber."),
        (415, "The transcriber does not know this kind of audio."),
        (422, "The transcriber could not read the audio."),
    ],
)
async def test_audio_that_it_refuses(
    audio_tenant: Tenant, transcriber: ScriptedTranscriber, status: int, reason: str
) -> None:
    key, marked = await audio_tenant.key(), mark()
    transcriber.on(marked, ScriptedResponse({"error": {"message": "secret sk-123"}}, status))
    found = await reaches(key, await made(key, marked), "idle")
    assert (found["transcripts"], found["summary"], found["revision"]) == ([], "", 2)
    assert await failed(audio_tenant, found["id"]) == ("failed", reason, 0)
    assert await told(audio_tenant.database, found["id"]) == ["note.created", "note.audio_uploaded", "note.updated"]
    assert len(transcriber.requests_with(marked)) == 1


async def test_a_note_with_a_transcript_keeps_it(audio_tenant: Tenant, transcriber: ScriptedTranscriber) -> None:
    key, marked = await audio_tenant.key(), mark()
    transcriber.on(marked, ScriptedResponse(status=400))
    segment = {"speaker": "A", "text": "B", "startTimestamp": "00:00:00", "endTimestamp": "00:00:01"}
    draft = {"title": "T", "transcripts": [segment]}
    before = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    await made(key, marked, noteId=before["id"])
    after = await reaches(key, before["id"], "recorded-not-summarized")
    assert after["transcripts"] == before["transcripts"]


async def last_attempt(tenant: Tenant, caller: Caller, note_id: str) -> None:
    """Waits for a failure, and makes the next attempt the last, at once."""
    async with asyncio.timeout(PATIENCE):
        while not (await failed(tenant, note_id))[2]:
            await asyncio.sleep(0.05)
    await set_recording(tenant.database, note_id, failures="9", work_after="now() - interval '1 s'")


async def test_not_for_ever(audio_tenant: Tenant, transcriber: ScriptedTranscriber) -> None:
    key, marked = await audio_tenant.key(), mark()
    transcriber.on(marked, ScriptedResponse(status=503, headers={"Retry-After": "600"}))
    note_id = await made(key, marked)
    await last_attempt(audio_tenant, key, note_id)
    await reaches(key, note_id, "idle")
    assert await failed(audio_tenant, note_id) == ("failed", "The transcriber was not available.", 0)


async def test_a_summary_that_fails(audio_tenant: Tenant, services: Services, transcriber: ScriptedTranscriber) -> None:
    key, marked = await audio_tenant.key(), mark()
    transcriber.on(marked, ScriptedResponse({"text": marked.decode()}))
    services.llm.on(marked.decode(), Script(status=500))
    note_id = await made(key, marked)
    await last_attempt(audio_tenant, key, note_id)
    found = await reaches(key, note_id, "recorded-not-summarized")
    assert [one["text"] for one in found["transcripts"]] == [marked.decode()]
    assert await failed(audio_tenant, note_id) == ("done", "The summary could not be written.", 0)
    # What fails for a while does not end it.
    second = mark()
    transcriber.on(second, ScriptedResponse({"text": second.decode()}))
    services.llm.on(second.decode(), Script(status=500))
    note_id = await made(key, second)
    async with asyncio.timeout(PATIENCE):
        while not (await failed(audio_tenant, note_id))[2]:
            await asyncio.sleep(0.05)
    services.llm.on(second.decode(), Script(["Better."]))
    assert (await reaches(key, note_id, "completed"))["summary"] == "Better."


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ({"text": "Only text.", "duration": 7200}, [("Speaker", "Only text.", "00:00:00", "02:00:00")]),
        ({"text": ""}, []),
        ({"text": " ", "segments": []}, []),
        (
            {"segments": [{"text": "a\x00b", "start": -5, "end": 1e300, "speaker": "X" * 900}, {"text": "  "}]},
            [("X" * 500, "ab", "00:00:00", "9999:59:59")],
        ),
        (
            {"segments": [{"text": "lone \ud800", "start": 5, "end": 2, "speaker": "\x00"}], "language": "en" * 40},
            [("Speaker", "lone ?", "00:00:05", "00:00:05")],
        ),
    ],
)
async def test_what_it_may_say(
    audio_tenant: Tenant, transcriber: ScriptedTranscriber, answer: dict[str, Any], texts: list[tuple[str, ...]]
) -> None:
    key, marked = await audio_tenant.key(), mark()
    transcriber.on(marked, ScriptedResponse(answer))
    found = await reaches(key, await made(key, marked), "completed")
    names = ("speaker", "text", "startTimestamp", "endTimestamp")
    assert [tuple(one[name] for name in names) for one in found["transcripts"]] == texts
    assert found["totalDurationSec"] == answer.get("duration", 12)
    assert found["summary"] == ("All is well." if texts else "")


async def test_more_than_a_transcript_holds(audio_tenant: Tenant, transcriber: ScriptedTranscriber) -> None:
    key, marked = await audio_tenant.key(), mark()
    pieces = [{"text": f"Piece {number}.", "start": number, "end": number + 1} for number in range(MAX_SEGMENTS + 5)]
    transcriber.on(marked, ScriptedResponse({"segments": pieces}))
    found = await reaches(key, await made(key, marked), "completed")
    assert len(found["transcripts"]) == MAX_SEGMENTS
    state, error, _ = await failed(audio_tenant, found["id"])
    assert (state, error) == ("done", "The transcript was cut: a note has at most 10,000 segments.")


def test_long_pieces_are_parted() -> None:
    words = "word " * 5_000
    found = list(to_segments(Transcription([TranscriptPiece(words, 0, 1), TranscriptPiece("x" * 25_000, 1, 2)]), 3_600))
    assert [len(one.text) for one in found] == [9_999, 9_999, 4_999 - 1 + 1, 10_000, 10_000, 5_000]
    assert " ".join(one.text for one in found[:3]) == words.strip()
    assert {(one.start_timestamp, one.end_timestamp) for one in found} == {
        ("01:00:00", "01:00:01"),
        ("01:00:01", "01:00:02"),
    }
    assert max(len(one.text) for one in found) == MAX_SEGMENT_CHARACTERS
    assert [timestamp(seconds) for seconds in (0, 59.99, 3_599, 360_000, -1)] == [
        "00:00:00",
        "00:00:59",
        "00:59:59",
        "100:00:00",
        "00:00:00",
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(sound())
    return path


def fill(file: Path, marked: bytes) -> None:
    file.write_bytes(sound(marked=marked))


async def test_one_that_hangs(transcriber: ScriptedTranscriber, file: Path) -> None:
    gate, marked = threading.Event(), mark()
    fill(file, marked)
    transcriber.on(marked, ScriptedResponse(gate=gate))
    impatient = OpenAITranscriber(transcriber.url, "m", SecretStr("k"), read_seconds=0.2)
    with pytest.raises(TranscriberUnavailable, match="could not be reached in time"):
        await impatient.transcribe(file, "audio/wav")
    gate.set()
    await impatient.aclose()


async def test_one_that_is_away(file: Path) -> None:
    away = OpenAITranscriber("http://127.0.0.1:9/v1", "m")
    with pytest.raises(TranscriberUnavailable, match="could not be reached in time"):
        await away.transcribe(file, "audio/wav")
    await away.aclose()


@pytest.mark.parametrize(
    ("model", "form"),
    [
        ("whisper-1", {"response_format": "verbose_json", "timestamp_granularities[]": "segment"}),
        ("gpt-4o-transcribe", {"response_format": "json"}),
        ("gpt-4o-transcribe-diarize", {"response_format": "diarized_json", "chunking_strategy": "auto"}),
    ],
)
async def test_the_form_of_the_answer(
    transcriber: ScriptedTranscriber, file: Path, model: str, form: dict[str, str]
) -> None:
    marked = mark()
    fill(file, marked)
    transcriber.on(marked, ScriptedResponse())
    asked = OpenAITranscriber(transcriber.url, model)
    said = await asked.transcribe(file, "audio/wav")
    await asked.aclose()
    assert transcriber.requests_with(marked)[0].form == {"model": model, **form}
    assert (said.language, said.duration) == ("en", 12.5)
    assert said.pieces == [
        TranscriptPiece(" We move in May.", 0, 4.2, "Ben"),
        TranscriptPiece(" Ann rents the van.", 4.2, 12.5),
    ]


async def test_its_own_words_are_not_repeated(transcriber: ScriptedTranscriber, file: Path) -> None:
    marked = mark()
    fill(file, marked)
    asked = OpenAITranscriber(transcriber.url, "m", SecretStr("k"))
    transcriber.on(
        marked,
        ScriptedResponse({"error": {"message": "key k"}}, 400),
        ScriptedResponse({"error": {"message": "key k"}}, 500),
    )
    with pytest.raises(AudioRefused, match=r"^The transcriber could not read the audio\.$"):
        await asked.transcribe(file, "audio/wav")
    with pytest.raises(TranscriberUnavailable, match=r"^The transcription endpoint answered 500\.$"):
        await asked.transcribe(file, "audio/wav")
    await asked.aclose()
