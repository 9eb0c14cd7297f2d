"""The numbers in the text of docs/*.md are those in the code. docs/limits.md and docs/settings.md are generated."""

from graphql import parse

from caret.adapters import webhook_client
from caret.settings import Settings
from caret.wiring import limits_of
from models.limits import DECLARED
from resolvers.agents import retries
from resolvers.core.limits import DELIVERIES_PER_MINUTE
from resolvers.core.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from resolvers.events.feed import SILENCE_SECONDS
from resolvers.webhooks import backoff
from resolvers.webhooks.queue import MAX_POSTS_PER_ENDPOINT, MAX_POSTS_PER_WORKSPACE
from schema import schema
from schema.execution.cost import cost
from streaming.response import KEEP_ALIVE_SECONDS
from tests.docs.pages import ROOT


def text_of(page: str) -> str:
    """The text of a page on one line, so that its line breaks do not matter."""
    return " ".join((ROOT / "docs" / page).read_text().split())


def test_the_plans_and_the_prices_of_operations_are_the_ones_in_force() -> None:
    lines = (ROOT / "docs" / "rate-limits.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    plans = {row[0]: row[1] for row in rows}
    points = limits_of(Settings()).points_per_minute
    assert {plan.value: plans[plan.value] for plan in points} == {plan.value: str(points[plan]) for plan in points}
    prices = {row[0].strip("`"): int(row[1]) for row in rows if row[0].startswith("`{")}
    assert len(prices) == 2
    assert {document: cost(schema._schema, parse(document)) for document in prices} == prices


def test_the_times_of_streams_are_the_ones_in_force() -> None:
    live = text_of("live.md")
    assert f"without an event within {SILENCE_SECONDS:.0f} seconds" in live
    assert f"repeated every {KEEP_ALIVE_SECONDS:.0f} seconds" in live
    assert f"keeps events for {limits_of(Settings()).event_retention.days} days" in live
    assert f"after {KEEP_ALIVE_SECONDS:.0f} seconds without an event" in text_of("graphql.md")


def test_the_times_and_rates_of_webhooks_are_the_ones_in_force() -> None:
    webhooks = text_of("webhooks.md")
    free, pro, enterprise = DELIVERIES_PER_MINUTE.values()
    assert f"{free} (free), {pro} (pro) or {enterprise} (enterprise) posts in 60 seconds" in webhooks
    assert f"at most {MAX_POSTS_PER_ENDPOINT} at a time to one webhook and {MAX_POSTS_PER_WORKSPACE} of one" in webhooks
    assert f"Any 2xx within {webhook_client.RESPONSE_TIMEOUT_SECONDS:.0f} seconds" in webhooks
    waits = [wait.total_seconds() for wait in backoff.RETRY_WAITS]
    units = [(3600, "h"), (60, "min"), (1, "s")]
    named = [next(f"{wait / size:.0f} {unit}" for size, unit in units if wait >= size) for wait in waits]
    assert f"after {', '.join(named[:-1])} and {named[-1]}" in webhooks
    assert backoff.MAX_ATTEMPTS == 11
    assert "eleven attempts in about a day" in webhooks
    assert f"makes the wait longer, up to {backoff.MAX_RETRY_AFTER_HOURS} hours" in webhooks


def test_the_attempts_at_a_model_are_the_ones_in_force() -> None:
    agents = text_of("agents.md")
    assert f"It makes {retries.ATTEMPTS} attempts in all, {retries.FIRST_PAUSE_SECONDS} s" in agents
    assert (
        f"asks for more than {retries.MAX_PAUSE_SECONDS:.0f} s, and where {retries.MAX_RETRY_SECONDS:.0f} s" in agents
    )


def test_the_sizes_of_pages_are_the_ones_in_force() -> None:
    assert f"`limit` (1 to {MAX_PAGE_SIZE}, default {DEFAULT_PAGE_SIZE})" in text_of("rest.md")
    assert f"`first` and `last` are 1 to {MAX_PAGE_SIZE}, and {DEFAULT_PAGE_SIZE} where" in text_of("graphql.md")


def test_every_declared_limit_is_in_the_generated_page() -> None:
    page = (ROOT / "docs" / "limits.md").read_text()
    assert [one.subject for one in DECLARED if f"| {one.subject} |" not in page] == []
