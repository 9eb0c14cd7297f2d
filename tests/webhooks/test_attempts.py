"""One attempt: what counts as delivered, what as failed, and what the log shows of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from caret.adapters.webhook_client import MAX_RESPONSE_BYTES, MIN_CHUNK_COST_BYTES
from models.webhook import DeliveryStatus
from resolvers.core.context import Context
from resolvers.core.failures import FAILURES
from resolvers.core.ports.webhook_client import MAX_STORED_RESPONSE_BYTES, EndpointResponse
from resolvers.webhooks.backoff import JITTER, MAX_ATTEMPTS, RETRY_WAITS
from tests.support.receiver import Behaviour, Receiver, answer, drip, flood, raw_response, repeat, reset, silence
from tests.webhooks.helpers import TIMEOUT_SECONDS, Clock, change, deliver, endpoint, hook, row, work, work_until

Case = tuple[str, Behaviour, int | None, str]
"""Its name, what the receiver does, the status that is seen, and the text that the log shows."""
DELIVERED: list[Case] = [
    ("200", answer(200, b"thanks"), 200, "thanks"),
    ("204", raw_response(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, ""),
    ("299", answer(299), 299, ""),
    ("a body that never ends", flood, 200, "x" * MAX_STORED_RESPONSE_BYTES),
    ("a body that is cut off", raw_response(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"), 200, "half"),
    ("a body that drips", drip(b"HTTP/1.1 200 OK\r\n\r\nhalf"), 200, "half"),
    ("NUL, half a character", answer(200, b"a\x00b\xc3"), 200, "ab"),
    ("tiny chunks", repeat(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), 200, "aaa"),
    ("100 first", raw_response(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), 200, ""),
]
CONNECTION_LOST = "The connection was lost before there was an answer, or it was not HTTP."
LATE = f"There was no answer within {TIMEOUT_SECONDS:.0f} seconds."
FAILED: list[Case] = [
    ("500", answer(500, b"trouble"), 500, "The endpoint answered 500."),
    ("404", answer(404), 404, "The endpoint answered 404."),
    ("199", raw_response(b"HTTP/1.1 199 Hm\r\n\r\n"), None, CONNECTION_LOST),
    ("301", answer(301, location="/elsewhere"), 301, "The endpoint answered 301. Redirects are not followed."),
    ("307", answer(307, location="http://127.0.0.1/"), 307, "The endpoint answered 307. Redirects are not followed."),
    ("1xx for ever", repeat(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), None, CONNECTION_LOST),
    ("silence", silence, None, LATE),
    ("a head that drips", drip(), None, LATE),
    ("reset", reset, None, CONNECTION_LOST),
    ("closed without a word", raw_response(b""), None, CONNECTION_LOST),
    ("600", answer(600), None, CONNECTION_LOST),
    ("not HTTP", raw_response(b"220 mail.example ESMTP\r\n"), None, CONNECTION_LOST),
    ("a head without an end", raw_response(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000), None, CONNECTION_LOST),
]


def named(case: object) -> str:
    return str(case[0]) if isinstance(case, tuple) else ""


@pytest.mark.parametrize("case", DELIVERED, ids=named)
async def test_delivered(ctx: Context, clock: Clock, receiver: Receiver, case: Case) -> None:
    _, behave, status, text = case
    receiver.will(behave)
    [ident] = await deliver(ctx, await hook(ctx, receiver.url))
    await work(ctx)
    got = await row(ctx, ident)
    assert (got.status, got.attempts, got.due_at, got.error) == (DeliveryStatus.DELIVERED, 1, None, None)
    assert (got.attempted_at, got.delivered_at, got.response_status) == (clock.now, clock.now, status)
    assert got.response_body.startswith(text)
    assert len(got.response_body) <= MAX_STORED_RESPONSE_BYTES
    await work(ctx)
    assert len(receiver.received) == 1


@pytest.mark.parametrize("case", FAILED, ids=named)
async def test_failed(ctx: Context, clock: Clock, receiver: Receiver, case: Case) -> None:
    _, behave, status, text = case
    receiver.will(behave)
    to = await hook(ctx, receiver.url)
    [ident] = await deliver(ctx, to)
    await work(ctx)
    got = await row(ctx, ident)
    assert (got.status, got.attempts, got.delivered_at) == (DeliveryStatus.PENDING, 1, None)
    assert (got.error, got.response_status) == (text, status)
    assert RETRY_WAITS[0] * (1 - JITTER) <= got.due_at - clock.now <= RETRY_WAITS[0] * (1 + JITTER)
    assert (await endpoint(ctx, to)).failing_since == clock.now
    # Not before its time, and then once more.
    await work(ctx)
    assert len(receiver.received) == 1
    clock.now = got.due_at
    receiver.will(answer())
    await work(ctx)
    assert [post.path for post in receiver.received] == ["/hooks"] * 2
    assert len({post.headers["webhook-id"] for post in receiver.received}) == 1
    assert len({post.body for post in receiver.received}) == 1
    again = await row(ctx, ident)
    assert (again.status, again.attempts, again.error) == (DeliveryStatus.DELIVERED, 2, None)
    assert (await endpoint(ctx, to)).failing_since is None


async def test_a_closed_port(ctx: Context, receiver: Receiver) -> None:
    await receiver.stop()
    [ident] = await deliver(ctx, await hook(ctx, receiver.url))
    await work(ctx)
    got = await row(ctx, ident)
    assert (got.status, got.error) == (DeliveryStatus.PENDING, "No connection could be made.")
    await receiver.start()


async def test_what_the_log_shows(ctx: Context, receiver: Receiver) -> None:
    receiver.will(answer(200, b"y" * 5_000, X_One="1", x_two="caf\xe9"))
    [ident] = await deliver(ctx, await hook(ctx, receiver.url))
    await work(ctx)
    [post], got = receiver.received, await row(ctx, ident)
    assert post.body == got.body
    transport = {"host": f"127.0.0.1:{receiver.port}", "content-length": str(len(got.body))}
    sent = {name.lower(): value for name, value in got.request_headers.items()}
    assert post.headers == {**sent, **transport}
    assert sorted(got.request_headers) == [
        "Content-Type",
        "User-Agent",
        "X-Caret-Signature",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    ]
    assert got.response_headers == {"content-length": "5000", "x-one": "1", "x-two": "caf\xe9"}
    assert got.response_body == "y" * MAX_STORED_RESPONSE_BYTES


async def test_tiny_chunks_count_for_more(ctx: Context, receiver: Receiver) -> None:
    receiver.will(repeat(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"))
    [ident] = await deliver(ctx, await hook(ctx, receiver.url))
    await work(ctx)
    assert (await row(ctx, ident)).response_body == "a" * (MAX_RESPONSE_BYTES // MIN_CHUNK_COST_BYTES)


async def test_many_headers_are_cut(ctx: Context, receiver: Receiver) -> None:
    receiver.will(answer(200, b"", **{f"x_{number}": "v" * 100 for number in range(50)}))
    [ident] = await deliver(ctx, await hook(ctx, receiver.url))
    await work(ctx)
    got = await row(ctx, ident)
    assert got.status is DeliveryStatus.DELIVERED
    assert len(json.dumps(got.response_headers)) < 2 * MAX_STORED_RESPONSE_BYTES


async def test_a_long_header_hides_no_other(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    receiver.will(
        answer(
            503,
            b"",
            x_long="v" * MAX_STORED_RESPONSE_BYTES,
            x_first="v" * (MAX_STORED_RESPONSE_BYTES - 100),
            x_next="1",
            Retry_After="60",
        )
    )
    [ident] = await deliver(ctx, await hook(ctx, receiver.url))
    await work(ctx)
    got = await row(ctx, ident)
    assert {"retry-after", "x-first", "x-next"} <= set(got.response_headers)
    assert "x-long" not in got.response_headers
    assert got.due_at - clock.now == timedelta(seconds=60)


async def test_connections_are_reused(ctx: Context, receiver: Receiver) -> None:
    to = await hook(ctx, receiver.url)
    for _ in range(5):
        await deliver(ctx, to)
        await work(ctx)
    assert (len(receiver.received), receiver.connections) == (5, 1)


async def test_no_connection_to_the_database_while_posting(ctx: Context, receiver: Receiver) -> None:
    held: list[int] = []
    receiver.on_post = lambda _post: held.append(ctx.database.engine.pool.checkedout())  # type: ignore[attr-defined]  # of its queue
    await deliver(ctx, await hook(ctx, receiver.url))
    await work(ctx)
    assert held == [0]


async def test_a_secret_that_cannot_be_opened(ctx: Context, receiver: Receiver) -> None:
    to = await hook(ctx, receiver.url)
    await change(ctx, to, secret=b"of another key")
    [ident] = await deliver(ctx, to)
    await work(ctx)
    got = await row(ctx, ident)
    assert (got.status, got.request_headers, receiver.received) == (DeliveryStatus.PENDING, {}, [])
    assert got.error == "The server can't open the secret of this webhook any more: rotate it."


@dataclass
class Odd:
    """A poster that gives or raises what no poster should."""

    what: EndpointResponse | Exception

    async def post(self, _url: str, _headers: Mapping[str, str], _body: bytes) -> EndpointResponse:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


async def test_a_bug_is_reported_with_its_traceback_and_the_delivery_ends_as_failed(
    ctx: Context, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    before = FAILURES["webhook.response_not_understood"]
    here = replace(ctx, webhook_client=Odd(RuntimeError("secret")))
    [ident] = await deliver(ctx, await hook(ctx, "https://hooks.example.com/"))
    await work_until(here, clock, clock.now + timedelta(days=2))
    got = await row(ctx, ident)
    assert (got.status, got.attempts) == (DeliveryStatus.FAILED, MAX_ATTEMPTS)
    assert got.error == "The answer could not be understood."
    assert FAILURES["webhook.response_not_understood"] == before + MAX_ATTEMPTS
    printed = "".join(capsys.readouterr())
    assert printed.count("RuntimeError: secret") == MAX_ATTEMPTS
    assert "Traceback" in printed


@pytest.mark.parametrize(
    ("status", "verdict", "error"),
    [
        (200, DeliveryStatus.DELIVERED, None),
        (500, DeliveryStatus.PENDING, "The endpoint answered 500."),
    ],
)
async def test_an_answer_that_cannot_be_stored(
    ctx: Context, clock: Clock, status: int, verdict: DeliveryStatus, error: str | None
) -> None:
    """What counts is kept without it."""
    here = replace(ctx, webhook_client=Odd(EndpointResponse(status, {}, "a\x00b")))
    [ident] = await deliver(ctx, await hook(ctx, "https://hooks.example.com/"))
    await work(here)
    got = await row(ctx, ident)
    assert (got.status, got.attempts, got.error) == (verdict, 1, error)
    assert (got.response_status, got.response_headers, got.response_body) == (None, None, None)
    assert got.due_at is None or RETRY_WAITS[0] * (1 - JITTER) <= got.due_at - clock.now <= RETRY_WAITS[0] * (
        1 + JITTER
    )


Wish = tuple[int, Callable[[Clock], str], timedelta]
WISHES: list[Wish] = [
    (429, lambda _: "120", timedelta(seconds=120)),
    (503, lambda clock: format_date(clock, 3600), timedelta(hours=1)),
    (503, lambda _: "999999999999", timedelta(hours=24)),
    (429, lambda _: "1", RETRY_WAITS[0]),
    (429, lambda _: "soon", RETRY_WAITS[0]),
    (429, lambda _: "-5", RETRY_WAITS[0]),
    (500, lambda _: "120", RETRY_WAITS[0]),
    (503, lambda _: "Mon, 01 Jan 99999999999999 00:00:00 GMT", RETRY_WAITS[0]),
    (503, lambda _: "Fri, 31 Dec 9999 23:59:59 -2359", timedelta(hours=24)),
]


def format_date(clock: Clock, seconds: float) -> str:
    return (clock.now + timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")


@pytest.mark.parametrize("case", WISHES)
async def test_a_wish_to_be_left_alone(ctx: Context, clock: Clock, receiver: Receiver, case: Wish) -> None:
    status, wish, wait = case
    receiver.will(answer(status, Retry_After=wish(clock)))
    [ident] = await deliver(ctx, await hook(ctx, receiver.url))
    await work(ctx)
    wait_time = (await row(ctx, ident)).due_at - clock.now
    if wait == RETRY_WAITS[0]:
        assert wait * (1 - JITTER) <= wait_time <= wait * (1 + JITTER)
    else:
        assert abs(wait_time - wait) < timedelta(seconds=1.1)
