"""On every transport, errors have the contract's shape, and internal errors are hidden."""

import enum
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, NewType

import pytest
import strawberry
from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from structlog.testing import capture_logs

from resolvers.core.errors import ErrorCode, Problem, bad_input
from schema.execution.documents import Documents
from schema.execution.masking import MaskedSchema, render

SECRET = "SELECT secret FROM notes"
INTERNAL = {
    "message": "Internal server error. Quote request id req-1.",
    "extensions": {"code": "INTERNAL_SERVER_ERROR", "status": 500, "requestId": "req-1"},
}


@strawberry.enum
class Colour(enum.Enum):
    RED = "internal-red"


class _Other(enum.Enum):
    SECRET = SECRET


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(SECRET)
    return value


def _guarded(value: str) -> str:
    raise bad_input("guarded", "Not that.")


Even = NewType("Even", int)
Guarded = NewType("Guarded", str)


def fail(how: str) -> int:
    if how == "problem":
        raise Problem(ErrorCode.RATE_LIMITED, "Slow down.", retry_after=7)
    if how == "graphql":
        raise GraphQLError(SECRET)
    raise RuntimeError(SECRET)


@strawberry.type
class Event:
    @strawberry.field
    def value(self, how: str) -> int:
        return 1 if how == "fine" else fail(how)


@strawberry.type
class Query:
    @strawberry.field
    def ok(self) -> int:
        return 1

    @strawberry.field
    def value(self, how: str) -> int | None:
        return fail(how)

    @strawberry.field
    def colour(self, colour: Colour = Colour.RED) -> Colour:
        return _Other.SECRET  # type: ignore[return-value]

    @strawberry.field
    def missing(self) -> int:
        return None  # type: ignore[return-value]

    @strawberry.field
    def scalars(self, even: Even | None = None, guarded: Guarded | None = None, n: list[int] | None = None) -> int:
        return 1


@strawberry.type
class Mutation:
    @strawberry.mutation
    def value(self, how: str) -> int | None:
        return fail(how)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def events(self, before: str = "", after: str = "") -> AsyncIterator[Event]:
        if before:
            fail(before)
        yield Event()
        if after:
            fail(after)

    @strawberry.subscription
    async def checked(self, how: str) -> AsyncGenerator[Event, None]:
        fail(how)
        return _events()


async def _events() -> AsyncGenerator[Event, None]:
    yield Event()


class Broken(SchemaExtension):
    """Another extension whose hook fails when the operation is named so."""

    def on_execute(self) -> Iterator[None]:
        if self.execution_context.operation_name == "Broken":
            raise RuntimeError(SECRET)
        yield

    def on_parse(self) -> Iterator[None]:
        if "BrokenParse" in (self.execution_context.query or ""):
            raise RuntimeError(SECRET)
        yield


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as logs:
        yield logs


@pytest.fixture(scope="module")
def client(serve: Any) -> Iterator[Any]:
    config = StrawberryConfig(
        scalar_map={
            Even: strawberry.scalar(name="Even", parse_value=_even),
            Guarded: strawberry.scalar(name="Guarded", parse_value=_guarded),
        }
    )
    extensions = [Documents().extension, Broken]
    with serve(MaskedSchema(Query, Mutation, Subscription, extensions=extensions, config=config)) as client:
        yield client


def visible_part(error: dict[str, Any]) -> dict[str, Any]:
    return {key: error[key] for key in ("message", "extensions")}


def mistake(message: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": "BAD_USER_INPUT", "status": 400, "requestId": "req-1"}}


SLOW_DOWN = {
    "message": "Slow down.",
    "extensions": {"code": "RATE_LIMITED", "status": 429, "retryAfter": 7, "requestId": "req-1"},
}
FAULTS = {
    "python": ('{value(how:"python")}', {"value": None}),
    "graphql": ('{value(how:"graphql")}', {"value": None}),
    "mutation": ('mutation{value(how:"python")}', {"value": None}),
    "enum": ("{colour}", None),
    "null": ("{missing}", None),
    "hook": ("query Broken{ok}", None),
    "parse hook": ("query BrokenParse{ok}", None),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_faults_are_hidden_and_logged(client: Any, name: str, logs: list[Any]) -> None:
    query, data = FAULTS[name]
    answer = await client.post(query)
    assert answer["data"] == data
    assert [visible_part(error) for error in answer["errors"]] == [INTERNAL]
    assert [(log["log_level"], log["request_id"]) for log in logs] == [("error", "req-1")]
    assert isinstance(logs[0]["exc_info"], Exception)


@pytest.mark.parametrize("operation", ["query", "mutation"])
async def test_problems_have_their_path_and_location(client: Any, operation: str, logs: list[Any]) -> None:
    answer = await client.post(operation + '{value(how:"problem")}')
    location = {"path": ["value"], "locations": [{"line": 1, "column": len(operation) + 2}]}
    assert answer == {"data": {"value": None}, "errors": [{**SLOW_DOWN, **location}]}
    assert logs == []


MISTAKES: dict[str, tuple[str, dict[str, Any], str]] = {
    "syntax": ("{ok", {}, "Syntax Error: Expected Name, found <EOF>."),
    "validation": ("{nope}", {}, "Cannot query field 'nope' on type 'Query'."),
    "unknown operation": ("query A{ok}", {"operationName": "B"}, 'Unknown operation named "B".'),
    "no operation": ("fragment f on Query{ok}", {}, "Can't get GraphQL operation type"),
    "variable": (
        "query($n:[Int!]){scalars(n:$n)}",
        {"variables": {"n": ["x"]}},
        "Variable '$n' has invalid value at [0]: Int cannot represent non-integer value: 'x'",
    ),
    "scalar's exception": (
        "query($e:Even){scalars(even:$e)}",
        {"variables": {"e": 1}},
        "Variable '$e' has invalid value: Expected value of type 'Even', found: 1.",
    ),
    "scalar's exception in a literal": ("{scalars(even:1)}", {}, "Expected value of type 'Even', found: 1."),
    "enum": ("{colour(colour:BLUE)}", {}, "Value 'BLUE' does not exist in 'Colour' enum."),
    "variable of a wrong type": (
        "query($n:Int){scalars(n:[$n])}",
        {},
        "Variable '$n' of type 'Int' used in position expecting type 'Int!'.",
    ),
    "argument filled in late": (
        "query($n:Int=1){scalars(n:[$n])}",
        {"variables": {"n": None}},
        "Argument 'n' has invalid value at [0]: "
        "Expected variable '$n' provided to non-null type 'Int!' not to be None.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_mistakes_are_explained_on_both_transports(client: Any, name: str, logs: list[Any]) -> None:
    query, body, message = MISTAKES[name]
    answer = await client.post(query, **body)
    async with client.socket() as socket:
        rejected, *_ = await socket.run(query, **body)
        # The socket is still there: plain Strawberry closes it on a syntax error or an unknown operation.
        assert (await socket.run("{ok}"))[0]["payload"] == {"data": {"ok": 1}}
    assert answer["data"] is None
    assert [visible_part(error) for error in answer["errors"]] == [mistake(message)]
    # Wrong variables are detected by the execution, and Strawberry sends the error as a result.
    payload = rejected["payload"] if rejected["type"] == "error" else rejected["payload"]["errors"]
    assert rejected["type"] == ("next" if body.get("variables") else "error")
    assert [visible_part(error) for error in payload] == [mistake(message)]
    assert logs == []


async def test_a_missing_query_is_a_mistake(client: Any) -> None:
    assert (await client.post(""))["errors"] == [mistake('Request data is missing a "query" value')]


async def test_a_problem_of_a_scalar_names_its_field(client: Any) -> None:
    answer = await client.post("query($g:Guarded){scalars(guarded:$g)}", variables={"g": "x"})
    [error] = answer["errors"]
    assert error["message"] == "Not that."
    assert error["extensions"]["field"] == "guarded"


async def test_errors_of_events_leave_the_stream_running(client: Any) -> None:
    async with client.socket() as socket:
        for how, expected in (("python", INTERNAL), ("problem", SLOW_DOWN)):
            first, last = await socket.run(f'subscription{{events{{value(how:"{how}")}}}}')
            assert [visible_part(error) for error in first["payload"]["errors"]] == [expected]
            assert last == {"type": "complete"}


@pytest.mark.parametrize(("how", "expected"), [("python", INTERNAL), ("problem", SLOW_DOWN)])
async def test_a_generator_that_fails(client: Any, how: str, expected: dict[str, Any]) -> None:
    async with client.socket() as socket:
        before = await socket.run(f'subscription{{events(before:"{how}"){{value(how:"fine")}}}}')
        assert [message["type"] for message in before] == ["next", "complete"]
        assert before[0]["payload"] == {"data": None, "errors": [expected]}
        middle = await socket.run(f'subscription{{events(after:"{how}"){{value(how:"fine")}}}}')
        assert [message["payload"] for message in middle[:-1]] == [
            {"data": {"events": {"value": 1}}},
            {"data": None, "errors": [expected]},
        ]
        assert middle[-1] == {"type": "complete"}


@pytest.mark.parametrize(("how", "expected"), [("python", INTERNAL), ("problem", SLOW_DOWN), ("graphql", INTERNAL)])
async def test_a_subscription_refused_before_its_stream(client: Any, how: str, expected: dict[str, Any]) -> None:
    async with client.socket() as socket:
        [message] = await socket.run(f'subscription{{checked(how:"{how}"){{value(how:"fine")}}}}')
        assert message["type"] == "error"
        assert [visible_part(error) for error in message["payload"]] == [expected]


async def test_a_broken_hook_over_a_socket(client: Any) -> None:
    async with client.socket() as socket:
        for query in ("query Broken{ok}", "query BrokenParse{ok}", 'subscription Broken{events{value(how:"")}}'):
            [*_, message] = [message for message in await socket.run(query) if message["type"] != "complete"]
            errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
            assert [visible_part(error) for error in errors] == [INTERNAL]
        assert (await socket.run("{ok}"))[0]["payload"] == {"data": {"ok": 1}}


def test_without_a_request_the_id_is_null() -> None:
    assert render(GraphQLError("No.")).extensions == {"code": "BAD_USER_INPUT", "status": 400, "requestId": None}
