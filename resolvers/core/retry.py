"""Retries of work that must succeed in the end, such as the reads behind a subscription."""

import asyncio
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


def _awaiting(work: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """The work as a coroutine function: tenacity awaits the result of nothing else, not even of a lambda."""

    async def attempt() -> T:
        return await work()

    return attempt


async def retry_until_available(name: str, work: Callable[[], Awaitable[T]]) -> T:
    """Calls `work` until it succeeds, and returns its result. `name` identifies the work in the log.

    An outage is retried every RETRY_SECONDS. A bug is retried too, because whoever waits must not wait for a task that
    has ended: with growing pauses, since each attempt logs a traceback.
    """

    def seconds_until_retry(state: RetryCallState) -> float:
        error = _error(state)
        if error is None or is_outage(error):
            return RETRY_SECONDS
        return min(RETRY_SECONDS * 2.0 ** min(state.attempt_number - 1, 10), LONGEST_WAIT_SECONDS)

    retrying = AsyncRetrying(
        sleep=pause,
        stop=stop_never,
        retry=retry_if_exception(lambda error: isinstance(error, Exception)),
        wait=seconds_until_retry,
        before_sleep=_report("work.retried", name),
    )
    return await retrying(_awaiting(work))


async def retry_outages(
    name: str, work: Callable[[], Awaitable[T]], *, attempts: int, first_wait: float, longest_wait: float
) -> T:
    """Calls `work` up to `attempts` times while it fails because of an outage; the waits (seconds) double each time.

    Raises the last outage, and anything else at once.
    """
    retrying = AsyncRetrying(
        sleep=pause,
        stop=stop_after_attempt(attempts),
        retry=retry_if_exception(is_outage),
        wait=wait_exponential(multiplier=first_wait, max=longest_wait),
        before_sleep=_report("work.retried", name),
        reraise=True,
    )
    return await retrying(_awaiting(work))


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _report(event: str, name: str) -> Callable[[RetryCallState], None]:
    def report(state: RetryCallState) -> None:
        if (error := _error(state)) is not None:
            report_failure(event, error, work=name, attempt=state.attempt_number)

    return report
