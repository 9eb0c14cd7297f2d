"""Documents on their way to execution: checked against the limits, parsed and validated once, then kept in a cache."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache
from graphql import DocumentNode, get_operation_ast
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError
from strawberry.extensions import SchemaExtension

from resolvers.core.errors import ErrorCode, Problem, bad_input
from schema.execution.limits import (
    ANONYMOUS_LIMITS,
    LIMITS,
    DocumentLimits,
    check_document,
    check_source,
    check_variables,
    refusal,
)

# graphql-core compares every two fields of one response name, up to 500,000 units of work (1.3 s at 2,000 tokens).
# A list of 24 fragments on one object, each repeating nested fields, takes about 10,000.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 10_000

CACHED_TOKENS: Final = 50_000
"""Tokens of all cached documents together. A parsed token takes about 0.5 kB."""


@dataclass(frozen=True, slots=True)
class CachedDocument:
    document: DocumentNode
    tokens: int


class Documents:
    """The documents that passed limits and validation, by their text; the least recently used are dropped first.

    Make one per schema. A refused document is not cached, so that callers can't fill the memory with invalid ones.
    `is_authenticated` is given an operation's context; where it returns False, ANONYMOUS_LIMITS apply.
    """

    def __init__(
        self,
        limits: DocumentLimits = LIMITS,
        max_tokens: int = CACHED_TOKENS,
        is_authenticated: Callable[[Any], bool] = lambda _: True,
    ) -> None:
        self.limits = limits
        self.is_authenticated = is_authenticated
        self._cache: LRUCache[str, CachedDocument] = LRUCache(max_tokens, getsizeof=lambda cached: cached.tokens)

    def get(self, text: str) -> DocumentNode | None:
        cached = self._cache.get(text)
        return cached.document if cached else None

    def add(self, text: str, document: DocumentNode, tokens: int) -> None:
        # ValueError: it is larger than the cache.
        with suppress(ValueError):
            self._cache[text] = CachedDocument(document, tokens)

    def extension(self) -> SchemaExtension:
        """For `strawberry.Schema(extensions=[documents.extension])`, which calls it for each operation."""
        return DocumentGate(self)


class DocumentGate(SchemaExtension):
    """Refuses an operation before parsing and before validation, and skips both for a cached document.

    An error that it raises ends the one operation: over HTTP in `MaskedSchema.execute`, over a socket in
    `MaskedSchema.stream`. List it before other extensions with hooks of the same name: Strawberry would enter theirs
    and never leave them.
    """

    def __init__(self, documents: Documents) -> None:
        super().__init__()
        self.documents = documents
        self.is_cached = False
        self.tokens = 0
        self.limits = documents.limits

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        self.limits = self.documents.limits if self.documents.is_authenticated(context.context) else ANONYMOUS_LIMITS
        if context.graphql_document is None:
            # Whatever the annotation says, a socket's message gets here with any value as its query.
            if not isinstance(context.query, str):
                raise refusal(bad_input("query", "The query must be a string."))
            context.graphql_document = self.documents.get(context.query)
            self.is_cached = context.graphql_document is not None
            if not self.is_cached:
                self.tokens = check_source(context.query, self.limits)
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if self.is_cached:
            context.pre_execution_errors = []
        elif context.graphql_document is not None:
            check_document(context.graphql_document, self.limits)
        self._check_variables()
        yield
        errors = context.pre_execution_errors
        if errors and isinstance(errors[-1], ValidationAbortedError) and errors[-1].message == "Validation aborted.":
            raise refusal(Problem(ErrorCode.QUERY_TOO_COMPLEX, "Too many fields of the same name to compare."))
        if not (self.is_cached or errors) and self.tokens and context.query and context.graphql_document:
            self.documents.add(context.query, context.graphql_document, self.tokens)

    def _check_variables(self) -> None:
        context = self.execution_context
        document = context.graphql_document
        operation = get_operation_ast(document, context._provided_operation_name) if document else None
        if operation is not None:
            check_variables(context.schema._schema, operation, context.variables, self.limits)
