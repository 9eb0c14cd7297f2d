"""The paths of a schema that lead below a list, found by walking it: a new field is found without being registered."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_required_argument,
)


@dataclass(frozen=True)
class Path:
    """`steps` are the fields from the query down to objects of `kind`; `on` tells which type of an interface they are.

    `below_list`: there is one such object for each member of a list.
    """

    kind: GraphQLObjectType
    steps: tuple[str, ...] = ()
    below_list: bool = False
    on: str | None = None

    @property
    def name(self) -> str:
        fields = ".".join(step.partition("(")[0] for step in self.steps)
        return f"{fields}({self.on})" if self.on else fields

    def query(self, selection: str) -> str:
        if self.on is not None:
            selection = f"__typename ... on {self.on} {{ {selection} }}"
        for step in reversed(self.steps):
            selection = f"{step} {{ {selection} }}"
        return f"query($ids: [ID!]!) {{ {selection} }}" if "$ids" in selection else f"{{ {selection} }}"

    def objects(self, data: Any) -> list[dict[str, Any]]:
        """The objects at the end of the path in the answer to `query`."""
        level = [data]
        for step in self.steps:
            values = [item[step.partition("(")[0]] for item in level]
            level = [one for value in values for one in (value if isinstance(value, list) else [value])]
            level = [one for one in level if one is not None]
        return level


def paths_below_lists(schema: GraphQLSchema, arguments: Mapping[str, str]) -> Iterator[Path]:
    """A shortest path to each field that returns objects below a list, or a list of objects.

    A field that needs arguments is followed with those of `arguments` (by `Type.field`), and is left out where there
    are none.
    """
    assert schema.query_type is not None
    start = Path(schema.query_type)
    reached: dict[tuple[str, bool], list[Path]] = {(start.kind.name, False): []}
    waiting = deque([start])
    while waiting:
        path = waiting.popleft()
        inner = reached[path.kind.name, path.below_list]
        for name, field in path.kind.fields.items():
            for longer in _longer(schema, path, name, field, arguments):
                inner.append(longer)
                key = longer.kind.name, longer.below_list
                # Each type of an interface has a shorter path of its own, from which the walk goes on.
                if longer.on is None and key not in reached:
                    reached[key] = []
                    waiting.append(longer)
    for (kind, below_list), paths in reached.items():
        if below_list or (kind, True) not in reached:
            yield from (path for path in paths if path.below_list)


def _longer(
    schema: GraphQLSchema, path: Path, name: str, field: GraphQLField, arguments: Mapping[str, str]
) -> Iterator[Path]:
    kind = get_named_type(field.type)
    given = arguments.get(f"{path.kind.name}.{name}", "")
    if not is_composite_type(kind) or (any(map(is_required_argument, field.args.values())) and not given):
        return
    steps, below_list = (*path.steps, f"{name}{given}"), path.below_list or is_list(field.type)
    if is_abstract_type(kind):
        yield from (Path(one, steps, below_list, one.name) for one in schema.get_possible_types(kind))
    else:
        assert isinstance(kind, GraphQLObjectType)
        yield Path(kind, steps, below_list)


def is_list(kind: Any) -> bool:
    return isinstance(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, GraphQLList)


def selections(schema: GraphQLSchema, kind: GraphQLObjectType) -> Iterator[tuple[str, str]]:
    """Selections that ask for each field of a type: all plain fields together, and each other field by itself."""
    plain = [name for name, field in kind.fields.items() if not is_composite_type(get_named_type(field.type))]
    if plain:
        yield "plain fields", " ".join(plain)
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLObjectType) and inner.name.endswith("Connection"):
            yield name, f"{name} {{ nodes {{ __typename }} totalCount }}"
        elif is_composite_type(inner):
            yield name, f"{name} {{ __typename }}"
