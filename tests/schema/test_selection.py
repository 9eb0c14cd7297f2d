"""The one walk over a document: what it visits, with which state, and what it leaves out."""

from typing import Any

import pytest
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    build_schema,
    parse,
)
from graphql.execution.values import VariableValues, get_variable_values

from schema.execution.selection import Fragments, fields_of, variables_in, walk
from schema.execution.shared_results import event_variables, is_viewer_independent

SCHEMA = build_schema("type Query { a(x: In): Query b: Query c: Query } input In { y: [Int] z: In } type T { a: Int }")


def read(text: str) -> tuple[OperationDefinitionNode, Fragments]:
    operation, *fragments = parse(text).definitions
    assert isinstance(operation, OperationDefinitionNode)
    return operation, {part.name.value: part for part in fragments if isinstance(part, FragmentDefinitionNode)}


def name(node: SelectionNode) -> str:
    if isinstance(node, InlineFragmentNode):
        return f"on {node.type_condition.name.value}" if node.type_condition else "on"
    assert isinstance(node, FieldNode | FragmentSpreadNode)
    return f"...{node.name.value}" if isinstance(node, FragmentSpreadNode) else node.name.value


def visited(text: str, *, follow: bool, variables: dict[str, Any] | None = None) -> set[str]:
    """The path of every node that is visited."""
    operation, fragments = read(text)
    paths: set[str] = set()

    def visit(node: SelectionNode, above: str) -> str | None:
        path = f"{above}/{name(node)}"
        paths.add(path)
        return None if name(node) == "c" else path

    values: VariableValues | None = None
    if variables is not None:
        coerced = get_variable_values(SCHEMA, operation.variable_definitions or (), variables)
        assert isinstance(coerced, VariableValues)
        values = coerced
    walk(operation.selection_set, "", visit, fragments=fragments if follow else None, variables=values)
    return paths


def test_the_walk_visits_every_node_with_the_state_of_what_contains_it() -> None:
    text = "{a{b} ...{b} ...on Query{a} ...F} fragment F on Query{b{a}}"
    plain = {"/a", "/a/b", "/on", "/on/b", "/on Query", "/on Query/a", "/...F"}
    assert visited(text, follow=False) == plain
    assert visited(text, follow=True) == {*plain, "/...F/b", "/...F/b/a"}


def test_the_walk_leaves_out_what_a_node_contains_if_it_has_no_state_for_it() -> None:
    assert visited("{c{a{b}} a}", follow=False) == {"/c", "/a"}


@pytest.mark.parametrize("on", [True, False])
def test_the_walk_leaves_out_what_directives_leave_out(on: bool) -> None:
    text = """query($on: Boolean!) { a @include(if: $on) {b} b @skip(if: $on) ...F @skip(if: $on)
        ... @include(if: $on) {b} c @skip(if: true) @include(if: true) } fragment F on Query {a}"""
    left = {"/a", "/a/b", "/on", "/on/b"} if on else {"/b", "/...F", "/...F/a"}
    assert visited(text, follow=True, variables={"on": on}) == left
    assert {"/a", "/b", "/...F", "/on", "/c"} < visited(text, follow=True)


def test_the_walk_is_no_recursion() -> None:
    deep = 5_000
    operation = read("{a}")[0]
    for _ in range(deep):
        [field] = read("{a{b}}")[0].selection_set.selections
        assert isinstance(field, FieldNode)
        operation = OperationDefinitionNode(
            operation=operation.operation,
            selection_set=type(operation.selection_set)(
                selections=(FieldNode(name=field.name, selection_set=operation.selection_set),)
            ),
        )
    levels: list[int] = []

    def visit(_node: SelectionNode, level: int) -> int:
        levels.append(level)
        return level + 1

    walk(operation.selection_set, 0, visit)
    assert levels == list(range(deep + 1))


def test_the_fields_of_a_selection_set_include_those_of_its_fragments() -> None:
    operation, fragments = read("{a{c} ...{b ...F}} fragment F on Query{c{a}}")
    assert {field.name.value for field in fields_of(operation.selection_set, fragments)} == {"a", "b", "c"}


def test_variables_are_collected_from_values_of_any_shape() -> None:
    operation, _ = read("query($v:Int $w:In $x:Boolean!){a(x:{y:[1 $v] z:$w}) @skip(if:$x)}")
    [field] = operation.selection_set.selections
    assert set(variables_in(field)) == {"v", "w"}
    assert [set(variables_in(directive)) for directive in field.directives or ()] == [{"x"}]


def test_an_events_result_depends_on_all_variables_but_those_of_the_subscription_field() -> None:
    text = "subscription($a:Int $b:Int $c:Boolean! $d:Int $e:Int){"
    operation, fragments = read(
        text + "a(x:$a) @skip(if:$c) {b(x:{y:[$b]}) ...F}} fragment F on Query{a(x:$d){...{c(x:$e)}}}"
    )
    assert event_variables(operation, fragments) == {"b", "c", "d", "e"}
    # The same where the field itself is within a fragment.
    operation, fragments = read(text + "...F} fragment F on Query{a(x:$a){b(x:$b)}}")
    assert event_variables(operation, fragments) == {"b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("subscription{workspaceEvents{id type cursor}}", True),
        ("subscription{a:workspaceEvents{b:noteId __typename createdAt}}", True),
        ("subscription{workspaceEvents{id note{id}}}", False),
        ("subscription{workspaceEvents{...on Event{id}}}", False),
        ("subscription{workspaceEvents{...F}} fragment F on Event{id}", False),
        ("subscription{...F} fragment F on Subscription{workspaceEvents{id}}", False),
    ],
)
def test_only_plain_fields_of_the_event_itself_are_the_same_for_all_viewers(text: str, expected: bool) -> None:
    assert is_viewer_independent(read(text)[0]) is expected
