"""A background job goes on after every failure: quietly during an outage, loudly after a bug."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from caret.worker import Job, run_repeatedly, seconds_after_bug
from resolvers.core.failures import FAILURES


async def failing(monkeypatch: pytest.MonkeyPatch, failures: Sequence[Exception | None]) -> list[float]:
    """Runs a job whose work fails like this, one attempt after the other; returns its waits in seconds."""
    waits: list[float] = []
    attempts = iter(failures)

    async def work() -> int:
        failure = next(attempts, asyncio.CancelledError())
        if failure is not None:
            raise failure
        return 1

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("caret.worker.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await run_repeatedly(Job("of the test", work, 2.0))
    return waits


async def test_a_bug_is_logged_with_its_traceback_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    before, bug = FAILURES["job.failed"], ValueError("a bug")
    with capture_logs() as lines:
        await failing(monkeypatch, [bug, bug])
    assert [(line["event"], line["job"], line["log_level"]) for line in lines] == [
        ("job.failed", "of the test", "error")
    ] * 2
    assert [line["exc_info"] for line in lines] == [bug, bug]
    assert [line["count"] for line in lines] == [before + 1, before + 2]


async def test_the_waits_after_bugs_grow_until_the_job_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bug = ValueError("a bug")
    assert await failing(monkeypatch, [bug, bug, bug, None, bug]) == [2.0, 4.0, 8.0, 2.0]
    assert seconds_after_bug(Job("", lambda: asyncio.sleep(0, 0), 2.0), 100) == 60.0
    assert seconds_after_bug(Job("", lambda: asyncio.sleep(0, 0), 600.0), 100) == 600.0


async def test_an_outage_is_one_line_and_tried_again_after_the_usual_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as lines:
        waits = await failing(monkeypatch, [ConnectionRefusedError("away"), TimeoutError("away")])
    assert waits == [2.0, 2.0]
    assert [(line["log_level"], "exc_info" in line) for line in lines] == [("warning", False)] * 2
