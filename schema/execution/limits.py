"""How large an operation may be: its text, measured before it is parsed; its document, before it is validated; and its
variables, before they are coerced."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
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
    SelectionNode,
    SelectionSetNode,
    Source,
    Token,
    TokenKind,
    get_nullable_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    type_from_ast,
)

from models.limits import limit
from resolvers.core.errors import ErrorCode, Problem
from schema.execution.error_codes import HTTP_STATUSES
from schema.execution.selection import walk

_AREA = "GraphQL documents"
_BEYOND = "QUERY_TOO_COMPLEX, 400"


def _limit(value: int, subject: str, unit: str = "") -> int:
    return limit(value, subject, area=_AREA, beyond=_BEYOND, unit=unit)


MAX_CHARACTERS = _limit(20_000, "Text of a document", "characters")
MAX_TOKENS = _limit(1_000, "Tokens of a document, comments included")
MAX_DEPTH = _limit(15, "Levels of fields within fields, with fragments followed")
MAX_ALIASES = _limit(50, "Aliases of a document")
MAX_SELECTIONS = _limit(1_000, "Selections of an operation, with each fragment spread counted in full")
MAX_REPEATS = _limit(50, "Fields with the same response name in one selection set, with fragments followed")
MAX_LIST_VALUES = _limit(2_000, "Scalar values in the lists of an operation's variables")
MAX_LIST_OBJECTS = _limit(12_000, "Objects in the lists of an operation's variables")
ANONYMOUS_MAX_TOKENS = _limit(300, "Tokens of a document that is sent without a credential")
ANONYMOUS_MAX_LIST_ITEMS = _limit(100, "Scalar values, and objects, in lists of variables sent without a credential")

_CONTAINERS = (list, dict)
_NESTING = {TokenKind.BRACE_L: 1, TokenKind.BRACKET_L: 1, TokenKind.BRACE_R: -1, TokenKind.BRACKET_R: -1}
_PARENTHESES = {TokenKind.PAREN_L: 1, TokenKind.PAREN_R: -1}


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """The largest operation that is accepted; a larger one is refused with QUERY_TOO_COMPLEX.

    `max_length` is in characters, and `max_tokens` counts comments too. `max_depth` counts fields within fields, with
    fragments followed; 15 is exactly what the standard introspection query needs (graphql-core, GraphiQL and Apollo
    ask for up to nine levels of `ofType`: 191 tokens, 1,711 characters, 242 selections with every option on).
    Braces and brackets, which inline fragments and literals open as well, may nest twice as deep. `max_aliases` counts
    the aliases as written. `max_selections` is per operation, and counts the contents of a fragment once per spread.
    `max_repeats` is the number of fields with one response name in a selection set, with fragments followed.
    `max_values` and `max_objects` bound the items of all lists in the variables, at any depth: a note may have 10,000
    segments, with 500 participants and 500 attendees; lists of ids are short. A JSON value counts as one.
    """

    max_length: int = MAX_CHARACTERS
    max_tokens: int = MAX_TOKENS
    max_depth: int = MAX_DEPTH
    max_aliases: int = MAX_ALIASES
    max_selections: int = MAX_SELECTIONS
    max_repeats: int = MAX_REPEATS
    max_values: int = MAX_LIST_VALUES
    max_objects: int = MAX_LIST_OBJECTS


LIMITS = DocumentLimits()
ANONYMOUS_LIMITS = DocumentLimits(
    max_tokens=ANONYMOUS_MAX_TOKENS, max_values=ANONYMOUS_MAX_LIST_ITEMS, max_objects=ANONYMOUS_MAX_LIST_ITEMS
)
"""For requests without a credential. The fields they may read take no lists, and introspection has 191 tokens."""


def check_source(text: str, limits: DocumentLimits = LIMITS) -> int:
    """Returns the number of tokens in `text`. Raises QUERY_TOO_COMPLEX as soon as a limit is exceeded.

    A syntax error ends the count without an error: the parser reports it.
    """
    _check("characters", len(text), limits.max_length)
    count = nesting = parentheses = aliases = 0
    for count, token in enumerate(_tokens(text), 1):
        parentheses += _PARENTHESES.get(token.kind, 0)
        nesting += _NESTING.get(token.kind, 0)
        # Outside of parentheses a selection set has no other use for a colon.
        aliases += token.kind is TokenKind.COLON and nesting > 0 and parentheses <= 0
        _check("tokens", count, limits.max_tokens)
        _check("levels of braces", nesting, 2 * limits.max_depth)
        _check("aliases", aliases, limits.max_aliases)
    return count


def _tokens(text: str) -> Iterator[Token]:
    # Token by token, because `Lexer.advance` reads a run of comments at once, however long.
    lexer, end = Lexer(Source(text)), 0
    with suppress(GraphQLSyntaxError):
        while (token := lexer.read_next_token(end)).kind is not TokenKind.EOF:
            yield token
            end = token.end


def check_document(document: DocumentNode, limits: DocumentLimits = LIMITS) -> None:
    """Measures every operation with its fragments followed. The work is linear in the document, not in its expansion.

    Raises QUERY_TOO_COMPLEX. A document that is otherwise invalid (cycles, missing fragments) is left to validation.
    """
    operations = [
        Outline(definition.selection_set)
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    fragments = {
        definition.name.value: Outline(definition.selection_set)
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    totals = _totals(fragments)
    for operation in operations:
        selections, depth = operation.total(totals)
        _check("levels of fields", depth, limits.max_depth)
        _check("selections", selections, limits.max_selections)
    _check_repeats([*operations, *fragments.values()], fragments, limits.max_repeats)


def _check_repeats(outlines: "list[Outline]", fragments: "Mapping[str, Outline]", most: int) -> None:
    """Validation compares every two fields of one response name, so it must not be given too many."""
    # No group can get more from the fragments than this, so most documents need no closer look.
    in_fragments = sum(outline.groups[0].repeats for outline in fragments.values())
    for outline in outlines:
        for group in outline.groups:
            repeats = group.repeats
            if group.spreads and repeats + in_fragments > most:
                repeats = _repeats_with_fragments(group, fragments)
            _check("fields with the same response name", repeats, most)


@dataclass(slots=True)
class FieldGroup:
    """A selection set together with the inline fragments in it: its response names with their numbers, its spreads."""

    response_names: dict[str, int] = field(default_factory=dict)
    spreads: list[str] = field(default_factory=list)

    @property
    def repeats(self) -> int:
        return max(self.response_names.values(), default=0)


class Outline:
    """The measures of one operation or fragment by itself, without the fragments that it spreads.

    `spreads` has the name of each fragment that it spreads, with the level of the spread. `groups[0]` is the outermost.
    """

    def __init__(self, selection_set: SelectionSetNode) -> None:
        self.selections = 0
        self.depth = 0
        self.spreads: list[tuple[str, int]] = []
        self.groups = [FieldGroup()]
        walk(selection_set, (0, self.groups[0]), self._visit)

    def _visit(self, node: SelectionNode, state: tuple[int, FieldGroup]) -> tuple[int, FieldGroup] | None:
        level, group = state
        self.selections += 1
        if isinstance(node, FieldNode):
            name = (node.alias or node.name).value
            group.response_names[name] = group.response_names.get(name, 0) + 1
            self.depth = max(self.depth, level + 1)
            if node.selection_set is None:
                return None
            self.groups.append(FieldGroup())
            return level + 1, self.groups[-1]
        if isinstance(node, FragmentSpreadNode):
            self.spreads.append((node.name.value, level))
            group.spreads.append(node.name.value)
        return state if isinstance(node, InlineFragmentNode) else None

    def total(self, fragments: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
        """The selections and the depth with the fragments counted in, of which `fragments` has the totals."""
        selections, depth = self.selections, self.depth
        for name, level in self.spreads:
            more, deeper = fragments.get(name, (0, 0))
            selections += more
            depth = max(depth, level + deeper)
        return selections, depth


def _totals(fragments: Mapping[str, Outline]) -> dict[str, tuple[int, int]]:
    """The selections and the depth of each fragment, with the fragments that it spreads counted in.

    A spread that closes a cycle counts as nothing: validation refuses the document.
    """
    totals: dict[str, tuple[int, int]] = {}
    for root, outline in fragments.items():
        trail: list[tuple[str, Iterable[tuple[str, int]]]] = [] if root in totals else [(root, iter(outline.spreads))]
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


def _repeats_with_fragments(group: FieldGroup, fragments: Mapping[str, Outline]) -> int:
    """How often the most frequent response name occurs in a group, with each fragment counted once."""
    total, seen, pending = Counter(group.response_names), set[str](), list(group.spreads)
    while pending:
        name = pending.pop()
        if name in fragments and name not in seen:
            seen.add(name)
            outermost = fragments[name].groups[0]
            total.update(outermost.response_names)
            pending += outermost.spreads
    return max(total.values(), default=0)


def check_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: object, limits: DocumentLimits = LIMITS
) -> None:
    """Counts the items of the lists in an operation's variables, before coercion looks at each of them."""
    values = objects = 0
    stack: list[tuple[Any, Any]] = [
        (type_from_ast(schema, definition.type), variables.get(definition.variable.name.value))
        for definition in operation.variable_definitions or ()
        if isinstance(variables, dict)
    ]
    while stack:
        kind, value = stack.pop()
        kind = get_nullable_type(kind)
        if is_list_type(kind) and isinstance(value, list):
            if is_leaf_type(get_nullable_type(kind.of_type)):
                values += len(value)
            else:
                objects += len(value)
            _check("values in lists of its variables", values, limits.max_values)
            _check("objects in lists of its variables", objects, limits.max_objects)
            stack += [(kind.of_type, item) for item in value if isinstance(item, _CONTAINERS)]
        elif is_input_object_type(kind) and isinstance(value, dict):
            fields = kind.fields
            stack += [
                (fields[name].type, item)
                for name, item in value.items()
                if isinstance(item, _CONTAINERS) and name in fields
            ]


def _check(noun: str, count: int, most: int) -> None:
    if count > most:
        number = f"{count}" if count < 10**9 else "more than a billion"
        text = f"The operation has {number} {noun}, the limit is {most}."
        raise refusal(Problem(ErrorCode.QUERY_TOO_COMPLEX, text))


def refusal(problem: Problem) -> GraphQLError:
    """The problem as an error that ends the operation before it is executed."""
    extensions = {"code": problem.code.value, "status": HTTP_STATUSES[problem.code]}
    return GraphQLError(problem.message, original_error=problem, extensions=extensions)
