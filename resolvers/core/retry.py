"""Retries of work that must succeed in the end, such as the reads behind a subscription."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_never, wait_exponential

from resolvers.core.failures import is_outage, report_failure

RETRY_SECONDS = 1.0
"""Seconds between two attempts during an outage."""
LONGEST_WAIT_SECONDS = 60.0
"""Seconds between two attempts at most, when each fails because of a bug."""

T = TypeVar("T")


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def retry_until_available(name: str, work: Callable[[], Awaitable[T]]) -> T:
    """Calls `work` until it succeeds, and returns its result. `name` identifies the work in the log.

    An outage is retried every RETRY_SECONDS. A bug is retried too, because whoever waits must not wait for a task that
    has ended: with growing pauses, since each attempt logs a traceback. The pauses begin anew after an outage, and
    after an attempt that ran for longer than the longest pause: work may run for days between two failures.
    """
    bugs_in_a_row, started = 0, time.monotonic()

    async def attempt() -> T:
        nonlocal started
        started = time.monotonic()
        return await work()

    def seconds_until_retry(state: RetryCallState) -> float:
        nonlocal bugs_in_a_row
        error = _error(state)
        if error is None or is_outage(error):
            bugs_in_a_row = 0
            return RETRY_SECONDS
        bugs_in_a_row = 1 if time.monotonic() - started > LONGEST_WAIT_SECONDS else bugs_in_a_row + 1
        return min(RETRY_SECONDS * 2.0 ** min(bugs_in_a_row - 1, 10), LONGEST_WAIT_SECONDS)

    retrying = AsyncRetrying(
        sleep=pause,
        stop=stop_never,
        retry=retry_if_exception(lambda error: isinstance(error, Exception)),
        wait=seconds_until_retry,
        before_sleep=_report("work.retried", name),
    )
    return await retrying(attempt)


async def retry_outages(
    name: str,
    work: Callable[[], Awaitable[T]],
    *,
    attempts: int,
    first_wait: float,
    longest_wait: float,
    also: tuple[type[Exception], ...] = (),
) -> T:
    """Calls `work` up to `attempts` times while it fails because of an outage; the waits (seconds) double each time.

    `also`: exceptions that are retried as well, though they are reported as bugs. Raises the last failure, and anything
    else at once.
    """

    async def attempt() -> T:
        # tenacity awaits the result of a coroutine function only, not even that of a lambda.
        return await work()

    retrying = AsyncRetrying(
        sleep=pause,
        stop=stop_after_attempt(attempts),
        retry=retry_if_exception(lambda error: is_outage(error) or isinstance(error, also)),
        wait=wait_exponential(multiplier=first_wait, max=longest_wait),
        before_sleep=_report("work.retried", name),
        reraise=True,
    )
    return await retrying(attempt)


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _report(event: str, name: str) -> Callable[[RetryCallState], None]:
    def report(state: RetryCallState) -> None:
        if (error := _error(state)) is not None:
            report_failure(event, error, work=name, attempt=state.attempt_number)

    return report
