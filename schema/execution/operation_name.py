"""Which operation of a document is meant (GraphQL, section 6.1: GetOperation)."""

from collections.abc import Iterator

from graphql import GraphQLError, OperationDefinitionNode
from strawberry.extensions import SchemaExtension


class Naming(SchemaExtension):
    """Refuses to choose between several operations; Strawberry would run the first of them."""

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        parts = context.graphql_document.definitions if context.graphql_document else ()
        several = sum(isinstance(part, OperationDefinitionNode) for part in parts) > 1
        if several and context._provided_operation_name is None:
            # Errors that are there already spare the validation.
            text = "Must provide operation name if query contains multiple operations."
            context.pre_execution_errors = [GraphQLError(text)]
        yield
