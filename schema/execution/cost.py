"""The cost of an operation in points, known from its text and its variables before anything is read.

The rule is GitHub's (docs.github.com, "Rate limits and query limits for the GraphQL API"): an operation is charged for
the most that it may fetch, from the same allowance as REST requests.

    cost = root fields + floor(nodes / 100), at least 1

Root fields count as written, aliases too; `__schema` and `__type` count as one together, `__typename` as none. Nodes
are the sum over all fields that take `first` or `last` (connections and `search`) or `ids`, each with the number that
it requests times the numbers of the fields around it. Fields that @skip or @include leave out are counted as well.
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
    SelectionNode,
    SelectionSetNode,
    Undefined,
    get_named_type,
    get_operation_ast,
    value_from_ast_untyped,
)
from strawberry.extensions import SchemaExtension

from resolvers.core.allowance import REQUEST_COST_POINTS
from resolvers.core.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from resolvers.core.rate_limit import spend
from schema.execution.request import Request
from schema.execution.selection import walk

NODES_PER_POINT = 100
_SIZE_ARGUMENTS = {"first", "last", "ids"}


class Charging(SchemaExtension):
    """Charges the caller for each valid operation before it runs; the events of a subscription cost nothing.

    An HTTP request was charged when it was authenticated, and is charged here for the points beyond that. A socket is
    charged here for each of its operations. Anonymous callers have no allowance: public fields are free.
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
    """Of an operation or a fragment. `nodes` is per object that the selections are applied to."""

    root_fields: int = 0
    introspects: bool = False
    nodes: int = 0

    @property
    def points(self) -> int:
        return max(1, self.root_fields + self.introspects + self.nodes // NODES_PER_POINT)


def cost(schema: GraphQLSchema, document: DocumentNode, name: str | None = None, variables: object = None) -> int:
    """The points of a valid operation.

    `variables` are the values as they were sent: a wrong one counts as absent here, and is reported at execution.
    """
    operation = get_operation_ast(document, name)
    if operation is None:
        raise ValueError("the document has no such operation")
    values = {
        definition.variable.name.value: value_from_ast_untyped(definition.default_value)
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None
    }
    values |= variables if isinstance(variables, dict) else {}
    root = schema.get_root_type(operation.operation)
    return Scales(schema, document, values).weigh(operation.selection_set, root).points


# Where a selection stands: the weight that it adds to, the type that it is applied to, how many such objects there may
# be, and whether that is the root. A bare tuple, because one is made for every field of every operation.
Scope = tuple[Weight, Any, int, bool]


class Scales:
    """Weighs each fragment of a document once, so the work is linear in the document, not in what it expands to.

    Fragments within fragments are weighed by recursion: a valid document has no cycles, and with `MAX_TOKENS` tokens
    no chain of fragments is longer than the interpreter's stack.
    """

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any]) -> None:
        self.schema = schema
        self.variables = variables
        self._weights: dict[str, Weight] = {}
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }

    def weigh(self, selection_set: SelectionSetNode, parent: Any) -> Weight:
        weight = Weight()
        walk(selection_set, (weight, parent, 1, True), self._visit)
        return weight

    def _visit(self, node: SelectionNode, scope: Scope) -> Scope | None:
        if isinstance(node, FieldNode):
            return self._add_field(node, scope)
        if isinstance(node, FragmentSpreadNode):
            self._add_fragment(node, scope)
            return None
        if isinstance(node, InlineFragmentNode) and node.type_condition:
            weight, _, times, is_root = scope
            return weight, self.schema.get_type(node.type_condition.name.value), times, is_root
        return scope

    def _add_fragment(self, node: FragmentSpreadNode, scope: Scope) -> None:
        name, (weight, _, times, is_root) = node.name.value, scope
        fragment = self._weights.get(name)
        if fragment is None:
            definition = self._fragments[name]
            parent = self.schema.get_type(definition.type_condition.name.value)
            fragment = self._weights[name] = self.weigh(definition.selection_set, parent)
        weight.root_fields += fragment.root_fields if is_root else 0
        weight.introspects |= fragment.introspects
        weight.nodes += times * fragment.nodes

    def _add_field(self, node: FieldNode, scope: Scope) -> Scope | None:
        """Counts a field. Returns the scope of its selections, or None where nothing below it counts."""
        name, (weight, parent, times, is_root) = node.name.value, scope
        if name.startswith("__"):
            weight.introspects |= name != "__typename"
            return None
        weight.root_fields += is_root
        definition = self.schema.get_field(parent, name)
        if definition is None:
            raise ValueError("the document is not valid")
        size = self._size(node, definition)
        if size is not None:
            times *= size
            weight.nodes += times
        return weight, get_named_type(definition.type), times, False

    def _size(self, node: FieldNode, definition: GraphQLField) -> int | None:
        """How many objects a field requests; None for a field without a size."""
        names = definition.args.keys() & _SIZE_ARGUMENTS
        if not names:
            return None
        values = {
            argument.name.value: value_from_ast_untyped(argument.value, self.variables)
            for argument in node.arguments or ()
        }
        if "ids" in names:
            return len(values["ids"]) if isinstance(values.get("ids"), list) else 1
        numbers = [number for name in names if isinstance(number := values.get(name), int | float)]
        # The field itself refuses a number that is out of bounds, with an error that names the argument.
        return int(min(max(*numbers, 1), MAX_PAGE_SIZE)) if numbers else _default_size(definition)


def _default_size(definition: GraphQLField) -> int:
    default = definition.args["first"].default_value if "first" in definition.args else None
    return default if default is not None and default is not Undefined else DEFAULT_PAGE_SIZE
