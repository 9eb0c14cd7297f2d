"""Statistics of texts in any script. Each function takes time in proportion to the text's length."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}—–…]++")
_LETTER = re.compile(r"[^\W_]")
# A stop after one letter or a short number ("e.g.", "J. Smith", "3. Mai"), or before a small letter, ends no sentence.
_STOP = re.compile(r"(?<![.!?…])(?<!\b\w)(?<!\b\d\d)[.!?…]++[\"'”’»)\]]*+(?=\s)(?!\s++[a-z])|[。！？]++[」』”]?")
_BLANK = re.compile(r"\n[^\S\n]*+\n")
# Several code points that are one character: a line end, a flag, and what joins the character before it.
_PAIR = re.compile("\r\n|[\U0001f1e6-\U0001f1ff]{2}")
_JOINED = re.compile("\u200d.|[\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")


def count_words(text: str) -> int:
    """Counts what white space or a dash separates and has a letter or a digit.

    Each Chinese or Japanese character is a word.
    """
    return _count(match for match in _WORD.finditer(text) if _LETTER.search(match[0]))


def count_characters(text: str) -> int:
    """Counts characters as readers see them: spaces, a letter with its accents, an emoji with all its parts."""
    if text.isascii():
        return len(text) - text.count("\r\n")
    single = _JOINED.sub("", _PAIR.sub("x", unicodedata.normalize("NFC", text)))
    return _count(char for char in single if unicodedata.category(char)[0] != "M")


def count_paragraphs(text: str) -> int:
    """Counts what blank lines separate, or the lines of a text without blank lines."""
    text = text.strip().replace("\r\n", "\n")
    parts = _BLANK.split(text) if _BLANK.search(text) else text.split("\n")
    return _count(part for part in parts if part.strip())


def count_sentences(text: str) -> int:
    """Counts what ends with a stop or with its line, and has a word."""
    parts = (part for line in text.splitlines() for part in _STOP.split(line))
    return _count(part for part in parts if _LETTER.search(part))


def _count(items: Iterable[Any]) -> int:
    return sum(1 for _ in items)
