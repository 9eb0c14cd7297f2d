"""Error codes: the product declares them, and each edge says what they are in its protocol."""

from resolvers.core.errors import ErrorCode
from rest_compat.errors import PROTOCOL_STATUSES, STATUSES_AND_NAMES
from schema.execution.error_codes import HTTP_STATUSES, ProtocolErrorCode


def test_each_code_is_mapped_in_each_edge() -> None:
    assert set(HTTP_STATUSES) == {*ErrorCode, *ProtocolErrorCode}
    assert set(STATUSES_AND_NAMES) == set(ErrorCode)


def test_both_edges_answer_with_the_same_status() -> None:
    rest = {code: status for code, (status, _) in STATUSES_AND_NAMES.items()}
    assert rest == {code: HTTP_STATUSES[code] for code in ErrorCode}


def test_no_two_codes_of_an_edge_have_one_name() -> None:
    graphql = [code.value for code in HTTP_STATUSES]
    rest = [*(name for _, name in STATUSES_AND_NAMES.values()), *PROTOCOL_STATUSES]
    assert (len(set(graphql)), len(set(rest))) == (len(graphql), len(rest))


def test_a_codes_name_is_its_value() -> None:
    assert all(code.name == code.value for code in HTTP_STATUSES)
