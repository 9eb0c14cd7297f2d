"""Validation at a bounded cost: it stops after the first errors, and only authenticated callers get suggestions."""

from collections.abc import Iterator

from graphql import GraphQLError, validate
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule
from strawberry.types import ExecutionContext

from models.limits import limit
from schema.execution.request import Request

MAX_VALIDATION_ERRORS = limit(
    10, "Validation errors of a document that are reported", area="GraphQL documents", beyond="validation stops"
)
MAX_SUGGESTION_CHARACTERS = limit(
    2_000,
    "Text of a document whose single mistake gets a suggestion (`Did you mean …`)",
    area="GraphQL documents",
    beyond="the error comes without a suggestion",
    unit="characters",
)


class Validation(SchemaExtension):
    """Validates as Strawberry does, but with a limit on errors and with suggestions ("Did you mean …") only for some.

    List it after the extensions that add rules, or add errors that make validation unnecessary.
    """

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if context.graphql_document is not None and context.pre_execution_errors is None:
            errors = _validate(context, MAX_VALIDATION_ERRORS, with_suggestions=False)
            # Computing the nearest names takes a millisecond per error, so it is done for a single error only.
            if len(errors) == 1 and _may_get_suggestions(context):
                errors = _validate(context, 1, with_suggestions=True)
            context.pre_execution_errors = errors
        yield


def _validate(context: ExecutionContext, max_errors: int, *, with_suggestions: bool) -> list[GraphQLError]:
    assert context.graphql_document is not None
    rules = (*context.validation_rules, MaybeNullValidationRule, OneOfInputValidationRule)
    document = context.graphql_document
    return validate(context.schema._schema, document, rules, max_errors, hide_suggestions=not with_suggestions)


def _may_get_suggestions(context: ExecutionContext) -> bool:
    """Suggestions reveal the schema, guess by guess: they are for authenticated callers who may introspect it."""
    request: Request = context.context
    may_introspect = request.ctx.caller is not None and request.options.introspection
    return may_introspect and context.query is not None and len(context.query) <= MAX_SUGGESTION_CHARACTERS
