"""What an operation may weigh: its text before it is parsed, its document before it is validated."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    Lexer,
    OperationDefinitionNode,
    SelectionSetNode,
    Source,
    Token,
    TokenKind,
    get_nullable_type,
    get_operation_ast,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    type_from_ast,
)
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError
from strawberry.extensions import SchemaExtension

from resolvers.core.errors import ErrorCode, Problem, bad_input

# graphql-core compares every two fields of one response name, up to 500,000 units of work (1.3 s at 2,000 tokens).
# A list of 24 fragments on one object, each repeating nested fields, takes about 10,000.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 10_000

_CONTAINERS = (list, dict)
_NESTING = {TokenKind.BRACE_L: 1, TokenKind.BRACKET_L: 1, TokenKind.BRACE_R: -1, TokenKind.BRACKET_R: -1}
_PARENS = {TokenKind.PAREN_L: 1, TokenKind.PAREN_R: -1}


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """The most a document may hold; one more is QUERY_TOO_COMPLEX.

    `max_length` is in characters, `max_tokens` counts comments too. `max_depth` is of fields within fields, with
    fragments followed; 15 is exactly what the standard introspection query needs (graphql-core, GraphiQL and Apollo
    ask for up to nine levels of `ofType`: 191 tokens, 1,711 characters, 242 selections with every option on).
    Braces and brackets, which inline fragments and literals open as well, may nest twice as deep.
    `max_aliases` counts as written, `max_selections` per operation and with every fragment spread written out.
    `max_repeats` is of one response name within the same braces, with fragments followed.
    `max_values` and `max_objects` are of the lists in the variables, deep: a note may have 10,000 segments, with 500
    participants and 500 attendees; the lists of ids are short. A JSON value counts as one.
    """

    max_length: int = 20_000
    max_tokens: int = 1_000
    max_depth: int = 15
    max_aliases: int = 50
    max_selections: int = 1_000
    max_repeats: int = 50
    max_values: int = 2_000
    max_objects: int = 12_000


LIMITS = DocumentLimits()
STRANGERS = DocumentLimits(max_tokens=300, max_values=100, max_objects=100)
"""For whoever sent no credential: what is open to them takes no lists. Introspection has 191 tokens."""


def check_source(text: str, limits: DocumentLimits = LIMITS) -> int:
    """The number of tokens in `text`, which is read no further than the limits; its syntax is the parser's to judge."""
    _hold("characters", len(text), limits.max_length)
    count = nesting = parens = aliases = 0
    for count, token in enumerate(_tokens(text), 1):
        parens += _PARENS.get(token.kind, 0)
        nesting += _NESTING.get(token.kind, 0)
        # Outside of parentheses a selection set has no other use for a colon.
        aliases += token.kind is TokenKind.COLON and nesting > 0 and parens <= 0
        _hold("tokens", count, limits.max_tokens)
        _hold("levels of braces", nesting, 2 * limits.max_depth)
        _hold("aliases", aliases, limits.max_aliases)
    return count


def check_document(document: DocumentNode, limits: DocumentLimits = LIMITS) -> None:
    """Weigh every operation with its fragments followed: linear in the document, whatever it would expand to."""
    fragments = {
        definition.name.value: _weigh(definition.selection_set)
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    totals = _expand(fragments)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            selections, depth = _weigh(definition.selection_set).total(totals)
            _hold("levels of fields", depth, limits.max_depth)
            _hold("selections", selections, limits.max_selections)
    _check_repeats(document, limits)


def _check_repeats(document: DocumentNode, limits: DocumentLimits) -> None:
    """Validation compares every two fields of one response name: it is spared where there are too many."""
    sets = {
        definition: list(_side_by_side(definition.selection_set))
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode)
    }
    tops = {node.name.value: found[0] for node, found in sets.items() if isinstance(node, FragmentDefinitionNode)}
    for names, spreads in chain.from_iterable(sets.values()):
        total, seen, left = names.copy(), set[str](), list(spreads)
        while left:
            name = left.pop()
            if name in tops and name not in seen:
                seen.add(name)
                total.update(tops[name][0])
                left += tops[name][1]
        _hold("fields of one name side by side", max(total.values(), default=0), limits.max_repeats)


def _side_by_side(root: SelectionSetNode) -> Iterator[tuple[Counter[str], list[str]]]:
    """For each selection set, with the inline fragments in it: its response names, and the fragments it spreads."""
    stack = [root]
    while stack:
        names, spreads, parts = Counter[str](), list[str](), [stack.pop()]
        while parts:
            for node in parts.pop().selections:
                if isinstance(node, FragmentSpreadNode):
                    spreads.append(node.name.value)
                elif isinstance(node, InlineFragmentNode):
                    parts.append(node.selection_set)
                elif isinstance(node, FieldNode):
                    names[(node.alias or node.name).value] += 1
                    if node.selection_set:
                        stack.append(node.selection_set)
        yield names, spreads


def check_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, given: object, limits: DocumentLimits = LIMITS
) -> None:
    """Count what is in the lists of an operation's variables, where coercion would look at each."""
    values = objects = 0
    stack: list[tuple[Any, Any]] = [
        (type_from_ast(schema, definition.type), given.get(definition.variable.name.value))
        for definition in operation.variable_definitions or ()
        if isinstance(given, dict)
    ]
    while stack:
        kind, value = stack.pop()
        kind = get_nullable_type(kind)
        if is_list_type(kind) and isinstance(value, list):
            if is_leaf_type(get_nullable_type(kind.of_type)):
                values += len(value)
            else:
                objects += len(value)
            _hold("values in lists of its variables", values, limits.max_values)
            _hold("objects in lists of its variables", objects, limits.max_objects)
            stack += [(kind.of_type, item) for item in value if isinstance(item, _CONTAINERS)]
        elif is_input_object_type(kind) and isinstance(value, dict):
            fields = kind.fields
            stack += [
                (fields[name].type, item)
                for name, item in value.items()
                if isinstance(item, _CONTAINERS) and name in fields
            ]


class Documents:
    """The documents that passed limits and validation, by their text, with the least used dropped first.

    Make one per schema. `max_tokens` bounds the memory of all of them together: a parsed token takes about 0.5 KB.
    What was refused is not kept, so that nobody can fill the memory with it. `is_known`, of an operation's context,
    tells whether the caller is; others have the limits of STRANGERS.
    """

    def __init__(
        self,
        limits: DocumentLimits = LIMITS,
        max_tokens: int = 50_000,
        is_known: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        self.limits = limits
        self.max_tokens = max_tokens
        self.is_known = is_known
        self._kept: dict[str, tuple[DocumentNode, int]] = {}
        self._tokens = 0

    def get(self, text: str) -> DocumentNode | None:
        kept = self._kept.pop(text, None)
        if kept is None:
            return None
        self._kept[text] = kept
        return kept[0]

    def keep(self, text: str, document: DocumentNode, tokens: int) -> None:
        self._tokens += tokens - self._kept.pop(text, (document, 0))[1]
        self._kept[text] = document, tokens
        while self._tokens > self.max_tokens:
            self._tokens -= self._kept.pop(next(iter(self._kept)))[1]

    def extension(self) -> SchemaExtension:
        """What `strawberry.Schema(extensions=[documents.extension])` calls for each operation."""
        return _Gate(self)


class _Gate(SchemaExtension):
    """Refuses before parsing and before validation, and spares both for a document that is known.

    What it raises ends the operation alone: over HTTP in `Schema.execute`, over a socket in `MaskedSchema.stream`.
    It must come before extensions with hooks of the same name, which would otherwise be entered and never left.
    """

    def __init__(self, documents: Documents) -> None:
        super().__init__()
        self.documents = documents
        self.known = False
        self.tokens = 0
        self.limits = documents.limits

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        self.limits = self.documents.limits if self.documents.is_known(context.context) else STRANGERS
        if context.graphql_document is None:
            # A socket's message reaches this place unchecked, whatever the annotation says.
            if not isinstance(context.query, str):
                raise _refusal(bad_input("query", "The query must be a string."))
            context.graphql_document = self.documents.get(context.query)
            self.known = context.graphql_document is not None
            if not self.known:
                self.tokens = check_source(context.query, self.limits)
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if self.known:
            context.pre_execution_errors = []
        elif context.graphql_document is not None:
            check_document(context.graphql_document, self.limits)
        self.check_variables()
        yield
        errors = context.pre_execution_errors
        if errors and isinstance(errors[-1], ValidationAbortedError) and errors[-1].message == "Validation aborted.":
            raise _refusal(Problem(ErrorCode.QUERY_TOO_COMPLEX, "Too many fields of the same name to compare."))
        if not (self.known or errors) and self.tokens and context.query and context.graphql_document:
            self.documents.keep(context.query, context.graphql_document, self.tokens)

    def check_variables(self) -> None:
        context = self.execution_context
        document = context.graphql_document
        operation = get_operation_ast(document, context._provided_operation_name) if document else None
        if operation is not None:
            check_variables(context.schema._schema, operation, context.variables, self.limits)


@dataclass(slots=True)
class _Weight:
    """A definition by itself: `spreads` are the fragments it names, each with the level it hangs at."""

    selections: int = 0
    depth: int = 0
    spreads: list[tuple[str, int]] = field(default_factory=list)

    def total(self, fragments: dict[str, tuple[int, int]]) -> tuple[int, int]:
        selections, depth = self.selections, self.depth
        for name, level in self.spreads:
            more, deeper = fragments.get(name, (0, 0))
            selections += more
            depth = max(depth, level + deeper)
        return selections, depth


def _weigh(root: SelectionSetNode) -> _Weight:
    weight = _Weight()
    stack: list[tuple[SelectionSetNode, int]] = [(root, 0)]
    while stack:
        selection_set, level = stack.pop()
        weight.selections += len(selection_set.selections)
        for node in selection_set.selections:
            if isinstance(node, FragmentSpreadNode):
                weight.spreads.append((node.name.value, level))
            elif isinstance(node, InlineFragmentNode):
                stack.append((node.selection_set, level))
            elif isinstance(node, FieldNode):
                weight.depth = max(weight.depth, level + 1)
                if node.selection_set:
                    stack.append((node.selection_set, level + 1))
    return weight


def _expand(fragments: dict[str, _Weight]) -> dict[str, tuple[int, int]]:
    """Selections and depth of each fragment with its own spreads followed.

    A spread that closes a cycle weighs nothing: validation refuses the document.
    """
    totals: dict[str, tuple[int, int]] = {}
    for root, weight in fragments.items():
        trail = [] if root in totals else [(root, iter(weight.spreads))]
        while trail:
            name, spreads = trail[-1]
            totals.setdefault(name, (0, 0))
            child = next((spread for spread, _ in spreads if spread in fragments and spread not in totals), None)
            if child is None:
                totals[name] = fragments[name].total(totals)
                trail.pop()
            else:
                trail.append((child, iter(fragments[child].spreads)))
    return totals


def _tokens(text: str) -> Iterator[Token]:
    # Token by token, because `Lexer.advance` reads a run of comments at once, however long.
    lexer, end = Lexer(Source(text)), 0
    with suppress(GraphQLSyntaxError):
        while (token := lexer.read_next_token(end)).kind is not TokenKind.EOF:
            yield token
            end = token.end


def _hold(noun: str, value: int, limit: int) -> None:
    if value > limit:
        shown = f"{value}" if value < 10**9 else "more than a billion"
        raise _refusal(Problem(ErrorCode.QUERY_TOO_COMPLEX, f"The operation has {shown} {noun}, the limit is {limit}."))


def _refusal(problem: Problem) -> GraphQLError:
    extensions = {"code": problem.code.name, "status": problem.code.status}
    return GraphQLError(problem.message, original_error=problem, extensions=extensions)
