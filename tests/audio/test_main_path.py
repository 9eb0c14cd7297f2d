"""From the request for an upload address to a note with a transcript and a summary."""

import hashlib
import re
import threading
import uuid

from tests.audio.helpers import (
    ADDRESS,
    FROM_AUDIO,
    audio_bytes,
    new_marker,
    read_event_types,
    read_note,
    upload,
    wait_for_status,
)
from tests.conftest import Services, Tenant
from tests.support.llm import Script
from tests.support.transcriber import TRANSCRIPTION, ScriptedResponse, ScriptedTranscriber

TRANSCRIPT = [
    {
        "speaker": "Ben",
        "text": "We move in May.",
        "translation": None,
        "startTimestamp": "00:00:00",
        "endTimestamp": "00:00:04",
    },
    {
        "speaker": "Speaker",
        "text": "Ann rents the van.",
        "translation": None,
        "startTimestamp": "00:00:04",
        "endTimestamp": "00:00:12",
    },
]


async def test_a_recording_becomes_a_note(
    audio_tenant: Tenant, services: Services, transcriber: ScriptedTranscriber
) -> None:
    key, marker, gate = await audio_tenant.key(), new_marker(), threading.Event()
    last = f"Ann rents the van {marker.decode()}."
    answer = {
        **TRANSCRIPTION,
        "segments": [TRANSCRIPTION["segments"][0], {**TRANSCRIPTION["segments"][1], "text": last}],
    }
    transcriber.on(marker, ScriptedResponse(answer, gate=gate))
    services.llm.on(last, Script(["The office moves ", f"in {marker.decode()}."]))
    services.llm.title(f"The office moves in {marker.decode()}.", '"Office move in May."')

    response = await key.http.post(ADDRESS, json={"fileExtension": "m4a", "duration": 12})
    assert response.status_code == 200, audio_tenant.server.lines[-20:]
    answer = response.json()
    ident = answer["audioUrl"].rpartition("/")[2]
    assert answer == {
        "presignedUrl": answer["presignedUrl"],
        "audioUrl": f"{audio_tenant.server.url}/v1/uploads/{ident}",
        "contentType": "audio/mp4",
    }
    assert re.fullmatch(
        re.escape(answer["audioUrl"]) + r"\?expires=\d{10}&signature=[0-9a-f]{64}", answer["presignedUrl"]
    )

    content = audio_bytes("m4a", marker, 5_000_000)
    received = await upload(answer["presignedUrl"], content, answer["contentType"])
    assert (received.status_code, received.json()) == (200, {"success": True, "message": "Audio received"})

    response = await key.http.post(FROM_AUDIO, json={"audioUrl": answer["audioUrl"]})
    assert response.status_code == 201
    note_id = response.json()["noteId"]
    assert response.json() == {"noteId": str(uuid.UUID(note_id))}
    before = await read_note(key, note_id)
    assert (before["status"], before["kind"]) == ("transcript-processing", "in-person")
    assert re.fullmatch(r"Recording of \d{4}-\d\d-\d\d \d\d:\d\d", before["title"])
    gate.set()
    after = await wait_for_status(key, note_id, "completed")
    assert after == {
        **before,
        "title": "Office move in May",
        "status": "completed",
        "updatedAt": after["updatedAt"],
        "totalDurationSec": 12.5,
        "summary": f"The office moves in {marker.decode()}.",
        "transcripts": [TRANSCRIPT[0], {**TRANSCRIPT[1], "text": last}],
        "inputLanguage": "en",
        "revision": 3,
    }
    [request_to_transcriber] = transcriber.requests_with(marker)
    assert (request_to_transcriber.content_type, request_to_transcriber.size) == ("audio/mp4", len(content))
    assert request_to_transcriber.sha256 == hashlib.sha256(content).hexdigest()
    assert request_to_transcriber.filename == f"{ident}.m4a"
    assert request_to_transcriber.form == {
        "model": "scripted-ears",
        "response_format": "verbose_json",
        "timestamp_granularities[]": "segment",
    }
    assert request_to_transcriber.headers["authorization"] == "Bearer sk-ears"
    [model_request] = services.llm.requests_with(f'note="{note_id}"')
    assert f"Ben: We move in May.\nSpeaker: {last}" in model_request["messages"][-1]["content"]
    assert await read_event_types(audio_tenant.database, note_id) == [
        "note.created",
        "note.audio_uploaded",
        "note.updated",
        "note.updated",
        "note.completed",
    ]
