"""Rate limits on real servers: exact over all processes, stated by every response, the same for every protocol."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from itertools import cycle, islice
from typing import Any

import httpx
import pytest
import websockets
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from caret.settings import Settings
from caret.wiring import limits_of
from models import Plan
from models.base import new_id
from tests.conftest import Services, Tenant, make_tenant, token
from tests.support.clients import Caller
from tests.support.clock import pass_seconds
from tests.support.servers import RunningServer, server_process
from tests.test_main_job import CONVERSE, CREATE

POINTS_PER_MINUTE = limits_of(Settings()).points_per_minute
LIMIT = POINTS_PER_MINUTE[Plan.FREE]
LEFT = "{ rateLimit { limit remaining resetAt } }"
# Three root fields and 300 nodes.
SIX = "{ a: notes(first: 100) { nodes { id } } b: notes(last: 100) { totalCount } c: notes(first: 100) { totalCount } }"


@pytest.fixture(scope="module")
def servers(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningServer]]:
    """Two as on two machines, one of which has two web processes; with the limits that Caret has by default."""
    settings = {name: value for name, value in services.settings.items() if name != "rate_limits"}
    with (
        server_process(**settings, data_dir=str(tmp_path_factory.mktemp("one"))) as one,
        server_process("--workers", "2", **settings, data_dir=str(tmp_path_factory.mktemp("two"))) as two,
    ):
        yield [one, two]


@pytest.fixture
async def free(servers: list[RunningServer], database: AsyncEngine) -> AsyncIterator[Tenant]:
    new_tenant = await make_tenant(servers[0], database, Plan.FREE)
    yield new_tenant
    for caller in new_tenant.callers:
        await caller.close()


def read_allowance(answer: httpx.Response) -> tuple[int, int, int]:
    """The allowance in the headers."""
    limit, remaining, reset = (int(answer.headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))
    return limit, remaining, reset


def refused(answer: httpx.Response) -> int:
    """The seconds that a 429 says to wait, which agree with its Reset."""
    assert answer.status_code == 429
    wait, (limit, _, reset) = int(answer.headers["Retry-After"]), read_allowance(answer)
    assert 1 <= wait <= 61
    assert limit == LIMIT
    # This machine's clock and the database's are one.
    assert reset - wait <= time.time()
    return wait


def send_request(caller: Caller, number: int) -> Awaitable[httpx.Response]:
    """One point's worth by one of the three doors; every seventh request fails, which costs the same."""
    if number % 7 == 0:
        return caller.http.get(f"/v1/notes/{new_id()}")
    match number % 3:
        case 0:
            return caller.http.get("/v1/me")
        case 1:
            return caller.http.get("/api/v1/ai/conversations", params={"document_id": str(new_id())})
        case _:
            return caller.http.post("/graphql", json={"query": LEFT})


async def burst(callers: list[Caller], each: int) -> list[httpx.Response]:
    """All at once, each caller one request after the other."""

    async def one(caller: Caller, start: int) -> list[httpx.Response]:
        return [await send_request(caller, start + number) for number in range(each)]

    batches = await asyncio.gather(*(one(caller, number) for number, caller in enumerate(callers)))
    return [answer for answers in batches for answer in answers]


async def test_of_forty_callers_at_once_exactly_the_limit_is_granted(
    servers: list[RunningServer], free: Tenant, database: AsyncEngine
) -> None:
    key = await free.key()
    callers = [key]
    for served in islice(cycle(servers), 39):
        callers.append(Caller(served, key.credential))
        free.callers.append(callers[-1])
    for _ in range(2):
        answers = await burst(callers, 4)
        granted = [answer for answer in answers if answer.status_code != 429]
        assert {answer.status_code for answer in granted} == {200, 404}
        assert sorted(read_allowance(answer)[1] for answer in granted) == list(range(LIMIT))
        assert len(answers) - len(granted) == 160 - LIMIT
        for answer in answers:
            if answer.status_code == 429:
                refused(answer)
                assert read_allowance(answer)[1] == 0
        # What the first of them spent is what comes free next, for all of them.
        assert len({read_allowance(answer)[2] for answer in answers}) == 1
        await pass_seconds(database, free.id, 61)


async def test_the_window_of_the_limit_slides(
    servers: list[RunningServer], free: Tenant, database: AsyncEngine
) -> None:
    key = await free.key()
    other = Caller(servers[1], key.credential)
    free.callers.append(other)
    began = time.time()
    half = LIMIT // 2
    first = await burst([key, other], half // 2)
    first_free, first_took = read_allowance(first[0])[2], math.ceil(time.time() - began)
    await pass_seconds(database, free.id, 30)
    again = time.time()
    second = await burst([key, other], half // 2)
    second_took = math.ceil(time.time() - again)
    assert [answer.status_code == 429 for answer in first + second] == [False] * LIMIT
    answer = await key.http.get("/v1/me")
    wait = refused(answer)
    assert abs(read_allowance(answer)[2] - (first_free - 30)) <= 1
    # All of the first half is free again, and nothing of the second.
    passed = wait + first_took + 1
    await pass_seconds(database, free.id, passed)
    third = await burst([key, other], half // 2)
    assert sorted(read_allowance(answer)[1] for answer in third) == list(range(half))
    assert [answer.status_code == 429 for answer in third] == [False] * half
    answer = await other.http.get("/v1/me")
    refused(answer)
    assert again + 60 <= read_allowance(answer)[2] + passed <= again + second_took + 62


async def exhausted(caller: Caller) -> None:
    while read_allowance(await caller.http.get("/v1/me"))[1]:
        pass


async def test_each_protocol_renders_the_refusal(free: Tenant) -> None:
    key = await free.key()
    await exhausted(key)
    for _ in range(3):
        # What is refused costs nothing: the time to wait does not grow.
        answer = await key.http.get("/v1/notes")
        wait = refused(answer)
        message = f"The limit is 60 points in 60 seconds. Try again in {wait} seconds."
        assert answer.json() == {
            "error": {
                "code": "rate_limit_exceeded",
                "message": message,
                "type": "rate_limit_error",
                "retry_after": wait,
            },
            "message": message,
            "code": "rate_limit_exceeded",
        }
    answer = await key.http.get(f"/api/v1/ai/conversations?document_id={new_id()}")
    message = f"The limit is 60 points in 60 seconds. Try again in {refused(answer)} seconds."
    assert answer.json() == {"detail": message, "error": message, "code": "rate_limit_exceeded"}
    answer = await key.http.post("/graphql", json={"query": "{ models { id } }"})
    wait = refused(answer)
    assert answer.json() == {
        "errors": [
            {
                "message": f"The limit is 60 points in 60 seconds. Try again in {wait} seconds.",
                "extensions": {
                    "code": "RATE_LIMITED",
                    "status": 429,
                    "retryAfter": wait,
                    "requestId": answer.headers["X-Request-Id"],
                },
            }
        ]
    }
    with pytest.raises(websockets.ConnectionClosed):
        async with key.socket():
            pass
    # Others are not held up: another key, a person, and who needs no credential.
    assert read_allowance(await (await free.key()).http.get("/v1/me"))[1] == LIMIT - 1
    assert read_allowance(await (await free.user()).http.get("/v1/me"))[1] == LIMIT - 1
    async with httpx.AsyncClient(base_url=key.served.url) as nobody:
        assert (await nobody.get("/api/v1/ai/models")).status_code == 200


async def test_every_response_to_an_authenticated_caller_has_the_headers(free: Tenant) -> None:
    key = await free.key()
    note = (await key.data(CREATE, input={"title": "A note"}))["createNote"]["id"]
    talk = (await key.data(CONVERSE, note=note))["createConversation"]["id"]
    tag = (await key.http.get(f"/v1/notes/{note}")).headers["ETag"]
    stream = f"/api/v1/ai/conversations/{talk}/stream"
    requests: list[tuple[int, str, str, dict[str, Any]]] = [
        (200, "GET", "/v1/me", {}),
        (200, "HEAD", "/v1/me", {}),
        (200, "GET", f"/v1/notes/{note}", {}),
        (304, "GET", f"/v1/notes/{note}", {"headers": {"If-None-Match": tag}}),
        (400, "GET", "/v1/notes?limit=0", {}),
        (400, "POST", "/v1/notes", {"content": "{"}),
        (415, "POST", "/v1/notes", {"content": "x", "headers": {"Content-Type": "text/plain"}}),
        (413, "POST", "/v1/notes", {"content": b" " * (4 * 2**20 + 1)}),
        (404, "GET", f"/v1/notes/{new_id()}", {}),
        (422, "POST", "/v1/notes", {"json": {"title": "x", "tagIds": [str(new_id())]}}),
        (201, "POST", "/v1/notes", {"json": {"title": "x"}}),
        (404, "GET", f"/api/v1/ai/conversations/{new_id()}", {}),
        (422, "GET", "/api/v1/ai/conversations", {}),
        (204, "POST", f"/api/v1/ai/conversations/{talk}/touch", {}),
        (200, "POST", stream, {"json": {"message": "Hello"}}),
        (200, "POST", "/graphql", {"json": {"query": "{ __typename }"}}),
        (200, "POST", "/graphql", {"json": {"query": "{"}}),
        (200, "POST", "/graphql", {"json": {"query": "{ nothing }"}}),
        (200, "GET", "/graphql?query={__typename}", {}),
        (400, "POST", "/graphql", {"content": "5", "headers": {"Content-Type": "application/json"}}),
        (405, "PATCH", "/graphql", {}),
    ]
    left = read_allowance(await key.http.get("/v1/me"))[1]
    for number, (status, method, path, request) in enumerate(requests, 1):
        answer = await key.http.request(method, path, **request)
        assert answer.status_code == status, (method, path, answer.text)
        limit, remaining, reset = read_allowance(answer)
        assert (limit, remaining) == (LIMIT, left - number), (method, path)
        assert reset - time.time() <= 61
    # Nobody is known: no account, and nothing is spent.
    nothing = [
        ("GET", "/v1/me", {"Authorization": "Bearer sk-caret-api-x"}),
        ("GET", "/v1/me", {"Authorization": ""}),
        ("POST", "/graphql", {"Authorization": "Bearer sk-caret-api-x"}),
        ("GET", "/v1/nothing", {}),
        ("OPTIONS", "/v1/me", {}),
        ("OPTIONS", "/v1/me", {"Origin": "https://x.example", "Access-Control-Request-Method": "GET"}),
        ("GET", "/health/live", {}),
    ]
    for method, path, headers in nothing:
        answer = await key.http.request(method, path, headers=headers)
        assert "X-RateLimit-Limit" not in answer.headers, (method, path)
    cors_headers = (await key.http.get("/v1/me", headers={"Origin": "https://x.example"})).headers
    assert read_allowance(await key.http.get("/v1/me"))[1] == left - len(requests) - 2
    exposed = {name.strip() for name in cors_headers["Access-Control-Expose-Headers"].split(",")}
    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"} <= exposed


async def test_a_user_spends_points_in_the_workspace_of_the_request(
    free: Tenant, servers: list[RunningServer], database: AsyncEngine
) -> None:
    user = await free.user()
    assert read_allowance(await user.http.get("/v1/me"))[1] == LIMIT - 1
    stranger = await make_tenant(servers[0], database, Plan.FREE)
    answer = await user.http.get("/v1/me", headers={"X-Workspace-Id": str(stranger.id)})
    assert answer.status_code == 403
    assert "X-RateLimit-Limit" not in answer.headers
    # Also by another token, which is the same person.
    assert user.user_id is not None
    again = Caller(servers[1], token(user.user_id, 700))
    free.callers.append(again)
    assert read_allowance(await again.http.get("/v1/me", headers={"X-Workspace-Id": str(free.id)}))[1] == LIMIT - 2


async def test_an_operations_cost_is_spent_before_it_runs(free: Tenant) -> None:
    key = await free.key()

    async def post(query: str, **variables: Any) -> tuple[Any, int]:
        answer = await key.http.post("/graphql", json={"query": query, "variables": variables})
        assert answer.status_code == 200, answer.text
        return answer.json(), read_allowance(answer)[1]

    answer, left = await post(LEFT)
    assert (answer["data"]["rateLimit"]["limit"], answer["data"]["rateLimit"]["remaining"], left) == (60, 59, 59)
    # An invalid one has paid at the door only.
    assert (await post(SIX))[1] == 59 - 6
    assert (await post("{ notes(first: 100) { nothing } }"))[1] == 52
    both = "query($n: Int!) { notes(first: $n) { totalCount } rateLimit { remaining resetAt } }"
    answer, left = await post(both, n=100)
    assert (answer["data"]["rateLimit"]["remaining"], left) == (49, 49)
    assert answer["data"]["rateLimit"]["resetAt"].endswith("Z")

    nested = "{ notes(first: 100) { nodes { transcripts(first: %d) { totalCount } } } }"
    answer, left = await post(nested % 50)
    [error] = answer["errors"]
    assert ("data" in answer, left) == (False, 48)
    wait = error["extensions"].pop("retryAfter")
    assert 1 <= wait <= 61
    assert error["extensions"].pop("requestId")
    assert error == {
        "message": f"The limit is 60 points in 60 seconds. This needs 51 points, 48 are left. "
        f"Try again in {wait} seconds.",
        "extensions": {"code": "RATE_LIMITED", "status": 429},
    }
    answer, left = await post(nested % 100)
    assert (answer["errors"][0]["extensions"]["code"], left) == ("QUERY_TOO_COMPLEX", 47)
    message = "The operation costs 102 points, this workspace's plan allows 60 in 60 seconds."
    assert answer["errors"][0]["message"] == message


async def test_a_websocket_spends_points_to_connect_and_for_each_operation(free: Tenant, database: AsyncEngine) -> None:
    key, writer = await free.key(), await free.key()

    async def spent() -> list[int]:
        query = text("SELECT (SELECT sum(u) FROM unnest(spent) u) FROM rate_windows WHERE workspace_id = :w ORDER BY 1")
        async with database.connect() as connection:
            return [row[0] for row in await connection.execute(query, {"w": free.id})]

    async with key.socket() as socket:
        assert await spent() == [1]
        for query, total in ((LEFT, 2), (SIX, 8), ("{ nothing }", 8), ("{", 8)):
            [_] = [payload async for payload in socket.subscribe(query)]
            assert await spent() == [total], query
        name = await socket.start("subscription { workspaceEvents { type } }")
        for number in range(3):
            await writer.data(CREATE, input={"title": str(number)})
            assert (await socket.next(name))["type"] == "next"
        assert await spent() == [3, 9]
        for size, code in ((100, "QUERY_TOO_COMPLEX"), (55, "RATE_LIMITED")):
            heavy = f"{{ notes(first: 100) {{ nodes {{ transcripts(first: {size}) {{ totalCount }} }} }} }}"
            [payload] = [payload async for payload in socket.subscribe(heavy)]
            assert payload["errors"][0]["extensions"]["code"] == code
        assert await spent() == [3, 9]
