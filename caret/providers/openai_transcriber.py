"""The transcriber behind any OpenAI-compatible `/audio/transcriptions` endpoint (OpenAI, vLLM, speaches, LocalAI)."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, SecretStr

from caret.providers.model_list import ADDRESSES, OPENAI
from caret.providers.openai_client import LazyClient, retry_after
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
WRONG_FORMAT = "The transcription endpoint does not answer in OpenAI's format."


class TranscriptionSegment(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)
    text: str
    start: float = 0.0
    end: float = 0.0
    speaker: str | None = None


class TranscriptionResponse(BaseModel):
    """An endpoint's response, all of it optional: `verbose_json`, `diarized_json` and `json` are parts of this."""

    model_config = ConfigDict(allow_inf_nan=False)
    text: str = ""
    language: str | None = None
    duration: float | None = None
    segments: list[TranscriptionSegment] | None = None


class OpenAITranscriber:
    """One request per recording; the caller decides about another one."""

    def __init__(
        self, base_url: str, model: str, api_key: SecretStr | None = None, *, read_seconds: float = READ_SECONDS
    ) -> None:
        self._model = model
        self._client = LazyClient(base_url, api_key, read_seconds=read_seconds, max_retries=0)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def transcribe(self, audio: Path, content_type: str) -> Transcription:
        # The library reads the file in small pieces while it sends them: no recording is ever in memory as a whole.
        with await asyncio.to_thread(audio.open, "rb") as file:
            content = await self._request((audio.name, file, content_type))
        return await asyncio.to_thread(parse_transcription, content)

    async def _request(self, file: Any) -> bytes:
        client, openai = await self._client.load()
        # `from None` everywhere: the library's own texts may quote a part of the key or of the transcript.
        try:
            response = await client.audio.transcriptions.with_raw_response.create(
                file=file, model=self._model, **response_format(self._model)
            )
        except openai.APIConnectionError:
            raise TranscriberUnavailable("The transcription endpoint could not be reached in time.") from None
        except openai.APIStatusError as error:
            raise _refusal(error) from None
        content: bytes = response.content
        return content


def build_transcriber(
    *, base_url: str | None = None, api_key: SecretStr | None = None, model: str | None = None
) -> OpenAITranscriber | None:
    """A transcriber when a model, and a server or a key, are configured, else None: there is no local one."""
    if not model or not (base_url or api_key):
        return None
    return OpenAITranscriber(base_url or ADDRESSES[OPENAI], model, api_key)


def response_format(model: str) -> dict[str, Any]:
    """The parameters for segments with times; OpenAI's own later models have them only with speakers, or not at all."""
    if not model.startswith("gpt-"):
        return {"response_format": "verbose_json", "timestamp_granularities": ["segment"]}
    if "diarize" in model:
        return {"response_format": "diarized_json", "chunking_strategy": "auto"}
    return {"response_format": "json"}


def parse_transcription(content: bytes) -> Transcription:
    """Raises TranscriberUnavailable for another format: a proxy may have answered in the endpoint's place."""
    try:
        # The standard library's parser accepts lone surrogates, which are replaced where the text is stored.
        response = TranscriptionResponse.model_validate(json.loads(content))
    except (ValueError, RecursionError):
        raise TranscriberUnavailable(WRONG_FORMAT) from None
    if response.segments:
        pieces = [TranscriptPiece(part.text, part.start, part.end, part.speaker) for part in response.segments]
    else:
        pieces = [TranscriptPiece(response.text, 0.0, response.duration or 0.0)]
    return Transcription(pieces, response.language, response.duration)


def _refusal(error: "APIStatusError") -> AudioRefused | TranscriberUnavailable:
    status = error.status_code
    if status in REFUSALS:
        return AudioRefused(REFUSALS[status])
    return TranscriberUnavailable(f"The transcription endpoint answered {status}.", retry_after(error))
