"""The one place where GraphQL errors get the contract's shape, and where internal errors are hidden from callers."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeVar

import strawberry
import structlog
from graphql import GraphQLError, ValueNode
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.failures import report_failure
from schema.execution.error_codes import HTTP_STATUSES, ProtocolErrorCode

_Result = TypeVar("_Result")
# What Strawberry raises for a request that has no operation to execute.
_NO_OPERATION = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)


class MaskedSchema(strawberry.Schema):
    """A schema whose results, on every transport, have errors as `render` makes them.

    It wraps the schema's two entry points. Extensions see the errors as they were raised. If a hook of an extension
    raises, its operation ends with an error, where Strawberry would end a socket's operation with a bare `complete`.
    """

    async def execute(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        """Executes a query or mutation."""
        try:
            return _masked(await super().execute(*args, **kwargs))
        except _NO_OPERATION as error:
            return _failed(error)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        return _masked_stream(await super().stream(*args, **kwargs))

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Does nothing: Strawberry logs every error here, even callers' mistakes, and `render` logs internal ones."""


def render(error: GraphQLError) -> GraphQLError:
    """Returns the error with `extensions {code, status, field?, retryAfter?, requestId}`.

    A Problem keeps its message. A caller's mistake keeps the message of graphql-core, with the code BAD_USER_INPUT. Any
    other error is logged and replaced. Render an error only once: the result no longer has its cause.
    """
    cause, request_id = _cause(error), structlog.contextvars.get_contextvars().get("request_id")
    if isinstance(cause, Problem):
        problem = cause
    elif isinstance(cause, InvalidOperationTypeError):
        problem = _unsupported_type(cause.operation_type)
    elif _is_callers_mistake(error, cause):
        problem = Problem(ErrorCode.BAD_USER_INPUT, _message(error, cause))
    else:
        problem = Problem(ErrorCode.INTERNAL_SERVER_ERROR, f"Internal server error. Quote request id {request_id}.")
        report_failure("graphql_error", cause or error, path=error.path, request_id=request_id)
    extensions = {
        "code": problem.code.value,
        "status": HTTP_STATUSES[problem.code],
        **({"field": problem.field} if problem.field is not None else {}),
        **({"retryAfter": problem.retry_after} if problem.retry_after is not None else {}),
        "requestId": request_id,
    }
    return GraphQLError(problem.message, error.nodes, error.source, error.positions, error.path, extensions=extensions)


def _cause(error: GraphQLError) -> Exception | None:
    """The error that graphql-core wrapped; None if the error is graphql-core's own."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _unsupported_type(kind: OperationType) -> Problem:
    """The refusal of an operation whose type the transport does not support."""
    if kind is not OperationType.SUBSCRIPTION:
        return Problem(ProtocolErrorCode.METHOD_NOT_ALLOWED, f"Send a {kind.value} as a POST request.")
    return Problem(
        ProtocolErrorCode.NOT_ACCEPTABLE,
        "A subscription is a stream: send it over a WebSocket (graphql-transport-ws), or accept text/event-stream or "
        'multipart/mixed;subscriptionSpec="1.0".',
    )


def _is_callers_mistake(error: GraphQLError, cause: Exception | None) -> bool:
    """Whether the request is to blame.

    An error without a path never reached a field: it is about syntax, validation or variables. An error with a path is
    the caller's if an argument was wrong once its variables were filled in: it then points to a value, while errors of
    resolvers and results point to a field.
    """
    if error.path is None:
        return cause is None or isinstance(cause, _NO_OPERATION) or bool(error.nodes)
    return isinstance(next(iter(error.nodes or ()), None), ValueNode)


def _message(error: GraphQLError, cause: Exception | None) -> str:
    if isinstance(cause, CannotGetOperationTypeError):
        return cause.as_http_error_reason()
    # graphql-core quotes a scalar's Python exception within its own sentence, which reads well without it.
    return error.message.replace(f", but encountered error '{cause}'; found", ", found") if cause else error.message


def _masked(result: _Result) -> _Result:
    if isinstance(result, ExecutionResult) and result.errors:
        result.errors = [render(error) for error in result.errors]
    return result


def _failed(error: Exception) -> PreExecutionError:
    located = error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
    return PreExecutionError(data=None, errors=[render(located)])


async def _masked_stream(results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    try:
        async with aclosing(results):
            async for result in results:
                yield _masked(result)
    except Exception as error:  # noqa: BLE001 (the client gets an error, and `render` reports what it hides)
        yield _failed(error)
