"""Failures that no caller waits for: outages are logged as one line and retried, bugs with their traceback."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from caret.adapters.nats_bus import NatsBus
from models.base import new_id
from resolvers.core import retry
from resolvers.core.context import Context
from resolvers.core.failures import FAILURES, is_outage, report_failure
from resolvers.core.ports.agents import AgentFailed
from resolvers.core.ports.ai import EmbedderMisconfigured, EmbedderUnavailable
from resolvers.core.ports.audio import TranscriberUnavailable
from resolvers.core.ports.bus import BusUnavailable
from resolvers.core.retry import retry_outages, retry_until_available
from tests.conftest import Services


@pytest.fixture
async def small_pool(ctx: Context) -> AsyncIterator[AsyncEngine]:
    """An engine of one connection, which is taken."""
    url = ctx.database.engine.url
    engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    yield engine
    await engine.dispose()


async def error_of(engine: AsyncEngine, statement: str) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever it is: the test looks at it)
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    return caught.value


async def test_an_exhausted_pool_is_an_outage(small_pool: AsyncEngine) -> None:
    async with small_pool.connect():
        assert is_outage(await error_of(small_pool, "SELECT 1"))


async def test_a_killed_connection_is_an_outage(small_pool: AsyncEngine) -> None:
    assert is_outage(await error_of(small_pool, "SELECT pg_terminate_backend(pg_backend_pid())"))


async def test_a_database_that_refuses_connections_is_an_outage(ctx: Context) -> None:
    engine = create_async_engine(ctx.database.engine.url.set(port=1))
    assert is_outage(await error_of(engine, "SELECT 1"))


@pytest.mark.parametrize(
    "statement", ["SELECT nothing", "SELECT 1 / 0", "SELECT * FROM nowhere", "SELECT 'a'::integer"]
)
async def test_a_wrong_statement_is_a_bug(ctx: Context, statement: str) -> None:
    assert not is_outage(await error_of(ctx.database.engine, statement))


async def test_a_closed_bus_is_an_outage(services: Services) -> None:
    bus = await NatsBus.connect(services.nats_url)
    await bus.close()
    with pytest.raises(BusUnavailable) as wakeups:
        async with bus.subscribe_wakeups(new_id(), lambda _: None):
            pass
    with pytest.raises(BusUnavailable) as cancellations:
        async with bus.subscribe_cancellations(lambda _: None):
            pass
    with pytest.raises(BusUnavailable) as last:
        await bus.last_reply_event(new_id())
    assert all(is_outage(caught.value) for caught in (wakeups, cancellations, last))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (asyncpg.CannotConnectNowError("the database system is starting up"), True),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), True),
        (asyncpg.DeadlockDetectedError("deadlock detected"), False),
        (EmbedderUnavailable("away"), True),
        (EmbedderMisconfigured("wrong"), False),
        (TranscriberUnavailable("away"), True),
        (AgentFailed("The model is busy."), True),
        (RuntimeError("bug"), False),
        (KeyError("bug"), False),
    ],
    ids=repr,
)
def test_which_errors_are_outages(error: Exception, expected: bool) -> None:
    assert is_outage(error) is expected


def raised(error: Exception) -> Exception:
    """The error as it is caught, with a traceback."""
    try:
        raise error
    except Exception as caught:  # noqa: BLE001
        return caught


def test_an_outage_is_one_warning_line() -> None:
    before = FAILURES["test.outage"]
    with structlog.testing.capture_logs() as logs:
        report_failure("test.outage", raised(OSError("away\nwith more")), note_id="n")
    assert logs == [{"event": "test.outage", "log_level": "warning", "error": "away", "note_id": "n"}]
    assert FAILURES["test.outage"] == before


def test_a_bug_is_logged_with_its_traceback_and_counted() -> None:
    before, bug = FAILURES["test.bug"], raised(KeyError("lost"))
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            report_failure("test.bug", bug, note_id="n")
    assert [(line["log_level"], line["exc_info"], line["note_id"]) for line in logs] == [("error", bug, "n")] * 2
    assert [line["count"] for line in logs] == [before + 1, before + 2]
    assert FAILURES["test.bug"] == before + 2


class Work:
    """Raises each of the errors once, then returns "done"."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that retries wait, without waiting."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr(retry, "pause", sleep)
    return seconds


async def test_an_outage_is_retried_in_even_waits_for_as_long_as_it_lasts(waits: list[float]) -> None:
    assert await retry_until_available("reading", Work(*[OSError("away")] * 100)) == "done"
    assert waits == [retry.RETRY_SECONDS] * 100


async def test_a_bug_is_retried_in_growing_waits_and_reported_each_time(waits: list[float]) -> None:
    before = FAILURES["work.retried"]
    assert await retry_until_available("reading", Work(*[RuntimeError("bug")] * 10)) == "done"
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert FAILURES["work.retried"] == before + 10


async def test_the_waits_begin_anew_after_an_outage(waits: list[float]) -> None:
    errors = [OSError("away")] * 60 + [RuntimeError("bug")] * 2 + [OSError("away"), RuntimeError("bug")]
    assert await retry_until_available("feed", Work(*errors)) == "done"
    assert waits == [1] * 60 + [1, 2] + [1, 1]


async def test_a_limited_retry_repeats_what_it_is_told_to_repeat(waits: list[float]) -> None:
    work = Work(KeyError("a timeout"), OSError("away"))
    assert await retry_outages("writing", work, attempts=4, first_wait=1, longest_wait=1, also=(KeyError,)) == "done"
    assert (work.calls, waits) == (3, [1, 1])


async def test_a_cancelled_retry_ends(ctx: Context) -> None:
    task = asyncio.create_task(retry_until_available("reading", Work(*[OSError("away")] * 100)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_limited_retry_raises_the_last_outage_and_any_bug_at_once(waits: list[float]) -> None:
    async def call(work: Any) -> str:
        return await retry_outages("writing", work, attempts=4, first_wait=0.5, longest_wait=1.5)

    assert await call(Work(OSError("away"))) == "done"
    waits.clear()
    away = Work(*[OSError("away")] * 9)
    with pytest.raises(OSError, match="away"):
        await call(away)
    assert (away.calls, waits) == (4, [0.5, 1.0, 1.5])
    bug = Work(KeyError("bug"))
    with pytest.raises(KeyError):
        await call(bug)
    assert bug.calls == 1
