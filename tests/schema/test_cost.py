"""What operations cost: the rule, each part of it, and that a bomb is weighed as fast as it is written."""

from typing import Any

import pytest
from graphql import OperationType, build_schema, parse, validate

from schema import schema
from schema.execution.cost import cost
from tests.schema.test_limits import bomb

TREE = build_schema(
    """
    type Query { note: Note notes(first: Int, last: Int): Notes search(query: String, first: Int): [Hit!]
                 nodes(ids: [ID!]!): [Note] }
    type Mutation { touch: Note }
    type Subscription { changed: Note }
    type Notes { nodes: [Note!] edges: [Edge!] totalCount: Int }
    type Edge { node: Note }
    type Hit { note: Note }
    type Note { id: ID tags: [Note] notes(first: Int, last: Int): Notes }
    """
)


# As Strawberry has it, and as no SDL is read.
TREE.get_field(TREE.get_root_type(OperationType.QUERY), "search").args["first"].default_value = 5  # type: ignore[union-attr, arg-type]


def points(text: str, name: str | None = None, **variables: Any) -> int:
    document = parse(text)
    assert validate(TREE, document) == []
    return cost(TREE, document, name, variables)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ note { id } }", 1),
        ("{ __typename }", 1),
        ("{ __typename note { id } }", 1),
        ('{ __schema { types { name } } __type(name: "Note") { name } }', 1),
        ("{ note { id } __schema { types { name } } }", 2),
        ("{ a: note { id } b: note { id } note { id } }", 3),
        ("{ note { ...on Note { id } } ... on Query { note { id } ... { note { id } } } }", 3),
        ("mutation { a: touch { id } b: touch { id } }", 2),
        ("subscription { changed { notes(first: 100) { nodes { id } } } }", 2),
        # Nodes count by the hundred; without a size there are 20.
        ("{ notes(first: 99) { nodes { id } } }", 1),
        ("{ notes(first: 100) { nodes { id } } }", 2),
        ("{ notes(last: 100) { edges { node { tags { id } } } } }", 2),
        ("{ notes { nodes { notes(first: 3) { nodes { id } } } } }", 1),
        ("{ notes { nodes { notes(first: 4) { nodes { id } } } } }", 2),
        ("{ notes { nodes { notes { nodes { id } } } } }", 5),
        ("{ notes(first: 100) { nodes { notes(first: 100) { totalCount } } } }", 102),
        ("{ search { note { notes(first: 19) { totalCount } } } }", 2),
        ("{ search(first: 20) { note { notes(first: 4) { totalCount } } } }", 2),
        ("{ search(first: 20) { note { notes(first: 3) { totalCount } } } }", 1),
        ('{ nodes(ids: ["1", "2", "3", "4", "5"]) { notes(first: 19) { totalCount } } }', 2),
        ('{ nodes(ids: ["1", "2", "3", "4", "5"]) { notes(first: 18) { totalCount } } }', 1),
        ('{ nodes(ids: "1") { notes(first: 99) { totalCount } } }', 2),
        # The field reports a wrong number; the cost does not.
        ("{ notes(first: 2000000000) { nodes { id } } }", 2),
        ("{ notes(first: -5) { nodes { id } } }", 1),
        ("{ notes(first: 5, last: 100) { nodes { id } } }", 2),
        # Counted, though left out.
        ("{ notes(first: 100) @skip(if: true) { nodes { id } } }", 2),
        # Introspection within an introspecting fragment is one.
        ("{ ...A ...A } fragment A on Query { note { id } __schema { types { name } } }", 3),
        ("{ notes(first: 50) { nodes { ...A } } } fragment A on Note { notes(first: 3) { totalCount } }", 3),
    ],
)
def test_the_rule(text: str, expected: int) -> None:
    assert points(text) == expected


def test_sizes_come_from_variables_and_their_defaults() -> None:
    text = "query($n: Int = 50, $m: Int) { notes(first: $n) { nodes { notes(last: $m) { totalCount } } } }"
    assert points(text) == (1 + (50 + 50 * 20) // 100)
    assert points(text, n=100) == 1 + (100 + 100 * 20) // 100
    assert points(text, n=100, m=100) == 102
    assert points(text, n=None, m=None) == 1 + (20 + 20 * 20) // 100
    ids = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert points(ids, ids=["x"] * 1000) == 11
    odds: list[Any] = ["5", [5], {}, 1e308, True, None, 10**400]
    for odd in odds:
        assert points(text, n=odd, m=1) >= 1
        assert points(ids, ids=odd) == 1


@pytest.mark.parametrize("variables", [None, [], "x", 5])
def test_variables_that_are_none(variables: object) -> None:
    assert cost(TREE, parse("query($n: Int) { notes(first: $n) { totalCount } }"), None, variables) == 1


def test_the_operation_that_runs_is_the_one_that_counts() -> None:
    text = "query A { note { id } } query B { a: note { id } b: note { id } }"
    assert (points(text, "A"), points(text, "B")) == (1, 2)


def test_a_bomb_of_fragments_is_weighed_at_once() -> None:
    """Each doubles and multiplies what the next one holds: 2^40 times 100^40 nodes, written in a page."""
    text = bomb(40).replace("on Node", "on Note").replace("{...f0}", "{ note { ...f0 } }")
    text = text.replace("n{", "notes(first: 100) { nodes {").replace("}}fragment", "}}}fragment").replace("{a}", "{id}")
    assert cost(TREE, parse(text)) > 2**40


def test_a_chain_of_fragments_as_long_as_a_document_may_be() -> None:
    links = [f"fragment f{i} on Note{{...f{i + 1}}}" for i in range(140)]
    assert points("{note{...f0}}" + "".join(links) + "fragment f140 on Note{notes(first:100){totalCount}}") == 2


def test_the_real_schema_is_counted_by_the_same_names() -> None:
    text = '{ notes(first: 100) { totalCount } search(query: "x") { note { transcripts(first: 19) { totalCount } } } }'
    assert cost(schema._schema, parse(text)) == 2 + 2
