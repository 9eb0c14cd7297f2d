"""The one place where GraphQL errors get the contract's shape, and where what is not for callers' eyes is hidden."""

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
from schema.execution.error_codes import HTTP_STATUSES, ProtocolErrorCode

_log = structlog.get_logger()
_Result = TypeVar("_Result")
# Strawberry's own words for a request without an operation to run.
_NO_OPERATION = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)


class MaskedSchema(strawberry.Schema):
    """A schema whose every result, on every transport, carries errors as `render` makes them.

    It wraps the two public ways in. Extensions see the errors as they were raised; a hook of theirs that raises ends
    its operation with an error, where Strawberry would end a socket's operation with a bare `complete`.
    """

    async def execute(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        """Run a query or mutation."""
        try:
            return _masked(await super().execute(*args, **kwargs))
        except _NO_OPERATION as error:
            return _failed(error)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        return _masked_stream(await super().stream(*args, **kwargs))

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Strawberry logs every error here, callers' mistakes too; `render` logs ours."""


def render(error: GraphQLError) -> GraphQLError:
    """`error` with `extensions {code, status, field?, retryAfter?, requestId}`.

    A Problem is shown as it is, the caller's mistakes as graphql-core words them, under BAD_USER_INPUT.
    Anything else is logged and hidden. Render once: what comes out is no longer known for what it was.
    """
    cause, request_id = _cause(error), structlog.contextvars.get_contextvars().get("request_id")
    if isinstance(cause, Problem):
        problem = cause
    elif isinstance(cause, InvalidOperationTypeError):
        problem = _misplaced(cause.operation_type)
    elif _is_callers(error, cause):
        problem = Problem(ErrorCode.BAD_USER_INPUT, _wording(error, cause))
    else:
        problem = Problem(ErrorCode.INTERNAL_SERVER_ERROR, f"Internal server error. Quote request id {request_id}.")
        _log.error("graphql_error", exc_info=cause or error, path=error.path, request_id=request_id)
    extensions = {
        "code": problem.code.value,
        "status": HTTP_STATUSES[problem.code],
        **({"field": problem.field} if problem.field is not None else {}),
        **({"retryAfter": problem.retry_after} if problem.retry_after is not None else {}),
        "requestId": request_id,
    }
    return GraphQLError(problem.message, error.nodes, error.source, error.positions, error.path, extensions=extensions)


def _cause(error: GraphQLError) -> Exception | None:
    """The error below all that graphql-core wrapped around it; None when graphql-core made it."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _misplaced(kind: OperationType) -> Problem:
    """The refusal of an operation of a type that the transport does not carry."""
    if kind is not OperationType.SUBSCRIPTION:
        return Problem(ProtocolErrorCode.METHOD_NOT_ALLOWED, f"A {kind.value} is sent by POST.")
    return Problem(
        ProtocolErrorCode.NOT_ACCEPTABLE,
        "A subscription is a stream: send it over a WebSocket (graphql-transport-ws), or accept text/event-stream or "
        'multipart/mixed;subscriptionSpec="1.0".',
    )


def _is_callers(error: GraphQLError, cause: Exception | None) -> bool:
    """Whether the request is to blame. Without a path it never reached a field: syntax, validation, variables.

    With one, it is an argument that turned out wrong when its variables were filled in: such an error points to a
    value, while those of resolvers and of results point to a field.
    """
    if error.path is None:
        return cause is None or isinstance(cause, _NO_OPERATION) or bool(error.nodes)
    return isinstance(next(iter(error.nodes or ()), None), ValueNode)


def _wording(error: GraphQLError, cause: Exception | None) -> str:
    if isinstance(cause, CannotGetOperationTypeError):
        return cause.as_http_error_reason()
    # A scalar's Python exception is quoted within graphql-core's sentence, which does without.
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
    except Exception as error:  # noqa: BLE001 (the last chance to answer: the socket's handler would only log it)
        yield _failed(error)
