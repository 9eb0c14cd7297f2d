"""Ports for audio: a store and a transcriber; `caret.adapters.audio_storage` and `caret.providers` implement them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredAudio:
    """Audio that the store has. `size` is in bytes."""

    name: str
    size: int
    stored_at: datetime


class AudioStore(Protocol):
    """Keeps bytes under names of the form `<workspace>/<recording>.<extension>`.

    Every method raises Problem UNAVAILABLE while the store can't be reached.
    """

    async def upload_url(self, name: str, seconds: int) -> str | None:
        """Where anybody may PUT the bytes for so long; None where that must be an address of this server."""

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Keeps all the bytes, or nothing where `chunks` raises. FileExistsError where there are some already."""

    async def find(self, name: str) -> StoredAudio | None: ...

    async def read_start(self, name: str, length: int) -> bytes:
        """The first bytes, fewer where there are fewer."""

    def open(self, name: str, most: int) -> AbstractAsyncContextManager[Path]:
        """A file with the bytes, for the length of the block.

        FileNotFoundError where there are none, or more than `most`: a bucket takes what its callers put there.
        """

    async def delete(self, names: Sequence[str]) -> None:
        """What is not there is no error."""

    def list_all(self) -> AsyncIterator[Sequence[StoredAudio]]:
        """All that is kept, some hundreds at a time."""

    async def delete_partial_uploads(self) -> int:
        """Removes what broken-off uploads left. Returns how many."""


@dataclass(frozen=True, slots=True)
class TranscriptPiece:
    """A piece of a transcript. `start` and `end` are seconds from the beginning."""

    text: str
    start: float
    end: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Transcription:
    """`duration` is in seconds; None, like `language`, where the transcriber does not say."""

    pieces: Sequence[TranscriptPiece]
    language: str | None = None
    duration: float | None = None


class TranscriberUnavailable(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """The transcriber can't do it now; the same call may succeed later.

    `retry_after` is in seconds, None when none was named. The text holds no secret and no user's text.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AudioRefused(Exception):  # noqa: N818
    """The transcriber will never take this audio. The text is safe to show."""


class Transcriber(Protocol):
    async def transcribe(self, audio: Path, content_type: str) -> Transcription:
        """Raises TranscriberUnavailable and AudioRefused."""


@dataclass(frozen=True, slots=True)
class Audio:
    """`transcriber` None: this server makes no notes from audio. `public_url`: how callers reach the server."""

    store: AudioStore
    transcriber: Transcriber | None = None
    public_url: str | None = None
