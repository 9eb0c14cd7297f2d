"""A model that fails before its first word: it is asked again, then another is; the message names who answered."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import Services, Tenant
from tests.faults.helpers import Asked, ask, follow, one_ending, text
from tests.support.llm import MODEL, Script
from tests.support.servers import RunningServer, running_server

OTHER = "another"
MODELS = "query($c: ID!) { conversation(id: $c) { messages(last: 5) { nodes { id model { id name } } } } }"


@pytest.fixture(scope="module")
def chained(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that offers another model of the same provider, and asks it in the place of the first."""
    folder = tmp_path_factory.mktemp("chained")
    card = {"id": OTHER, "name": "Another", "provider": "Us", "gateway": "openai-compatible", "context_window": 8000}
    (folder / "models.json").write_text(json.dumps([card]))
    more = {"llm_fallbacks": OTHER, "llm_silence": "1", "models_file": str(folder / "models.json")}
    with running_server(**services.settings, **more) as served:
        yield served


async def answered(tenant: Tenant, chained: RunningServer, question: str) -> tuple[Asked, list[dict[str, Any]]]:
    started = await ask(await tenant.user(server=chained), question)
    return started, await follow(started)


async def model_of(started: Asked) -> Any:
    nodes = (await started.caller.data(MODELS, c=started.conversation))["conversation"]["messages"]["nodes"]
    return next(node["model"] for node in nodes if node["id"] == started.reply)


def requested_models(services: Services, question: str) -> list[str]:
    """Who was asked for the answer; a title is asked for later."""
    return [body["model"] for body in services.llm.requests_with(question) if "Task: title" not in json.dumps(body)]


async def test_a_busy_model_is_retried(tenant: Tenant, chained: RunningServer, services: Services) -> None:
    services.llm.on("busy at first", Script(["Here ", "I am."], status=429, retry_after="0", times=2))
    started, events = await answered(tenant, chained, "busy at first")
    assert one_ending(events)["__typename"] == "ReplyDone"
    assert text(events) == "Here I am."
    assert requested_models(services, "busy at first") == [MODEL] * 3
    assert (await model_of(started))["id"] == MODEL


async def test_the_message_names_the_fallback_that_answered(
    tenant: Tenant, chained: RunningServer, services: Services, database: AsyncEngine
) -> None:
    services.llm.on("refused by one", Script(["At ", "your service."], status=401, models=[MODEL]))
    started, events = await answered(tenant, chained, "refused by one")
    assert one_ending(events)["__typename"] == "ReplyDone"
    assert requested_models(services, "refused by one") == [MODEL, OTHER]
    assert await model_of(started) == {"id": OTHER, "name": "Another"}
    async with database.connect() as connection:
        query = sql("SELECT model_id, usage->>'requests' FROM messages WHERE id = :id")
        assert tuple((await connection.execute(query, {"id": started.reply})).one()) == (OTHER, "1")


async def test_a_reply_fails_if_no_model_answers(tenant: Tenant, chained: RunningServer, services: Services) -> None:
    services.llm.on("refused by all", Script(status=401))
    started, [failed] = await answered(tenant, chained, "refused by all")
    assert (failed["__typename"], failed["reason"]) == ("ReplyFailed", "The model refused this request.")
    assert requested_models(services, "refused by all") == [MODEL, OTHER]
    assert (await started.stored())["state"] == "FAILED"


async def test_nothing_is_retried_once_text_was_published(
    tenant: Tenant, chained: RunningServer, services: Services
) -> None:
    services.llm.on("break after one", Script(["A part ", "never said"], break_after=1))
    started, events = await answered(tenant, chained, "break after one")
    failed = one_ending(events)
    assert failed["reason"] == "The model could not be reached. Please try again."
    assert (await started.stored())["content"] == text(events) == "A part "
    assert requested_models(services, "break after one") == [MODEL]


async def test_a_silent_model_counts_as_unreachable(tenant: Tenant, chained: RunningServer, services: Services) -> None:
    services.llm.on("say nothing more", Script(["A part ", "never said"], stall_after=1))
    started, events = await answered(tenant, chained, "say nothing more")
    assert one_ending(events)["reason"] == "The model could not be reached. Please try again."
    assert (await started.stored())["content"] == "A part "


async def test_a_reply_between_two_attempts_can_be_cancelled(
    tenant: Tenant, chained: RunningServer, services: Services
) -> None:
    services.llm.on("come back later", Script(status=429, retry_after="5"))
    started = await ask(await tenant.user(server=chained), "come back later")
    async with asyncio.timeout(30):
        while not services.llm.requests_with("come back later"):
            await asyncio.sleep(0.02)
    await started.caller.data("mutation($id: ID!) { cancelReply(messageId: $id) { state } }", id=started.reply)
    [ended] = await follow(started)
    assert ended["reason"] == "The reply was cancelled."
    assert requested_models(services, "come back later") == [MODEL]
