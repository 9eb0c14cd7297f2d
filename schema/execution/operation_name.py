"""Which operation of a document is executed (GraphQL, section 6.1: GetOperation)."""

from collections.abc import Iterator

from graphql import GraphQLError, OperationDefinitionNode
from strawberry.extensions import SchemaExtension


class RequireOperationName(SchemaExtension):
    """Refuses a document with several operations and no operation name; Strawberry would execute the first of them."""

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        definitions = context.graphql_document.definitions if context.graphql_document else ()
        has_several = sum(isinstance(definition, OperationDefinitionNode) for definition in definitions) > 1
        if has_several and context._provided_operation_name is None:
            # If there are errors already, Strawberry skips the validation.
            text = "Must provide operation name if query contains multiple operations."
            context.pre_execution_errors = [GraphQLError(text)]
        yield
