"""Counting in texts of any script, and cutting what tools give back."""

from typing import Any

import pytest

from models.conversation import AgentType
from resolvers.agents.agent_types import AGENTS
from resolvers.agents.text_statistics import count_characters, count_paragraphs, count_sentences, count_words
from resolvers.agents.tool_results import cut_texts, to_json

TEXTS = [
    # text, words, characters, paragraphs, sentences
    ("", 0, 0, 0, 0),
    (" \n\t ", 0, 4, 0, 0),
    ("Hello world", 2, 11, 1, 1),
    ("It's well-known — isn't it? Yes; 1,000.5 of them.", 8, 49, 1, 2),
    ("e.g. this one by J. Smith on 3. May. Done", 10, 41, 1, 2),
    ("Wait... what?! (Really.) No", 4, 27, 1, 3),
    ("会议在周五。预算是四万。", 10, 12, 1, 2),
    ("「こんにちは」と言った。", 9, 12, 1, 1),
    ("안녕하세요 여러분", 2, 9, 1, 1),
    ("नमस्ते दुनिया", 2, 8, 1, 1),
    ("Größe e\u0301te\u0301", 2, 9, 1, 1),
    ("👨\u200d👩\u200d👧 🇩🇪🇫🇷 👍🏽 ❤\ufe0f", 0, 8, 1, 0),
    ("a\r\nb", 2, 3, 2, 2),
    ("First\nsecond\n \nthird\n\n\n", 3, 23, 2, 3),
    ("One\ntwo\nthree", 3, 13, 3, 3),
    ("- . — …", 0, 7, 1, 0),
]


@pytest.mark.parametrize("counted", TEXTS)
def test_words_characters_paragraphs_and_sentences_are_counted(counted: tuple[str, int, int, int, int]) -> None:
    text, *numbers = counted
    assert [count(text) for count in (count_words, count_characters, count_paragraphs, count_sentences)] == numbers


@pytest.mark.parametrize(
    "part", [".", ". ", "a. ", '."', "。", "\u200d", "🇩", "\n", " \n", "\u0301", "?\t\t", "— ", "<"]
)
def test_counting_takes_linear_time(part: str) -> None:
    """The longest text of a note, of the worst there is: a pattern that looks back and forth would take minutes."""
    text = (part * 500_000)[:500_000]
    for count in (count_words, count_characters, count_paragraphs, count_sentences):
        assert 0 <= count(text) <= len(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abcdef", "abcdef"),
        ("abcdefg", "abcdef […]"),
        (["abc", "def"], ["abc", "def"]),
        (["a", "bcdefgh"], ["a", "bcd […]"]),
        ({"a": "xyzxyz", "b": {"c": [1, "defg"]}, "d": None}, {"a": "xyz […]", "b": {"c": [1, "def […]"]}, "d": None}),
        ([1] * 100, [1] * 100),
        (None, None),
    ],
)
def test_long_strings_share_the_limit(value: Any, expected: Any) -> None:
    assert cut_texts(value, 6) == expected


def test_values_that_the_database_cannot_store_are_replaced() -> None:
    value = {"a\x00": ("\ud800", float("nan"), 1e308, 2**64, True, None, 1.5), 7: b"x"}
    assert to_json(value) == {"a": ["?", "nan", "1e+308", str(2**64), True, None, 1.5], "7": "b'x'"}


def test_every_agent_type_has_a_definition() -> None:
    assert set(AGENTS) == {None, *AgentType}
    assert all(definition.role for definition in AGENTS.values())
