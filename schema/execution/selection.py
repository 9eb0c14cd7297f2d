"""Which fields of a type an operation asks for: it decides which columns are read."""

from collections.abc import Iterator
from typing import Any

from graphql import FieldNode, FragmentSpreadNode, GraphQLResolveInfo, SelectionSetNode
from strawberry.utils.str_converters import to_snake_case

from schema.types.base import Info

READ_FOR = {"createdBy": "created_by_id", "folder": "folder_id"}
"""Fields of a note that are made of a column of another name."""


def columns(info: Info, *paths: tuple[str, ...]) -> set[str]:
    """The columns behind the fields selected at the end of any of the paths; () is the field itself."""
    raw = info._raw_info
    names: set[str] = set()
    for path in paths or ((),):
        level = [node.selection_set for node in raw.field_nodes]
        for step in path:
            level = [f.selection_set for s in level for f in fields(raw, s) if f.name.value == step]
        names.update(field.name.value for selection in level for field in fields(raw, selection))
    return {READ_FOR.get(name) or to_snake_case(name) for name in names}


def fields(raw: GraphQLResolveInfo[Any], selection: SelectionSetNode | None) -> Iterator[FieldNode]:
    """The fields of a selection set, through all its fragments."""
    for node in selection.selections if selection else ():
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, FragmentSpreadNode):
            yield from fields(raw, raw.fragments[node.name.value].selection_set)
        else:
            yield from fields(raw, node.selection_set)  # type: ignore[attr-defined]  # an inline fragment
