"""The one walk over what a document selects. Limits, prices, shared results and the columns to read come from it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLIncludeDirective,
    GraphQLSkipDirective,
    ListValueNode,
    Node,
    ObjectValueNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)
from graphql.execution.values import VariableValues, get_directive_values
from strawberry import Info
from strawberry.utils.str_converters import to_snake_case

State = TypeVar("State")
Fragments = Mapping[str, FragmentDefinitionNode]

COLUMNS = {"createdBy": "created_by_id", "folder": "folder_id"}
"""Fields of a note that are read from a column of another name."""


def walk(
    root: SelectionSetNode,
    state: State,
    visit: Callable[[SelectionNode, State], State | None],
    *,
    fragments: Fragments | None = None,
    variables: VariableValues | None = None,
) -> None:
    """Calls `visit(node, state)` for each field, inline fragment and fragment spread below `root`.

    `visit` returns the state for what the node contains, or None to leave that out. With `fragments`, a spread contains
    the selections of its fragment, and the document must be free of cycles; without them a spread contains nothing.
    With `variables`, nodes that @skip or @include leave out are not visited. There is no recursion: a document that
    nests deeply can't exhaust the interpreter's stack.
    """
    stack = [(root, state)]
    while stack:
        selection_set, outer = stack.pop()
        for node in selection_set.selections:
            if variables is not None and node.directives and not is_included(node, variables):
                continue
            inner = visit(node, outer)
            if inner is None:
                continue
            below: SelectionSetNode | None = getattr(node, "selection_set", None)
            if fragments is not None and isinstance(node, FragmentSpreadNode):
                below = fragments[node.name.value].selection_set
            if below is not None:
                stack.append((below, inner))


def is_included(node: SelectionNode, variables: VariableValues) -> bool:
    """Whether @skip and @include leave the node in (GraphQL, sections 3.13.1 and 3.13.2)."""
    skip = get_directive_values(GraphQLSkipDirective, node, variables)
    if skip is not None and skip["if"]:
        return False
    include = get_directive_values(GraphQLIncludeDirective, node, variables)
    return include is None or bool(include["if"])


def variables_in(node: Node) -> Iterator[str]:
    """The names of the variables in a value, or in the arguments of a field or a directive."""
    stack: list[Node] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, VariableNode):
            yield part.name.value
        elif isinstance(part, ListValueNode):
            stack += part.values
        elif isinstance(part, ObjectValueNode):
            stack += [field.value for field in part.fields]
        else:
            stack += [argument.value for argument in getattr(part, "arguments", None) or ()]


def fields_of(
    selection_set: SelectionSetNode, fragments: Fragments, variables: VariableValues | None = None
) -> list[FieldNode]:
    """The fields of a selection set, including those of its fragments, but not the fields below them."""
    fields: list[FieldNode] = []

    def visit(node: SelectionNode, state: bool) -> bool | None:
        if isinstance(node, FieldNode):
            fields.append(node)
            return None
        return state

    walk(selection_set, True, visit, fragments=fragments, variables=variables)
    return fields


def columns(info: Info[Any, Any], *paths: tuple[str, ...]) -> set[str]:
    """The names of the columns that the selected fields are read from.

    Each path leads from the current field to the objects that the columns belong to: `("edges", "node")` for a
    connection. Without a path they belong to the current field's own object.
    """
    raw = info._raw_info
    names: set[str] = set()
    for path in paths or ((),):
        level = list(raw.field_nodes)
        for step in path:
            level = [field for field in _children(level, info) if field.name.value == step]
        names.update(field.name.value for field in _children(level, info))
    return {COLUMNS.get(name) or to_snake_case(name) for name in names}


def _children(parents: list[FieldNode], info: Info[Any, Any]) -> Iterator[FieldNode]:
    raw = info._raw_info
    for parent in parents:
        if parent.selection_set is not None:
            yield from fields_of(parent.selection_set, raw.fragments, raw.variable_values)
