"""The ports for audio: a store and a transcriber.

`caret.adapters.audio_storage` and `caret.providers` implement them.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredAudio:
    """A stored audio file. `size` is in bytes."""

    name: str
    size: int
    stored_at: datetime


class AudioStore(Protocol):
    """Stores audio files under names of the form `<workspace>/<recording>.<extension>`.

    Every method raises Problem UNAVAILABLE while the store can't be reached.
    """

    async def upload_url(self, name: str, seconds: int) -> str | None:
        """A URL to which anybody may PUT the bytes for so many seconds. None if it must be a URL of this server."""

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Stores all the bytes, or nothing if `chunks` raises. Raises FileExistsError if the file exists."""

    async def find(self, name: str) -> StoredAudio | None: ...

    async def read_start(self, name: str, length: int) -> bytes:
        """The first `length` bytes of the file, or all if it is shorter."""

    def open(self, name: str, most: int) -> AbstractAsyncContextManager[Path]:
        """A local copy of the file for the length of the block.

        Raises FileNotFoundError if there is no such file, or if it has more than `most` bytes: a bucket accepts
        whatever its callers upload.
        """

    async def delete(self, names: Sequence[str]) -> None:
        """Deletes the files. A file that does not exist is not an error."""

    def list_all(self) -> AsyncIterator[Sequence[StoredAudio]]:
        """All stored files, some hundreds at a time."""

    async def delete_partial_uploads(self) -> int:
        """Deletes the remains of interrupted uploads. Returns how many."""


@dataclass(frozen=True, slots=True)
class TranscriptPiece:
    """A piece of a transcript. `start` and `end` are seconds from the beginning."""

    text: str
    start: float
    end: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Transcription:
    """A transcript. `duration` (seconds) and `language` are None if the transcriber does not report them."""

    pieces: Sequence[TranscriptPiece]
    language: str | None = None
    duration: float | None = None


class TranscriberUnavailable(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """The transcriber can't answer now; the same call may succeed later.

    `retry_after` is in seconds, None if it did not say. The message contains no secret and no user's text.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AudioRefused(Exception):  # noqa: N818
    """The transcriber will never accept this audio. The message is safe to show."""


class Transcriber(Protocol):
    async def transcribe(self, audio: Path, content_type: str) -> Transcription:
        """Raises TranscriberUnavailable and AudioRefused."""


@dataclass(frozen=True, slots=True)
class Audio:
    """`transcriber` None: this server makes no notes from audio. `public_url` is the server's URL for callers."""

    store: AudioStore
    transcriber: Transcriber | None = None
    public_url: str | None = None
