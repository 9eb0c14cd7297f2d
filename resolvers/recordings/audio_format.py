"""What the first bytes of audio say about its kind."""

from collections.abc import Callable, Mapping

from models.recording import AudioExtension

CONTENT_TYPES: Mapping[str, str] = {
    AudioExtension.M4A: "audio/mp4",
    AudioExtension.MP3: "audio/mpeg",
    AudioExtension.WAV: "audio/wav",
    AudioExtension.AAC: "audio/aac",
}
ENOUGH = 12
"""Bytes that tell the kinds apart."""


def is_it(extension: str, start: bytes) -> bool:
    """Whether bytes that begin like this can be that kind of audio."""
    return len(start) >= ENOUGH and KINDS[AudioExtension(extension)](start)


def _m4a(start: bytes) -> bool:
    return start[4:8] == b"ftyp"


def _mp3(start: bytes) -> bool:
    # A tag, or a frame: eleven set bits, then a layer that is not the reserved one (which is AAC's).
    return start.startswith(b"ID3") or (start[0] == 0xFF and start[1] & 0xE0 == 0xE0 and start[1] & 0x06 != 0)


def _wav(start: bytes) -> bool:
    return start[:4] in {b"RIFF", b"RF64"} and start[8:12] == b"WAVE"


def _aac(start: bytes) -> bool:
    return start.startswith(b"ADIF") or (start[0] == 0xFF and start[1] & 0xF6 == 0xF0)


KINDS: Mapping[AudioExtension, Callable[[bytes], bool]] = {
    AudioExtension.M4A: _m4a,
    AudioExtension.MP3: _mp3,
    AudioExtension.WAV: _wav,
    AudioExtension.AAC: _aac,
}
