"""A transcriber that fails, and one that returns unusual transcriptions."""

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
from tests.audio.helpers import (
    TIMEOUT_SECONDS,
    audio_bytes,
    create_note_from_audio,
    new_marker,
    read_event_types,
    set_recording,
    wait_for_status,
)
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
async def test_a_failed_transcription_is_retried(
    audio_tenant: Tenant, transcriber: ScriptedTranscriber, first: ScriptedResponse
) -> None:
    key, marker = await audio_tenant.key(), new_marker()
    transcriber.on(marker, first, ScriptedResponse())
    completed = await wait_for_status(key, await create_note_from_audio(key, marker), "completed")
    assert [one["text"] for one in completed["transcripts"]] == ["We move in May.", "Ann rents the van."]
    assert len(transcriber.requests_with(marker)) == 2
    assert await failed(audio_tenant, completed["id"]) == ("done", None, 0)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "The transcriber could not read the audio."),
        (413, "The audio is too large for the transcriber."),
        (415, "The transcriber does not know this kind of audio."),
        (422, "The transcriber could not read the audio."),
    ],
)
async def test_audio_that_the_transcriber_refuses_fails_at_once(
    audio_tenant: Tenant, transcriber: ScriptedTranscriber, status: int, reason: str
) -> None:
    key, marker = await audio_tenant.key(), new_marker()
    transcriber.on(marker, ScriptedResponse({"error": {"message": "secret sk-123"}}, status))
    completed = await wait_for_status(key, await create_note_from_audio(key, marker), "idle")
    assert (completed["transcripts"], completed["summary"], completed["revision"]) == ([], "", 2)
    assert await failed(audio_tenant, completed["id"]) == ("failed", reason, 0)
    assert await read_event_types(audio_tenant.database, completed["id"]) == [
        "note.created",
        "note.audio_uploaded",
        "note.updated",
    ]
    assert len(transcriber.requests_with(marker)) == 1


async def test_a_note_with_a_transcript_keeps_it(audio_tenant: Tenant, transcriber: ScriptedTranscriber) -> None:
    key, marker = await audio_tenant.key(), new_marker()
    transcriber.on(marker, ScriptedResponse(status=400))
    segment = {"speaker": "A", "text": "B", "startTimestamp": "00:00:00", "endTimestamp": "00:00:01"}
    draft = {"title": "T", "transcripts": [segment]}
    before = (await key.http.post("/v1/notes", json=draft)).json()["note"]
    await create_note_from_audio(key, marker, noteId=before["id"])
    after = await wait_for_status(key, before["id"], "recorded-not-summarized")
    assert after["transcripts"] == before["transcripts"]


async def last_attempt(tenant: Tenant, caller: Caller, note_id: str) -> None:
    """Waits for a failure, and makes the next attempt the last, at once."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not (await failed(tenant, note_id))[2]:
            await asyncio.sleep(0.05)
    await set_recording(tenant.database, note_id, failures="9", work_after="now() - interval '1 s'")


async def test_a_transcription_is_given_up_after_the_last_attempt(
    audio_tenant: Tenant, transcriber: ScriptedTranscriber
) -> None:
    key, marker = await audio_tenant.key(), new_marker()
    transcriber.on(marker, ScriptedResponse(status=503, headers={"Retry-After": "600"}))
    note_id = await create_note_from_audio(key, marker)
    await last_attempt(audio_tenant, key, note_id)
    await wait_for_status(key, note_id, "idle")
    assert await failed(audio_tenant, note_id) == ("failed", "The transcriber was not available.", 0)


async def test_a_note_without_a_summary_keeps_its_transcript(
    audio_tenant: Tenant, services: Services, transcriber: ScriptedTranscriber
) -> None:
    key, marker = await audio_tenant.key(), new_marker()
    transcriber.on(marker, ScriptedResponse({"text": marker.decode()}))
    services.llm.on(marker.decode(), Script(status=500))
    note_id = await create_note_from_audio(key, marker)
    await last_attempt(audio_tenant, key, note_id)
    completed = await wait_for_status(key, note_id, "recorded-not-summarized")
    assert [one["text"] for one in completed["transcripts"]] == [marker.decode()]
    assert await failed(audio_tenant, note_id) == ("done", "The summary could not be written.", 0)
    # What fails for a while does not end it.
    second = new_marker()
    transcriber.on(second, ScriptedResponse({"text": second.decode()}))
    services.llm.on(second.decode(), Script(status=500))
    note_id = await create_note_from_audio(key, second)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not (await failed(audio_tenant, note_id))[2]:
            await asyncio.sleep(0.05)
    services.llm.on(second.decode(), Script(["Better."]))
    assert (await wait_for_status(key, note_id, "completed"))["summary"] == "Better."


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
async def test_each_form_of_transcription_becomes_segments(
    audio_tenant: Tenant, transcriber: ScriptedTranscriber, answer: dict[str, Any], texts: list[tuple[str, ...]]
) -> None:
    key, marker = await audio_tenant.key(), new_marker()
    transcriber.on(marker, ScriptedResponse(answer))
    completed = await wait_for_status(key, await create_note_from_audio(key, marker), "completed")
    names = ("speaker", "text", "startTimestamp", "endTimestamp")
    assert [tuple(one[name] for name in names) for one in completed["transcripts"]] == texts
    assert completed["totalDurationSec"] == answer.get("duration", 12)
    assert completed["summary"] == ("All is well." if texts else "")


async def test_a_transcript_that_is_too_long_is_cut(audio_tenant: Tenant, transcriber: ScriptedTranscriber) -> None:
    key, marker = await audio_tenant.key(), new_marker()
    pieces = [{"text": f"Piece {number}.", "start": number, "end": number + 1} for number in range(MAX_SEGMENTS + 5)]
    transcriber.on(marker, ScriptedResponse({"segments": pieces}))
    completed = await wait_for_status(key, await create_note_from_audio(key, marker), "completed")
    assert len(completed["transcripts"]) == MAX_SEGMENTS
    state, check_refusal, _ = await failed(audio_tenant, completed["id"])
    assert (state, check_refusal) == ("done", "The transcript was cut: a note has at most 10,000 segments.")


def test_long_pieces_are_split() -> None:
    words = "word " * 5_000
    completed = list(
        to_segments(Transcription([TranscriptPiece(words, 0, 1), TranscriptPiece("x" * 25_000, 1, 2)]), 3_600)
    )
    assert [len(one.text) for one in completed] == [9_999, 9_999, 4_999 - 1 + 1, 10_000, 10_000, 5_000]
    assert " ".join(one.text for one in completed[:3]) == words.strip()
    assert {(one.start_timestamp, one.end_timestamp) for one in completed} == {
        ("01:00:00", "01:00:01"),
        ("01:00:01", "01:00:02"),
    }
    assert max(len(one.text) for one in completed) == MAX_SEGMENT_CHARACTERS
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
    path.write_bytes(audio_bytes())
    return path


def fill(file: Path, marker: bytes) -> None:
    file.write_bytes(audio_bytes(marker=marker))


async def test_a_transcriber_that_hangs_is_an_outage(transcriber: ScriptedTranscriber, file: Path) -> None:
    gate, marker = threading.Event(), new_marker()
    fill(file, marker)
    transcriber.on(marker, ScriptedResponse(gate=gate))
    impatient = OpenAITranscriber(transcriber.url, "m", SecretStr("k"), read_seconds=0.2)
    with pytest.raises(TranscriberUnavailable, match="could not be reached in time"):
        await impatient.transcribe(file, "audio/wav")
    gate.set()
    await impatient.aclose()


async def test_an_unreachable_transcriber_is_an_outage(file: Path) -> None:
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
async def test_the_response_format_follows_the_model(
    transcriber: ScriptedTranscriber, file: Path, model: str, form: dict[str, str]
) -> None:
    marker = new_marker()
    fill(file, marker)
    transcriber.on(marker, ScriptedResponse())
    client = OpenAITranscriber(transcriber.url, model)
    transcription = await client.transcribe(file, "audio/wav")
    await client.aclose()
    assert transcriber.requests_with(marker)[0].form == {"model": model, **form}
    assert (transcription.language, transcription.duration) == ("en", 12.5)
    assert transcription.pieces == [
        TranscriptPiece(" We move in May.", 0, 4.2, "Ben"),
        TranscriptPiece(" Ann rents the van.", 4.2, 12.5),
    ]


async def test_error_texts_of_the_transcriber_are_not_repeated(transcriber: ScriptedTranscriber, file: Path) -> None:
    marker = new_marker()
    fill(file, marker)
    client = OpenAITranscriber(transcriber.url, "m", SecretStr("k"))
    transcriber.on(
        marker,
        ScriptedResponse({"error": {"message": "key k"}}, 400),
        ScriptedResponse({"error": {"message": "key k"}}, 500),
    )
    with pytest.raises(AudioRefused, match=r"^The transcriber could not read the audio\.$"):
        await client.transcribe(file, "audio/wav")
    with pytest.raises(TranscriberUnavailable, match=r"^The transcription endpoint answered 500\.$"):
        await client.transcribe(file, "audio/wav")
    await client.aclose()
