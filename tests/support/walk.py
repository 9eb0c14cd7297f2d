"""Operations for every field of a GraphQL schema, made from the schema itself: a new field is walked without being
listed, and an argument without a sample value fails the test that walks.

Ids and cursors are left open as a `Hole`, for the test to fill with its own, another's or a made-up one.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_required_argument,
    is_required_input_field,
    parse,
    visit,
)

PHRASE = "the quokka sings in Zanzibar"
FEW = 6
LONG = 700
"""Words of a selection at most, so that the operation stays within the server's limits."""
EMAIL = "quokka@zanzibar.example"
MOMENT = "2026-01-31T09:30:00Z"

STRINGS = {
    "email": EMAIL,
    "url": "https://zanzibar.example",
    "color": "#00aa00",
    "timestamp": "00:00:01",
    "language": "en",
    "code": "ABCDEFGH",
}
SCALARS: dict[str, Callable[[str], Any]] = {
    "Int": lambda _: 5,
    "Float": lambda _: 5.5,
    "Boolean": lambda _: True,
    "DateTime": lambda _: MOMENT,
    "JSON": lambda _: {"text": PHRASE},
    "WebhookEventType": lambda _: "note.created",
    "String": lambda name: next((sample for part, sample in STRINGS.items() if part in name.lower()), PHRASE),
}
CURSORS = {"after", "before"}
_ROOTS = {kind.value: kind for kind in OperationType}


@dataclass(frozen=True)
class Hole:
    """A place for an id. `kind`: what belongs there, as a table's singular (`note`), or `cursor`, or `foreign` where
    any text is fine because the id is not one of ours."""

    path: str
    kind: str


@dataclass(frozen=True)
class Operation:
    """`extra`: the one optional thing it is given, if any, by its path within the arguments."""

    root: str
    field: str
    text: str
    variables: dict[str, Any]
    extra: str | None

    @property
    def name(self) -> str:
        return f"{self.root} {self.field} {self.extra or ''}".strip()

    @property
    def holes(self) -> list[Hole]:
        return list(_holes(self.variables))

    def filled(self, fill: Callable[[Hole], Any]) -> dict[str, Any]:
        filled: dict[str, Any] = _filled(self.variables, fill)
        return filled


def _holes(value: Any) -> Iterator[Hole]:
    if isinstance(value, Hole):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _holes(part)


def _filled(value: Any, fill: Callable[[Hole], Any]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part, fill) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, fill) for part in value]
    return fill(value) if isinstance(value, Hole) else value


@dataclass(frozen=True)
class Walk:
    """`kinds`: the singulars of what has ids, by which an argument called `id` is understood from its field's name."""

    schema: GraphQLSchema
    kinds: frozenset[str]

    def operations(self, *roots: str) -> Iterator[Operation]:
        """Each field with what it must be given, and again with each thing that it may be given."""
        for root in roots:
            yield from self.operations_of(root)

    def operations_of(self, root: str) -> Iterator[Operation]:
        kind = self.schema.get_root_type(_ROOTS[root])
        assert kind is not None
        for name, field in kind.fields.items():
            for extra in (None, *_optional(field.args)):
                values = {
                    arg: self.sample(part, f"{name}.{arg}", extra)
                    for arg, part in field.args.items()
                    if _included(part, f"{name}.{arg}", extra)
                }
                for text in self.texts(root, name, field, values):
                    yield Operation(root, name, text, values, extra)

    def texts(self, root: str, name: str, field: GraphQLField, values: Mapping[str, Any]) -> Iterator[str]:
        declared = ", ".join(f"${arg}: {field.args[arg].type}" for arg in values)
        passed = ", ".join(f"{arg}: ${arg}" for arg in values)
        head = f"{root} W({declared}) {{ {name}({passed})" if values else f"{root} W {{ {name}"
        kind = get_named_type(field.type)
        possible = self.schema.get_possible_types(kind) if is_abstract_type(kind) else []
        # What has many types has them one by one: fields of one name but several types can't stand side by side.
        for only in possible if len(possible) > FEW else [None]:
            for depth in (5, 4, 3):
                inner = self.everything(only or kind, depth)
                if len(inner.split()) < LONG:
                    break
            yield f"{head} {{ ... on {only.name} {inner} }} }}" if only else f"{head} {inner} }}"

    def everything(self, kind: Any, depth: int) -> str:
        """All fields of a type down to `depth`; of a page its `nodes`, and of its `edges` the cursors."""
        kind = get_named_type(kind)
        if not is_composite_type(kind):
            return ""
        parts = ["__typename"]
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in kind.fields.items():
                leaf = not is_composite_type(get_named_type(field.type))
                if name == "edges":
                    parts.append("edges { cursor node { __typename } }")
                elif leaf or (depth > 1 and not any(map(is_required_argument, field.args.values()))):
                    # A page is no level of its own.
                    deeper = depth if name == "nodes" else depth - 1
                    parts.append(f"{name} {self.everything(field.type, deeper)}".strip())
        if isinstance(kind, GraphQLUnionType | GraphQLInterfaceType):
            possible = self.schema.get_possible_types(kind)
            parts += [f"... on {one.name} {self.everything(one, depth)}" for one in possible]
        return "{ " + " ".join(parts) + " }"

    def sample(self, part: "GraphQLArgument | GraphQLInputField | Any", path: str, extra: str | None) -> Any:
        kind = part.type if isinstance(part, GraphQLArgument | GraphQLInputField) else part
        if isinstance(kind, GraphQLNonNull):
            kind = kind.of_type
        if isinstance(kind, GraphQLList):
            one = get_named_type(kind)
            return list(one.values) if isinstance(one, GraphQLEnumType) else [self.sample(kind.of_type, path, extra)]
        if isinstance(kind, GraphQLEnumType):
            return next(iter(kind.values))
        if isinstance(kind, GraphQLInputObjectType):
            fields = ((name, f"{path}.{name}", field) for name, field in kind.fields.items())
            return {name: self.sample(field, at, extra) for name, at, field in fields if _included(field, at, extra)}
        return self.scalar(kind.name, path)

    def scalar(self, kind: str, path: str) -> Any:
        name = path.rpartition(".")[2]
        if kind in {"ID", "Cursor"} or name in CURSORS:
            return Hole(path, self.kind_at(path, kind))
        assert kind in SCALARS, f"there is no sample for {path}: {kind}"
        return SCALARS[kind](name)

    def kind_at(self, path: str, scalar: str) -> str:
        field, *_, name = path.split(".")
        if scalar == "Cursor" or name in CURSORS:
            return "cursor"
        if "calendarEvent" in path:
            return "foreign"
        if name == "createdBy":
            return "user"
        noun = _snake(field if name in {"id", "ids"} else re.sub(r"Ids?$", "", name))
        known = [kind for kind in self.kinds if kind in noun]
        assert known or name in {"id", "ids"}, f"it is not known what {path} is the id of"
        return max(known, key=len, default="note")

    def unvisited(self, operations: Iterable[Operation]) -> set[str]:
        """The fields of the schema's types (`Note.title`) that none of the operations asks for."""
        types = [kind for kind in self.schema.type_map.values() if isinstance(kind, GraphQLObjectType)]
        left = {f"{kind.name}.{name}" for kind in types if not kind.name.startswith("__") for name in kind.fields}
        for text in {operation.text for operation in operations}:
            info = TypeInfo(self.schema)
            seen = _Seen(info)
            visit(parse(text), TypeInfoVisitor(info, seen))
            left -= seen.fields
        return left


class _Seen(Visitor):
    def __init__(self, info: TypeInfo) -> None:
        super().__init__()
        self.info = info
        self.fields: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent = self.info.get_parent_type()
        assert parent is not None
        self.fields.add(f"{parent.name}.{node.name.value}")


def _optional(parts: Mapping[str, GraphQLArgument | GraphQLInputField], deep: int = 4) -> Iterator[str]:
    """The paths of everything optional."""
    for name, part in parts.items():
        kind = get_named_type(part.type)
        inner = _optional(kind.fields, deep - 1) if isinstance(kind, GraphQLInputObjectType) and deep else ()
        if not isinstance(part.type, GraphQLNonNull):
            yield name
        yield from (f"{name}.{path}" for path in inner)


def _included(part: GraphQLArgument | GraphQLInputField, path: str, extra: str | None) -> bool:
    required = is_required_argument(part) if isinstance(part, GraphQLArgument) else is_required_input_field(part)
    if required or extra is None:
        return required
    own = path.partition(".")[2]
    return extra == own or extra.startswith(f"{own}.")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
