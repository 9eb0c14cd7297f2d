"""Asking again, and asking another model, as long as nobody has heard a word of the answer."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
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

from resolvers.core.ports.agents import DEFAULT_FAILURE_TEXT, ReplyFailed

log = structlog.get_logger()

ATTEMPTS = 3
"""How often one model is asked at most."""
FIRST_PAUSE = 0.5
"""Seconds before the second attempt, by half more or less; each further pause is twice as long."""
LONGEST_PAUSE = 5.0
"""Seconds. A provider that wants to be left alone for longer is not waited for."""
PATIENCE = 30.0
"""Seconds after which a model that has not begun to answer is not asked again."""

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

T = TypeVar("T")


async def attempted(chain: Sequence[str], silent: Callable[[], bool], attempt: Callable[[str], Awaitable[T]]) -> T:
    """Returns what `attempt(model_id)` does for the first model of `chain` that answers.

    What may pass is tried again after a pause; then, and at once after a refusal, the next model is asked. Once
    something was told (`silent()` is false) nothing is tried again. Raises AnswerFailed; what is no failure of a model
    passes through.
    """
    failure: Exception | None = None
    clock = asyncio.get_running_loop().time
    for model_id in chain:
        until = clock() + PATIENCE
        for number in range(1, ATTEMPTS + 1):
            try:
                return await attempt(model_id)
            except (ModelAPIError, UnexpectedModelBehavior, UsageLimitExceeded) as error:
                failure = error
            note(model_id, number, failure)
            # Another model would take as many steps.
            if not silent() or isinstance(failure, UsageLimitExceeded):
                raise ReplyFailed(reason(failure)) from failure
            wait = pause(failure, number)
            if wait is None or clock() + wait > until:
                break
            await asyncio.sleep(wait)
    raise ReplyFailed(DEFAULT_FAILURE_TEXT if failure is None else reason(failure)) from failure


def note(model_id: str, number: int, failure: Exception) -> None:
    """Only what is known to hold no one's text and no part of a key."""
    status, code = getattr(failure, "status_code", None), getattr(failure, "provider_error_code", None)
    log.warning(
        "model.failed", model_id=model_id, attempt=number, error=type(failure).__name__, status=status, code=code
    )


def pause(failure: Exception, number: int) -> float | None:
    """Seconds after attempt `number` until the same model is asked again; None when it is not."""
    if number == ATTEMPTS or not isinstance(failure, ModelAPIError) or not is_transient(failure):
        return None
    # By chance, so that those who were refused together do not come back together.
    wait = FIRST_PAUSE * 2 ** (number - 1) * random.uniform(0.5, 1.5)  # noqa: S311
    wait = max(wait, failure.retry_after or 0.0)
    return wait if wait <= LONGEST_PAUSE else None


def is_transient(failure: ModelAPIError) -> bool:
    if isinstance(failure, TRANSIENT):
        return True
    if isinstance(failure, ModelHTTPError):
        return failure.status_code in TRANSIENT_STATUSES
    # An answer that broke off in an unknown way: no category, and no status.
    return not isinstance(failure, ModelRequestRejectedError | ModelQuotaExceededError)


def reason(failure: Exception) -> str:
    return next((text for kind, text in REASONS if isinstance(failure, kind)), DEFAULT_FAILURE_TEXT)
