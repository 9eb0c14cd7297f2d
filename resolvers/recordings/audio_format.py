"""Recognizing the format of audio by its first bytes."""

from collections.abc import Callable, Mapping

from models.recording import AudioExtension

CONTENT_TYPES: Mapping[str, str] = {
    AudioExtension.M4A: "audio/mp4",
    AudioExtension.MP3: "audio/mpeg",
    AudioExtension.WAV: "audio/wav",
    AudioExtension.AAC: "audio/aac",
}
SIGNATURE_BYTES = 12
"""How many first bytes distinguish the formats."""


def has_format(extension: str, start: bytes) -> bool:
    """Whether bytes that begin like this can be audio of that format."""
    return len(start) >= SIGNATURE_BYTES and _CHECKS[AudioExtension(extension)](start)


def _is_m4a(start: bytes) -> bool:
    return start[4:8] == b"ftyp"


def _is_mp3(start: bytes) -> bool:
    # A tag, or a frame: eleven set bits, then a layer that is not the reserved one, which AAC uses.
    return start.startswith(b"ID3") or (start[0] == 0xFF and start[1] & 0xE0 == 0xE0 and start[1] & 0x06 != 0)


def _is_wav(start: bytes) -> bool:
    return start[:4] in {b"RIFF", b"RF64"} and start[8:12] == b"WAVE"


def _is_aac(start: bytes) -> bool:
    return start.startswith(b"ADIF") or (start[0] == 0xFF and start[1] & 0xF6 == 0xF0)


_CHECKS: Mapping[AudioExtension, Callable[[bytes], bool]] = {
    AudioExtension.M4A: _is_m4a,
    AudioExtension.MP3: _is_mp3,
    AudioExtension.WAV: _is_wav,
    AudioExtension.AAC: _is_aac,
}
