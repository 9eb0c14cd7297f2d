"""What an operation costs in points, which its text and its variables tell before anything is read.

GitHub's idea (docs.github.com, "Rate limits and query limits for the GraphQL API"): an operation is charged for the
most that it may fetch, on the same account as plain requests.

    cost = root fields + floor(nodes / 100), at least 1

Root fields count as written, aliases too; `__schema` and `__type` are one together, `__typename` is none. Nodes are
the sum over all fields that take `first` or `last` (connections and `search`) or `ids`, each of what it asks for times
what the fields around it ask for. What @skip and @include leave out is counted: it is there to be asked for.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    Undefined,
    get_named_type,
    get_operation_ast,
    value_from_ast_untyped,
)
from strawberry.extensions import SchemaExtension

from resolvers.core.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from resolvers.core.rate_limit import REQUEST_COST_POINTS, spend
from schema.types.base import Request

NODES_A_POINT = 100
"""Nodes that an operation may ask for until it costs a point more."""


class Paying(SchemaExtension):
    """Charges for each operation that is valid, before it runs; the events of a subscription cost nothing.

    A request by HTTP has paid at the door, and pays here what it weighs beyond that; a socket pays here for each of its
    operations. Whoever sent no credential has no account: what is open to everybody is free.
    """

    async def on_validate(self) -> AsyncIterator[None]:
        yield
        context = self.execution_context
        request: Request = context.context
        if context.pre_execution_errors or context.graphql_document is None or request.ctx.caller is None:
            return
        points = cost(context.schema._schema, context.graphql_document, context.operation_name, context.variables)
        paid = REQUEST_COST_POINTS if request.connection_params is None else 0
        if points > paid:
            await spend(request.ctx, points, paid)


@dataclass(slots=True)
class Weight:
    """Of an operation or a fragment. `nodes` is for one object that it is asked of."""

    roots: int = 0
    introspects: bool = False
    nodes: int = 0

    @property
    def points(self) -> int:
        return max(1, self.roots + self.introspects + self.nodes // NODES_A_POINT)


def cost(schema: GraphQLSchema, document: DocumentNode, name: str | None = None, variables: object = None) -> int:
    """The points of a valid operation. `variables` as they were sent: what is wrong with them is told when it runs."""
    operation = get_operation_ast(document, name)
    if operation is None:
        raise ValueError("the document has no such operation")
    given = {
        definition.variable.name.value: value_from_ast_untyped(definition.default_value)
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None
    }
    given |= variables if isinstance(variables, dict) else {}
    root = schema.get_root_type(operation.operation)
    return Scales(schema, document, given).weigh(operation.selection_set, root).points


class Scales:
    """Weighs each fragment of a document once, so that the work is linear in the document, not in what it expands to.

    Fragments within fragments are followed by recursion: a valid document has no cycles, and one of at most
    `DocumentLimits.max_tokens` no chain that is longer than the interpreter's stack.
    """

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any]) -> None:
        self.schema = schema
        self.variables = variables
        self.known: dict[str, Weight] = {}
        self.fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }

    def fragment(self, name: str) -> Weight:
        if name not in self.known:
            definition = self.fragments[name]
            parent = self.schema.get_type(definition.type_condition.name.value)
            self.known[name] = self.weigh(definition.selection_set, parent)
        return self.known[name]

    def weigh(self, selection_set: SelectionSetNode, parent: Any) -> Weight:
        weight = Weight()
        # Each with the type it is asked of, how many objects of that there may be, and whether it is at the top.
        stack: list[tuple[SelectionSetNode, Any, int, bool]] = [(selection_set, parent, 1, True)]
        while stack:
            selections, kind, times, top = stack.pop()
            for node in selections.selections:
                if isinstance(node, FieldNode):
                    inner = self.add(weight, node, kind, times, top)
                    if inner is not None and node.selection_set:
                        stack.append((node.selection_set, *inner, False))
                elif isinstance(node, InlineFragmentNode):
                    narrowed = node.type_condition and self.schema.get_type(node.type_condition.name.value)
                    stack.append((node.selection_set, narrowed or kind, times, top))
                elif isinstance(node, FragmentSpreadNode):
                    part = self.fragment(node.name.value)
                    weight.roots += part.roots if top else 0
                    weight.introspects |= part.introspects
                    weight.nodes += times * part.nodes
        return weight

    def add(self, weight: Weight, node: FieldNode, kind: Any, times: int, top: bool) -> tuple[Any, int] | None:
        """Counts a field; returns the type it gives and how many objects of it, None where there are none to count."""
        name = node.name.value
        if name.startswith("__"):
            weight.introspects |= name != "__typename"
            return None
        weight.roots += top
        definition = self.schema.get_field(kind, name)
        if definition is None:
            raise ValueError("the document is not valid")
        size = self.size(node, definition)
        if size is not None:
            times *= size
            weight.nodes += times
        return get_named_type(definition.type), times

    def size(self, node: FieldNode, definition: GraphQLField) -> int | None:
        """How many objects a field asks for; None for a field that can't be asked for a number."""
        taken = definition.args.keys() & {"first", "last", "ids"}
        if not taken:
            return None
        given = {
            argument.name.value: value_from_ast_untyped(argument.value, self.variables)
            for argument in node.arguments or ()
        }
        if "ids" in taken:
            return len(given["ids"]) if isinstance(given.get("ids"), list) else 1
        numbers = [number for name in taken if isinstance(number := given.get(name), int | float)]
        # A number out of bounds is for the field to refuse, in words that name it.
        return int(min(max(*numbers, 1), MAX_PAGE_SIZE)) if numbers else usual(definition)


def usual(definition: GraphQLField) -> int:
    default = definition.args["first"].default_value if "first" in definition.args else None
    return default if default is not None and default is not Undefined else DEFAULT_PAGE_SIZE
