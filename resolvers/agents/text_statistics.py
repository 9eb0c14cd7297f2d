"""Counting in texts of any script. Each function takes time in proportion to the text's length, whatever is in it."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}—–…]++")
_LETTER = re.compile(r"[^\W_]")
# A stop after one letter or a short number ("e.g.", "J. Smith", "3. Mai"), or before a small letter, ends nothing.
_STOP = re.compile(r"(?<![.!?…])(?<!\b\w)(?<!\b\d\d)[.!?…]++[\"'”’»)\]]*+(?=\s)(?!\s++[a-z])|[。！？]++[」』”]?")
_BLANK = re.compile(r"\n[^\S\n]*+\n")
# What is seen as one character though it is several code points: a line end, a flag; what joins the one before it.
_PAIR = re.compile("\r\n|[\U0001f1e6-\U0001f1ff]{2}")
_JOINED = re.compile("\u200d.|[\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")


def words(text: str) -> int:
    """What white space or a dash separates and has a letter or a digit in it; each Chinese or Japanese character."""
    return _number(run for run in _WORD.finditer(text) if _LETTER.search(run[0]))


def characters(text: str) -> int:
    """What a reader sees as one character, spaces too: a letter with its accents, an emoji with all its parts."""
    if text.isascii():
        return len(text) - text.count("\r\n")
    single = _JOINED.sub("", _PAIR.sub("x", unicodedata.normalize("NFC", text)))
    return _number(one for one in single if unicodedata.category(one)[0] != "M")


def paragraphs(text: str) -> int:
    """What blank lines separate; in a text without blank lines each line."""
    text = text.strip().replace("\r\n", "\n")
    parts = _BLANK.split(text) if _BLANK.search(text) else text.split("\n")
    return _number(part for part in parts if part.strip())


def sentences(text: str) -> int:
    """What ends with a stop or with its line, and has a word in it."""
    parts = (part for line in text.splitlines() for part in _STOP.split(line))
    return _number(part for part in parts if _LETTER.search(part))


def _number(things: Iterable[Any]) -> int:
    return sum(1 for _ in things)
