"""The transcriber behind any OpenAI-compatible `/audio/transcriptions` endpoint (OpenAI, vLLM, speaches, LocalAI)."""

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, SecretStr

from caret.providers.openai_client import LaterClient
from resolvers.core.ports.audio import AudioRefused, TranscriberUnavailable, Transcription, TranscriptPiece

if TYPE_CHECKING:
    from openai import APIStatusError

READ_SECONDS = 1800.0
"""The longest silence while the endpoint listens: four hours of audio take their time."""
REFUSALS = {
    400: "The transcriber could not read the audio.",
    413: "The audio is too large for the transcriber.",
    415: "The transcriber does not know this kind of audio.",
    422: "The transcriber could not read the audio.",
}
NO_FORMAT = "The transcription endpoint does not answer in OpenAI's format."


class Piece(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)
    text: str
    start: float = 0.0
    end: float = 0.0
    speaker: str | None = None


class Answer(BaseModel):
    """What endpoints say, all of it optional: `verbose_json`, `diarized_json` and `json` are parts of this."""

    model_config = ConfigDict(allow_inf_nan=False)
    text: str = ""
    language: str | None = None
    duration: float | None = None
    segments: list[Piece] | None = None


class OpenAITranscriber:
    """One request per recording; who calls decides about another one."""

    def __init__(
        self, base_url: str, model: str, api_key: SecretStr | None = None, *, read_seconds: float = READ_SECONDS
    ) -> None:
        self._model = model
        self._client = LaterClient(base_url, api_key, read_seconds=read_seconds, max_retries=0)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def transcribe(self, audio: Path, content_type: str) -> Transcription:
        # The library reads the file in small pieces while it sends them: no recording is ever held in memory.
        with await asyncio.to_thread(audio.open, "rb") as file:
            answer = await self._request((audio.name, file, content_type))
        return await asyncio.to_thread(transcription, answer)

    async def _request(self, file: Any) -> bytes:
        client = await self._client.get()
        import openai  # noqa: PLC0415 (already imported when there is a client)

        # `from None` everywhere: the library's own texts may quote a part of the key or of the transcript.
        try:
            answer = await client.audio.transcriptions.with_raw_response.create(
                file=file, model=self._model, **wanted(self._model)
            )
        except openai.APIConnectionError:
            raise TranscriberUnavailable("The transcription endpoint could not be reached in time.") from None
        except openai.APIStatusError as error:
            raise _refusal(error) from None
        content: bytes = answer.content
        return content


def wanted(model: str) -> dict[str, Any]:
    """The form of the answer: segments with times, where OpenAI's own later models can give them."""
    if not model.startswith("gpt-"):
        return {"response_format": "verbose_json", "timestamp_granularities": ["segment"]}
    if "diarize" in model:
        return {"response_format": "diarized_json", "chunking_strategy": "auto"}
    return {"response_format": "json"}


def transcription(content: bytes) -> Transcription:
    """Raises TranscriberUnavailable for what is not the format: a proxy may have answered in the endpoint's place."""
    try:
        # The library's own: it reads lone surrogates, which are mended where they are stored.
        answer = Answer.model_validate(json.loads(content))
    except (ValueError, RecursionError):
        raise TranscriberUnavailable(NO_FORMAT) from None
    if answer.segments:
        pieces = [TranscriptPiece(piece.text, piece.start, piece.end, piece.speaker) for piece in answer.segments]
    else:
        pieces = [TranscriptPiece(answer.text, 0.0, answer.duration or 0.0)]
    return Transcription(pieces, answer.language, answer.duration)


def _refusal(error: "APIStatusError") -> AudioRefused | TranscriberUnavailable:
    status = error.status_code
    if status in REFUSALS:
        return AudioRefused(REFUSALS[status])
    value = error.response.headers.get("retry-after", "")
    wait = float(value) if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value) else None
    return TranscriberUnavailable(f"The transcription endpoint answered {status}.", wait)
