"""The comparison lets ids, times and scores differ, and nothing else."""

import pytest

from tests.docs.comparison import Bindings, compact

FIRST, SECOND = "01a20124-c9f9-75a0-9567-2669e2176ef5", "01a20125-7c97-7630-8cc5-282a36da034e"
OTHER = "01a220f0-2e59-726b-b01a-8d5ee94d7f97"


@pytest.mark.parametrize(
    ("documented", "actual"),
    [
        (f'{{"id":"{FIRST}"}}', f'{{"id":"{SECOND}"}}'),
        ('{"at":"2026-11-22T15:04:20.937Z"}', '{"at":"2027-01-02T03:04:05.678Z"}'),
        ('{"score":0.39884036779403687}', '{"score":0.4}'),
        ('{\n  "title": "A b",\n  "tags": []\n}', '{"title":"A b","tags":[]}'),
        ('{"secret":"whsec_…"}', '{"secret":"whsec_abc+/="}'),
        ('{"id":1,…}', '{"id":1,"name":"x"}'),
    ],
)
def test_what_may_differ_matches(documented: str, actual: str) -> None:
    assert Bindings().match(documented, actual, is_json=True)


@pytest.mark.parametrize(
    ("documented", "actual"),
    [
        ('{"title":"A b"}', '{"title":"Ab"}'),
        ('{"count":1}', '{"count":2}'),
        ('{"id":1}', '{"id":1,"name":"x"}'),
        (f'{{"a":"{FIRST}","b":"{FIRST}"}}', f'{{"a":"{SECOND}","b":"{OTHER}"}}'),
        ('{"secret":"whsec_…"}', '{"secret":"other_abc"}'),
    ],
)
def test_what_may_not_differ_does_not_match(documented: str, actual: str) -> None:
    assert not Bindings().match(documented, actual, is_json=True)


def test_an_id_stands_for_one_real_id_in_all_that_follows() -> None:
    bindings = Bindings()
    assert bindings.match(f"id {FIRST}", f"id {SECOND}", is_json=False)
    assert bindings.substitute(f"NOTE={FIRST}") == f"NOTE={SECOND}"
    assert not bindings.match(f"id {FIRST}", f"id {OTHER}", is_json=False)


def test_an_ellipsis_on_a_line_of_its_own_stands_for_any_lines() -> None:
    assert Bindings().match("one\n…\nfour", "one\ntwo\nthree\nfour", is_json=False)
    assert Bindings().match("one\n…", "one\ntwo\nthree", is_json=False)
    assert not Bindings().match("one\n…\nfour", "one\ntwo\nthree", is_json=False)


def test_white_space_in_strings_is_kept() -> None:
    assert compact('{ "a b" : [ 1, 2 ] }') == '{"a b":[1,2]}'
