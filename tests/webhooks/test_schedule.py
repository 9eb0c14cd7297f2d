"""When what arrives, under a clock that the test moves: retries, order, rates, endpoints that are given up."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, text
from sqlmodel import col

from models import Event, EventType, Plan, WebhookPost
from models.base import new_id
from models.webhook import DeliveryStatus
from resolvers.core.context import Context
from resolvers.core.limits import DELIVERIES_PER_MINUTE
from resolvers.core.ports.webhook_client import EndpointResponse
from resolvers.webhooks import backoff, deliveries, endpoints, outcomes
from resolvers.webhooks.backoff import JITTER, MAX_ATTEMPTS, RETRY_WAITS
from resolvers.webhooks.drafts import WebhookChange, WebhookDraft
from resolvers.webhooks.queue import LEASE, MAX_POSTS_PER_ENDPOINT, MAX_POSTS_PER_WORKSPACE, ActivePosts, claim
from resolvers.webhooks.sender import MAX_POSTS_PER_WORKER, Sender
from tests.support.receiver import Receiver, answer, reset, silence
from tests.webhooks.helpers import (
    Clock,
    admin,
    change,
    deliver,
    drop,
    endpoint,
    hook,
    row,
    rows,
    work,
    work_until,
    workspace,
)

HOUR = timedelta(hours=1)
MINUTE = timedelta(seconds=60)


def watch(receiver: Receiver, clock: Clock) -> list[tuple[datetime, int]]:
    """When each post came, and which it was."""
    seen: list[tuple[datetime, int]] = []
    receiver.on_post = lambda post: seen.append((clock.now, post.json["payload"]["place"]))
    return seen


def bounds(attempt: int) -> tuple[timedelta, timedelta]:
    """Between which the attempt of that number comes, after the first."""
    waits = sum(RETRY_WAITS[: attempt - 1], timedelta())
    return waits * (1 - JITTER), waits * (1 + JITTER)


def test_the_waits() -> None:
    assert MAX_ATTEMPTS >= 8
    assert timedelta(hours=20) < sum(RETRY_WAITS, timedelta()) < timedelta(hours=28)
    for attempt, usual in enumerate(RETRY_WAITS, 1):
        waits = [backoff.next_wait(attempt) for _ in range(200)]
        assert all(wait and usual * (1 - JITTER) <= wait <= usual * (1 + JITTER) for wait in waits)
        assert len(set(waits)) > 1
    assert backoff.next_wait(MAX_ATTEMPTS) is None
    assert backoff.next_wait(MAX_ATTEMPTS, HOUR) is None


async def test_down_for_an_hour(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    """Nobody listens for an hour. Each delivery is tried six times meanwhile, and arrives once, with the next."""
    await receiver.stop()
    start, to, note_id = clock.now, await hook(ctx, receiver.url), new_id()
    ids = await deliver(ctx, to, 3, note_id)
    await work_until(ctx, clock, start + HOUR)
    for ident in ids:
        tried = await row(ctx, ident)
        assert (tried.status, tried.error) == (DeliveryStatus.PENDING, "No connection could be made.")
        # Of all six the waits add up to at most 51 minutes; the seventh comes after 82 at the least.
        assert tried.attempts == 6
    seen = watch(receiver, clock)
    await receiver.start()
    await work_until(ctx, clock, start + timedelta(days=2))
    assert sorted(position for _, position in seen) == [0, 1, 2]
    # The later ones wait for the first attempt at the first, which takes no time here.
    earliest, latest = bounds(7)
    assert all(earliest <= moment - start <= latest for moment, _ in seen)
    done = [await row(ctx, ident) for ident in ids]
    assert [(one.status, one.attempts, one.error) for one in done] == [(DeliveryStatus.DELIVERED, 7, None)] * 3
    assert (await endpoint(ctx, to)).failing_since is None


async def test_down_for_good(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    """Eleven attempts in about a day, each in its time, and then no more. The endpoint is not given up so soon."""
    receiver.will(answer(500))
    seen, start, to = watch(receiver, clock), clock.now, await hook(ctx, receiver.url)
    [ident] = await deliver(ctx, to)
    await work_until(ctx, clock, start + timedelta(days=2))
    assert len(seen) == MAX_ATTEMPTS
    for attempt, (moment, _) in enumerate(seen, 1):
        earliest, latest = bounds(attempt)
        assert earliest <= moment - start <= latest, attempt
    over = await row(ctx, ident)
    assert (over.status, over.due_at, over.delivered_at) == (DeliveryStatus.FAILED, None, None)
    assert (over.attempts, over.error) == (MAX_ATTEMPTS, "The endpoint answered 500.")
    assert (await endpoint(ctx, to)).is_active


async def test_410_disables_the_endpoint(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    receiver.will(answer(410))
    to = await hook(ctx, receiver.url)
    first, second = (await deliver(ctx, to, note_id=new_id()))[0], (await deliver(ctx, to, due_at=clock.now + HOUR))[0]
    await work(ctx)
    off = await endpoint(ctx, to)
    assert (off.is_active, off.disabled_reason) == (False, "The endpoint answered 410 Gone.")
    for ident, error in ((first, "The endpoint answered 410."), (second, off.disabled_reason)):
        over = await row(ctx, ident)
        assert (over.status, over.due_at, over.error) == (DeliveryStatus.FAILED, None, error)
    assert await published_events(ctx, to.workspace_id) == [(EventType.WEBHOOK_DISABLED, {"webhook": str(to.id)})]
    await work_until(ctx, clock, clock.now + timedelta(days=2))
    assert len(receiver.received) == 1


async def test_days_of_nothing_but_failures(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    receiver.will(answer(503))
    start, to = clock.now, await hook(ctx, receiver.url)
    for _ in range(5):
        await deliver(ctx, to, seq=None)
        await work_until(ctx, clock, clock.now + timedelta(hours=16))
    # The attempts at the last of them, however their jitter falls.
    await work_until(ctx, clock, clock.now + timedelta(hours=24))
    off = await endpoint(ctx, to)
    assert (off.is_active, off.failing_since) == (False, start)
    assert off.disabled_reason == "Every delivery has failed for 3 days. The last time: The endpoint answered 503."
    assert {one.status for one in await rows(ctx, to)} == {DeliveryStatus.FAILED}
    assert len(await published_events(ctx, to.workspace_id)) == 1


async def test_one_success_in_days_keeps_an_endpoint(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    to = await hook(ctx, receiver.url)
    for number in range(6):
        receiver.will(answer(200) if number == 2 else answer(503))
        await deliver(ctx, to, seq=None)
        await work_until(ctx, clock, clock.now + timedelta(hours=12))
    assert (await endpoint(ctx, to)).is_active
    assert await published_events(ctx, to.workspace_id) == []


async def test_the_order_of_a_note(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    """Never two posts of one note together, while other notes do not wait."""
    seen, to = watch(receiver, clock), await hook(ctx, receiver.url)
    await deliver(ctx, to, 20, new_id())
    await work(ctx)
    assert [position for _, position in seen] == list(range(20))
    assert receiver.at_once == 1
    receiver.gate.clear()
    notes = [new_id() for _ in range(3)]
    for note_id in notes:
        await deliver(ctx, to, 2, note_id)
    working = asyncio.create_task(work(ctx))
    async with asyncio.timeout(30):
        while receiver.open < 3:
            await asyncio.sleep(0.01)
    receiver.gate.set()
    await working
    assert [position for _, position in seen[20:]] == [0, 0, 0, 1, 1, 1]
    assert receiver.at_once == 3


async def test_one_that_failed_keeps_nobody_waiting(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    receiver.will(reset, answer())
    seen, to = watch(receiver, clock), await hook(ctx, receiver.url)
    await deliver(ctx, to, 3, new_id())
    await work_until(ctx, clock, clock.now + HOUR)
    assert [position for _, position in seen] == [0, 1, 2, 0]


async def test_how_many_at_once(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    """Four to one endpoint, 64 in all, by one worker."""
    receiver.gate.clear()
    places = [await workspace(ctx) for _ in range(5)]
    hooks = [await hook(ctx, receiver.url, workspace_id) for workspace_id in places for _ in range(4)]
    for to in hooks:
        await deliver(ctx, to, 5)
    async with asyncio.TaskGroup() as posts:
        sender = Sender(ctx, posts, lambda: None)
        while await sender.send():
            pass
        async with asyncio.timeout(20):
            while receiver.open < MAX_POSTS_PER_WORKER:
                await asyncio.sleep(0.01)
        assert await sender.send() == 0
        assert receiver.open == MAX_POSTS_PER_WORKER
        taken = [sum(one.attempts for one in await rows(ctx, to)) for to in hooks]
        assert (sum(taken), max(taken)) == (MAX_POSTS_PER_WORKER, MAX_POSTS_PER_ENDPOINT)
        receiver.gate.set()
    await work_until(ctx, clock, clock.now + HOUR)
    assert len(receiver.received) == 100
    assert receiver.at_once == MAX_POSTS_PER_WORKER


async def test_a_workspace_of_slow_endpoints_leaves_room_for_others(ctx: Context, clock: Clock) -> None:
    position, other = await workspace(ctx), await hook(ctx, "https://x.example/")
    for _ in range(5):
        await deliver(ctx, await hook(ctx, "https://x.example/", position), 5)
    await deliver(ctx, other)
    busy, taken = ActivePosts(), []
    for _ in range(2):
        taken.append((await claim(ctx, 64, busy)).jobs)
        for job in taken[-1]:
            busy.begin(job)
    first, second = taken
    assert Counter(job.workspace_id for job in first) == {position: MAX_POSTS_PER_WORKSPACE, other.workspace_id: 1}
    assert second == ()
    busy.end(next(job for job in first if job.workspace_id == position))
    [again] = (await claim(ctx, 64, busy)).jobs
    assert again.workspace_id == position


async def test_a_slow_endpoint_leaves_room_for_others(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    slow = Receiver([silence])
    await slow.start()
    to, other = await hook(ctx, slow.url), await hook(ctx, receiver.url)
    await deliver(ctx, to, 90)
    await deliver(ctx, other, 3, due_at=clock.now)
    async with asyncio.TaskGroup() as posts:
        sender = Sender(ctx, posts, lambda: None)
        while await sender.send():
            pass
        async with asyncio.timeout(30):
            while len(receiver.received) < 3:
                await asyncio.sleep(0.01)
        assert len(slow.received) <= MAX_POSTS_PER_ENDPOINT
    await slow.stop()


@pytest.mark.parametrize("plan", [Plan.FREE, Plan.PRO])
async def test_the_rate_of_a_workspace(ctx: Context, clock: Clock, receiver: Receiver, plan: Plan) -> None:
    """All of them arrive, and in no 60 seconds more than the plan has, over all of its endpoints together."""
    seen, start, allowed = watch(receiver, clock), clock.now, DELIVERIES_PER_MINUTE[plan]
    to = await hook(ctx, receiver.url, plan=plan)
    also = await hook(ctx, receiver.url, to.workspace_id)
    elsewhere = await hook(ctx, receiver.url)
    await deliver(ctx, to, 2 * allowed)
    await deliver(ctx, also, allowed)
    await deliver(ctx, elsewhere, 1)
    await work(ctx)
    assert len(seen) == allowed + 1
    await work_until(ctx, clock, start + HOUR)
    moments = [moment for moment, _ in seen]
    assert len(moments) == 3 * allowed + 1
    for first, last in zip(moments[1:], moments[1 + allowed :], strict=False):
        assert last - first >= MINUTE
    # As fast as the rate is, that is two minutes for what exceeds the first.
    assert moments[-1] - start < 3 * MINUTE


async def test_retries_count_as_well(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    receiver.will(answer(500))
    seen, start, allowed = watch(receiver, clock), clock.now, DELIVERIES_PER_MINUTE[Plan.FREE]
    await deliver(ctx, await hook(ctx, receiver.url, plan=Plan.FREE), allowed // 2)
    await work_until(ctx, clock, start + HOUR)
    moments = [moment for moment, _ in seen]
    assert len(moments) > 2 * allowed
    for first, last in zip(moments, moments[allowed:], strict=False):
        assert last - first >= MINUTE


async def test_redeliveries_count_as_well(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    allowed = DELIVERIES_PER_MINUTE[Plan.FREE]
    to = await hook(ctx, receiver.url, plan=Plan.FREE)
    here = await admin(ctx, to.workspace_id)
    [ident] = await deliver(ctx, to)
    for _ in range(allowed + 10):
        await work(ctx)
        await deliveries.redeliver(here, ident)
    await work(ctx)
    assert len(receiver.received) == allowed
    clock.now += MINUTE
    await outcomes.clean_up(ctx)
    await work(ctx)
    assert len(receiver.received) == allowed + 1


async def test_deleted_endpoints_count_as_well(ctx: Context, receiver: Receiver) -> None:
    allowed, position = DELIVERIES_PER_MINUTE[Plan.FREE], await workspace(ctx, Plan.FREE)
    here = await admin(ctx, position)
    for _ in range(allowed + 10):
        webhook, _ = await endpoints.create(here, WebhookDraft(url=receiver.url, events=["test"]))
        await work(ctx)
        await endpoints.delete(here, webhook.id)
    assert len(receiver.received) == allowed


async def test_only_the_posts_of_the_last_minute_are_stored(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    to = await hook(ctx, receiver.url)
    query = select(func.count()).where(col(WebhookPost.workspace_id) == to.workspace_id)
    for left in (1, 1, 0):
        if left:
            await deliver(ctx, to)
            await work(ctx)
        clock.now += MINUTE / 2
        await outcomes.clean_up(ctx)
        async with ctx.read() as tx:
            assert (await tx.execute(query)).scalar_one() == left


async def test_who_waits_to_claim_reads_the_clock_then(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    await deliver(ctx, await hook(ctx, receiver.url))
    async with ctx.transaction() as tx:
        await tx.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('deliveries', 0))"))
        claiming = asyncio.create_task(claim(ctx, 64, ActivePosts()))
        waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        async with asyncio.timeout(30):
            while not (await tx.execute(waits)).scalar_one():
                await asyncio.sleep(0.01)
        clock.forward(seconds=30)
    [job] = (await claiming).jobs
    assert job.attempted_at == clock.now


async def test_a_long_queue_of_one_workspace_keeps_no_other_waiting(
    ctx: Context, clock: Clock, receiver: Receiver
) -> None:
    seen, to, other = (
        watch(receiver, clock),
        await hook(ctx, receiver.url, plan=Plan.FREE),
        await hook(ctx, receiver.url),
    )
    await deliver(ctx, to, 1_500)
    await deliver(ctx, other, 1, due_at=clock.now)
    await work(ctx)
    assert len(seen) == DELIVERIES_PER_MINUTE[Plan.FREE] + 1


async def test_a_paused_endpoint(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    """What is due waits for it, up to a day."""
    to = await hook(ctx, receiver.url)
    [soon] = await deliver(ctx, to)
    await change(ctx, to, is_active=False)
    await work(ctx)
    clock.forward(hours=23)
    await outcomes.clean_up(ctx)
    assert receiver.received == []
    await change(ctx, to, is_active=True)
    await work(ctx)
    assert (await row(ctx, soon)).status is DeliveryStatus.DELIVERED
    [late] = await deliver(ctx, to)
    await change(ctx, to, is_active=False)
    clock.forward(hours=25)
    await outcomes.clean_up(ctx)
    over = await row(ctx, late)
    assert (over.status, over.due_at, over.error) == (DeliveryStatus.FAILED, None, "The endpoint was not active.")
    assert len(receiver.received) == 1


async def test_the_log_forgets(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    to = await hook(ctx, receiver.url)
    await deliver(ctx, to, 2)
    await work(ctx)
    await deliver(ctx, to, due_at=clock.now + timedelta(days=60))
    clock.forward(days=29)
    assert await outcomes.clean_up(ctx) == 0
    clock.forward(days=2)
    assert await outcomes.clean_up(ctx) == 2
    assert [one.status for one in await rows(ctx, to)] == [DeliveryStatus.PENDING]


async def test_a_lost_worker(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    """What it had taken is taken by another once the lease is over, and whatever it says then is not heard."""
    to, note_id = await hook(ctx, receiver.url), new_id()
    first, second = await deliver(ctx, to, 2, note_id)
    [job] = (await claim(ctx, 64, ActivePosts())).jobs
    assert job.id == first
    clock.now += LEASE - timedelta(seconds=1)
    await work(ctx)
    # The second waits for the first, of which nobody knows.
    assert receiver.received == []
    clock.now += timedelta(seconds=1)
    await work(ctx)
    assert [post.json["payload"]["place"] for post in receiver.received] == [0, 1]
    assert [(await row(ctx, ident)).attempts for ident in (first, second)] == [2, 1]
    await outcomes.record_outcome(ctx, job, outcomes.Outcome(error="It woke up."))
    assert (await row(ctx, first)).status is DeliveryStatus.DELIVERED


async def test_the_outcome_of_an_attempt_before_a_redelivery_is_ignored(ctx: Context, clock: Clock) -> None:
    to = await hook(ctx, "https://x.example/")
    [ident] = await deliver(ctx, to)
    [before] = (await claim(ctx, 64, ActivePosts())).jobs
    await deliveries.redeliver(await admin(ctx, to.workspace_id), ident)
    clock.forward(seconds=1)
    [now] = (await claim(ctx, 64, ActivePosts())).jobs
    assert before.attempts == now.attempts
    await outcomes.record_outcome(ctx, before, outcomes.Outcome())
    assert (await row(ctx, ident)).status is DeliveryStatus.PENDING
    await outcomes.record_outcome(ctx, now, outcomes.Outcome())
    assert (await row(ctx, ident)).status is DeliveryStatus.DELIVERED


@pytest.mark.parametrize("answered", [None, 410])
async def test_failures_at_an_address_that_was_left(ctx: Context, clock: Clock, answered: int | None) -> None:
    """They are none of the new one's, be they before the change or end after it."""
    to = await hook(ctx, "https://old.example/")
    [ident] = await deliver(ctx, to)
    since = clock.now - backoff.DISABLE_AFTER
    await change(ctx, to, failing_since=since)
    [job] = (await claim(ctx, 64, ActivePosts())).jobs
    here = await admin(ctx, to.workspace_id)
    await endpoints.update(here, to.id, WebhookChange(url="https://old.example/", label="x"))
    assert (await endpoint(ctx, to)).failing_since == since
    await endpoints.update(here, to.id, WebhookChange(url="https://new.example/"))
    assert (await endpoint(ctx, to)).failing_since is None
    answer = EndpointResponse(answered, {}, "") if answered else None
    await outcomes.record_outcome(ctx, job, outcomes.Outcome(response=answer, error="It is gone."))
    after, delivery = await endpoint(ctx, to), await row(ctx, ident)
    assert (after.failing_since, after.is_active) == (None, True)
    assert (delivery.status, delivery.error) == (DeliveryStatus.PENDING, "It is gone.")


async def test_claims_read_no_bodies(ctx: Context) -> None:
    await deliver(ctx, await hook(ctx, "https://x.example/"))
    [job] = (await claim(ctx, 64, ActivePosts())).jobs
    assert "body" not in job._fields


async def test_what_was_due_long_ago_waits_for_an_endpoint_that_was_just_switched_off(
    ctx: Context, clock: Clock
) -> None:
    to = await hook(ctx, "https://x.example/")
    [ident] = await deliver(ctx, to, due_at=clock.now - timedelta(days=2))
    await change(ctx, to, is_active=False)
    await outcomes.clean_up(ctx)
    assert (await row(ctx, ident)).status is DeliveryStatus.PENDING
    clock.now += backoff.MAX_PAUSE
    await outcomes.clean_up(ctx)
    assert (await row(ctx, ident)).status is DeliveryStatus.PENDING
    clock.forward(seconds=1)
    await outcomes.clean_up(ctx)
    assert (await row(ctx, ident)).status is DeliveryStatus.FAILED


async def test_workers_that_are_lost_each_time(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    """The last attempt is as many as there are, and then it is over."""
    to, note_id = await hook(ctx, receiver.url), new_id()
    [lost], [later] = await deliver(ctx, to, 1, note_id), await deliver(ctx, to, 1, note_id, seq=2)
    for _ in range(MAX_ATTEMPTS):
        assert [job.id for job in (await claim(ctx, 64, ActivePosts())).jobs] == [lost]
        await outcomes.clean_up(ctx)
        assert (await row(ctx, lost)).status is DeliveryStatus.PENDING
        clock.now += LEASE
    assert (await claim(ctx, 64, ActivePosts())).jobs == ()
    await outcomes.clean_up(ctx)
    over = await row(ctx, lost)
    assert (over.status, over.due_at, over.attempts) == (DeliveryStatus.FAILED, None, MAX_ATTEMPTS)
    assert over.error == "The server was lost during the last attempt."
    await work(ctx)
    assert (await row(ctx, later)).status is DeliveryStatus.DELIVERED


async def test_workers_share(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    """Four of them at the same rows: each delivery is posted once, and the rate is that of all together."""
    to = await hook(ctx, receiver.url, plan=Plan.PRO)
    await deliver(ctx, to, 60)
    await asyncio.gather(*(work(ctx) for _ in range(4)))
    assert len({post.headers["webhook-id"] for post in receiver.received}) == len(receiver.received)
    assert len(receiver.received) == DELIVERIES_PER_MINUTE[Plan.PRO]


async def test_deleted_while_it_is_posted(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    receiver.will(answer(500))
    receiver.gate.clear()
    to = await hook(ctx, receiver.url)
    await deliver(ctx, to)
    working = asyncio.create_task(work(ctx))
    async with asyncio.timeout(30):
        while not receiver.open:
            await asyncio.sleep(0.01)
    await drop(ctx, to)
    receiver.gate.set()
    await working
    assert await rows(ctx, to) == []


async def published_events(ctx: Context, workspace_id: object) -> list[tuple[EventType, object]]:
    query = select(col(Event.type), col(Event.payload)).where(col(Event.workspace_id) == workspace_id)
    async with ctx.read() as tx:
        return [(event.type, event.payload) for event in await tx.execute(query)]
