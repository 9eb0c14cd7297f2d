"""Retrying a model, and trying another one, as long as nothing of the answer was published."""

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import TypeVar

import structlog
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelServerError,
    ModelUnavailableError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay

from models.limits import limit
from resolvers.core.ports.agents import DEFAULT_FAILURE_TEXT, AgentFailed

log = structlog.get_logger()

ATTEMPTS = limit(3, "Attempts at one model", area="Agents", beyond="the next model is tried")
FIRST_PAUSE_SECONDS = 0.5
"""Pause before the second attempt, more or less by half; each further pause is twice as long."""
MAX_PAUSE_SECONDS = limit(
    5.0,
    "Pause between two attempts at a model, also if the provider asks for a longer one",
    area="Agents",
    unit="seconds",
    beyond="the next model is tried",
)
MAX_RETRY_SECONDS = limit(
    30.0,
    "Time after the first attempt at a model in which another one may begin",
    area="Agents",
    unit="seconds",
    beyond="the next model is tried",
)

BUSY = "The model is busy. Please try again in a minute."
UNREACHABLE = "The model could not be reached. Please try again."
REFUSED = "The model refused this request."
TOO_LONG = "The conversation is too long for this model."
TOO_MANY_STEPS = "The model took too many steps without an answer."

REASONS: tuple[tuple[type[Exception], str], ...] = (
    (UsageLimitExceeded, TOO_MANY_STEPS),
    (ModelContextWindowExceededError, TOO_LONG),
    (ModelRateLimitError, BUSY),
    (ModelUnavailableError, BUSY),
    (ModelConnectionError, UNREACHABLE),
    (ModelRequestRejectedError, REFUSED),
    (ModelQuotaExceededError, REFUSED),
    (ContentFilterError, REFUSED),
)
"""What a person is told of each failure; the first that fits. Of any other: FAILED."""
TRANSIENT = (ModelRateLimitError, ModelUnavailableError, ModelServerError, ModelConnectionError)
TRANSIENT_STATUSES = frozenset({408, 409, 425})

MODEL_FAILURES = (ModelAPIError, UnexpectedModelBehavior, UsageLimitExceeded)

T = TypeVar("T")


async def try_models(models: Sequence[str], is_empty: Callable[[], bool], attempt: Callable[[str], Awaitable[T]]) -> T:
    """Returns the result of `attempt(model_id)` for the first of the models that answers.

    A transient failure is retried after a pause. Then, and at once after any other failure, the next model is tried.
    Nothing is tried again once a part of the answer was published (`is_empty()` is false). Raises AgentFailed; an error
    that is not a failure of a model passes through.
    """
    failure: Exception | None = None
    for model_id in models:
        try:
            return await _try_model(model_id, is_empty, attempt)
        except MODEL_FAILURES as error:
            failure = error
            # Another model would need as many steps.
            if not is_empty() or isinstance(error, UsageLimitExceeded):
                break
    raise AgentFailed(DEFAULT_FAILURE_TEXT if failure is None else reason(failure)) from failure


async def _try_model(model_id: str, is_empty: Callable[[], bool], attempt: Callable[[str], Awaitable[T]]) -> T:
    numbers = count(1)

    async def logged_attempt() -> T:
        number = next(numbers)
        try:
            return await attempt(model_id)
        except MODEL_FAILURES as error:
            log_failure(model_id, number, error)
            raise

    retrying = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, MODEL_FAILURES) and is_empty()),
        wait=_seconds_until_retry,
        stop=stop_before_delay(MAX_RETRY_SECONDS),
        reraise=True,
    )
    return await retrying(logged_attempt)


def _seconds_until_retry(state: RetryCallState) -> float:
    failure = state.outcome and state.outcome.exception()
    wait = pause(failure, state.attempt_number) if failure else None
    # An infinite wait is beyond the last moment of an attempt: there is none.
    return math.inf if wait is None else wait


def log_failure(model_id: str, number: int, failure: Exception) -> None:
    """Logs only what contains no user's text and no part of a key."""
    status, code = getattr(failure, "status_code", None), getattr(failure, "provider_error_code", None)
    log.warning(
        "model.failed", model_id=model_id, attempt=number, error=type(failure).__name__, status=status, code=code
    )


def pause(failure: BaseException, number: int) -> float | None:
    """Returns the seconds between attempt `number` and the next one, None if the model is not retried."""
    if number == ATTEMPTS or not isinstance(failure, ModelAPIError) or not is_transient(failure):
        return None
    # Random, so that requests that were refused together do not come back together.
    wait = FIRST_PAUSE_SECONDS * 2 ** (number - 1) * random.uniform(0.5, 1.5)  # noqa: S311
    wait = max(wait, failure.retry_after or 0.0)
    return wait if wait <= MAX_PAUSE_SECONDS else None


def is_transient(failure: ModelAPIError) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(failure, TRANSIENT):
        return True
    if isinstance(failure, ModelHTTPError):
        return failure.status_code in TRANSIENT_STATUSES
    # Without category and status, the answer was interrupted in an unknown way.
    return not isinstance(failure, ModelRequestRejectedError | ModelQuotaExceededError)


def reason(failure: Exception) -> str:
    """Returns the text of the failure that users see."""
    return next((text for kind, text in REASONS if isinstance(failure, kind)), DEFAULT_FAILURE_TEXT)
