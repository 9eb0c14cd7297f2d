import random
from itertools import pairwise

import pytest

from resolvers.chunks import chunked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("a", ["a"]),
        ("  abc  ", ["abc"]),
        ("0123456789", ["0123456789"]),
        # One character more than a chunk holds.
        ("0123456789a", ["0123456789", "789a"]),
        ("0123456789abcdef", ["0123456789", "789abcdef"]),
        # The second chunk reaches the end: a third would only repeat its tail.
        ("0123456789abcdefg", ["0123456789", "789abcdefg"]),
        ("0123456789abcdefgh", ["0123456789", "789abcdefg", "efgh"]),
        # What is new in the second chunk is blank, so it would only repeat the tail of the first.
        ("0123456789" + " " * 8 + "ab", ["0123456789", "ab"]),
        ("0123456789" + " " * 30 + "ab", ["0123456789", "ab"]),
    ],
)
def test_a_text_becomes_these_chunks(text: str, expected: list[str]) -> None:
    assert chunked(text, 10, 3) == expected


def test_chunks_of_any_text_hold_all_of_it_and_repeat_no_tail() -> None:
    chance = random.Random(1)
    for _ in range(2_000):
        overlap = chance.randrange(0, 8)
        size = overlap + chance.randrange(1, 12)
        # No letter comes twice, so a chunk's place in the text is certain.
        letters = (chr(0x4E00 + i) if chance.random() < 0.6 else chance.choice(" \n") for i in range(80))
        text = "".join(letters)[: chance.randrange(81)]
        chunks = chunked(text, size, overlap)
        about = (text, size, overlap, chunks)
        reached = 0
        for chunk in chunks:
            start = text.index(chunk)
            assert chunk == chunk.strip(), about
            assert len(chunk) <= size, about
            assert start >= reached - overlap, about
            assert start + len(chunk) > reached, ("repeats the tail", about)
            assert not text[reached:start].strip(), ("leaves something out", about)
            reached = start + len(chunk)
        assert not text[reached:].strip(), ("leaves the end out", about)


def test_overlapping_chunks_share_exactly_the_overlap() -> None:
    text = "".join(chr(0x4E00 + i) for i in range(5_000))
    chunks = chunked(text, 512, 64)
    assert [len(chunk) for chunk in chunks] == [512] * 11 + [5_000 - 11 * 448]
    assert all(one[-64:] == two[:64] for one, two in pairwise(chunks))
    assert chunks[0] + "".join(chunk[64:] for chunk in chunks[1:]) == text
