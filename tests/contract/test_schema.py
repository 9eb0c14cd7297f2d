"""The printed schema against the contract's: nothing renamed, nothing of another type or nullability."""

from collections.abc import Iterator
from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
)

from schema import schema

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Facts = dict[str, str]


def facts(described: GraphQLSchema) -> Facts:
    """Every named thing of a schema and its type: `Note.title` -> `String!`, `Query.note(id)` -> `ID!`."""
    return dict(
        fact for kind in described.type_map.values() if not kind.name.startswith("__") for fact in facts_of(kind)
    )


def facts_of(kind: GraphQLNamedType) -> Iterator[tuple[str, str]]:
    yield kind.name, type(kind).__name__
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        yield from ((f"{kind.name} implements {interface.name}", "") for interface in kind.interfaces)
        for name, field in kind.fields.items():
            yield f"{kind.name}.{name}", str(field.type)
            yield from ((f"{kind.name}.{name}({arg})", str(argument.type)) for arg, argument in field.args.items())
    elif isinstance(kind, GraphQLInputObjectType):
        yield from ((f"{kind.name}.{name}", str(field.type)) for name, field in kind.fields.items())
    elif isinstance(kind, GraphQLEnumType):
        yield from ((f"{kind.name}.{name}", "") for name in kind.values)
    elif isinstance(kind, GraphQLUnionType):
        yield from ((f"{kind.name} = {member.name}", "") for member in kind.types)


CONTRACT = facts(build_schema((HERE / "schema.graphql").read_text()))
OURS = facts(build_schema(schema.as_str()))


def test_nothing_has_another_type_than_in_the_contract() -> None:
    wrong = {name: (kind, OURS[name]) for name, kind in CONTRACT.items() if OURS.get(name, kind) != kind}
    assert wrong == {}


def test_nothing_is_missing() -> None:
    assert set(CONTRACT) - set(OURS) == set()


def test_the_committed_schema_is_the_printed_one() -> None:
    assert (ROOT / "schema.graphql").read_text() == schema.as_str() + "\n"
