"""Validation that costs little, whoever asks: the first errors are told, and hints to those who may have them."""

from collections.abc import Iterator

from graphql import GraphQLError, validate
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule
from strawberry.types import ExecutionContext

from schema.types.base import Request

MAX_ERRORS = 10
"""Errors of a document that are told. Each takes time, and who writes one mends them one after the other."""
MAX_HINTED = 2_000
"""Characters of a document whose mistake gets a hint, for which it is validated once more."""


class Validation(SchemaExtension):
    """Validates as Strawberry does, which can't be told how many errors and hints ("Did you mean …") to give.

    It must come after the extensions that add rules, or errors that spare the validation.
    """

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if context.graphql_document is not None and context.pre_execution_errors is None:
            errors = _validated(context, MAX_ERRORS, hints=False)
            # The nearest names to one take a millisecond: they are looked for where a single one is wrong.
            if len(errors) == 1 and _may_have_hints(context):
                errors = _validated(context, 1, hints=True)
            context.pre_execution_errors = errors
        yield


def _validated(context: ExecutionContext, max_errors: int, *, hints: bool) -> list[GraphQLError]:
    assert context.graphql_document is not None
    rules = (*context.validation_rules, MaybeNullValidationRule, OneOfInputValidationRule)
    return validate(context.schema._schema, context.graphql_document, rules, max_errors, hide_suggestions=not hints)


def _may_have_hints(context: ExecutionContext) -> bool:
    """Hints tell a schema, guess by guess: they are for those who may ask for it, and have said who they are."""
    request: Request = context.context
    known = request.ctx.caller is not None and request.options.introspection
    return known and context.query is not None and len(context.query) <= MAX_HINTED
