"""Subscriptions to the event log: permissions at the moment of delivery, the ends of streams, retention."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, insert, select, update
from sqlmodel import col

from models import ApiKey, Event, EventType, Member, Note, NoteShare, Role, Workspace
from models.base import Record, new_id
from models.note import NoteVisibility
from resolvers import notes
from resolvers.auth import access, credentials
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.viewer import Viewer
from resolvers.events import feed as feeds
from resolvers.events import log as event_log
from resolvers.events import permissions, retention, subscriptions
from resolvers.events.log import publish
from resolvers.events.permissions import BatchedPermissionReader
from tests.resolvers.helpers import OwnWorkspace, change, make_own_workspace, refused, statements, with_limits, write

Stream = AsyncGenerator[Record, None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeds poll often, so that no test waits for it."""
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(feeds, "SILENCE_SECONDS", 0.3)


async def key_of(ctx: Context, workspace_id: UUID) -> Viewer:
    async with ctx.transaction() as tx:
        await credentials.create_key(tx, workspace_id, "test")
        newest = select(col(ApiKey.id)).where(col(ApiKey.workspace_id) == workspace_id)
        key_id = (await tx.execute(newest.order_by(col(ApiKey.created_at).desc()).limit(1))).scalar_one()
        own = select(col(Workspace.user_id)).where(col(Workspace.id) == workspace_id)
        return Viewer((await tx.execute(own)).scalar_one(), workspace_id, Role.ADMIN, key_id)


async def publish_events(ctx: Context, count: int = 1, note_id: UUID | None = None) -> None:
    """Events of a note, by default of a deleted one that every member could read."""
    payload: dict[str, Any] = {} if note_id else {"audience": {"private": False, "users": []}}
    subject = {"workspace_id": ctx.viewer.workspace_id, "note_id": note_id or new_id()}
    async with ctx.transaction() as tx:
        for _ in range(count):
            await publish(tx, None, EventType.NOTE_INDEXED, **subject, **payload)


def feeds_of(ctx: Context) -> dict[UUID, tuple[feeds.EventFeed, asyncio.Task[None]]]:
    assert isinstance(ctx.event_feeds, feeds.ProcessEventFeeds)
    return ctx.event_feeds._feeds


async def last_cursor(ctx: Context) -> str:
    """The cursor of "now"."""
    async with ctx.read() as tx:
        newest = select(Event).where(col(Event.workspace_id) == ctx.viewer.workspace_id).order_by(col(Event.seq).desc())
        return event_log.cursor((await tx.execute(newest.limit(1))).one())


async def next_event(stream: Stream) -> Record | None:
    """The next event; None at the end of the stream."""
    async with asyncio.timeout(20):
        return await anext(stream, None)


@asynccontextmanager
async def ends_with(stream: Stream, code: ErrorCode) -> AsyncIterator[None]:
    async with aclosing(stream):
        waiting = asyncio.create_task(next_event(stream))
        await asyncio.sleep(0)
        yield
        with pytest.raises(Problem) as caught:
            await waiting
        assert caught.value.code is code


async def test_the_rule_for_reading_a_note_is_the_same_in_sql_and_in_python(ctx: Context) -> None:
    """`access.note_readable_by` and `PermissionSnapshot.is_readable`, for every kind of note and of viewer."""
    here, there = await make_own_workspace(ctx), await make_own_workspace(ctx)
    both = await here.member()
    async with ctx.transaction() as tx:
        await credentials.add_member(tx, there.ctx.viewer.workspace_id, both.viewer.user_id, Role.ADMIN)
    people = [
        here.ctx,
        there.ctx,
        both,
        both.for_viewer(replace(both.viewer, workspace_id=there.ctx.viewer.workspace_id)),
    ]
    people += [await here.member(), await here.member(), await there.member()]
    keys = [await key_of(ctx, workspace.ctx.viewer.workspace_id) for workspace in (here, there)]
    viewers = [person.viewer for person in people] + keys
    all_notes = []
    for writer, visibility in itertools.product(people, NoteVisibility):
        all_notes.append(await write(writer, visibility=visibility))
    async with ctx.transaction() as tx:
        for number, note in enumerate(all_notes):
            for person in people[number % 3 :: 3]:
                row = {"note_id": note.id, "workspace_id": note.workspace_id, "user_id": person.viewer.user_id}
                same_share = select(col(NoteShare.id)).where(*(getattr(NoteShare, name) == row[name] for name in row))
                if (await tx.execute(same_share)).one_or_none() is None:
                    await tx.execute(insert(NoteShare).values(id=new_id(), **row))
    ids = [note.id for note in all_notes]
    reader = BatchedPermissionReader(ctx.database)
    snapshots = await asyncio.gather(*(reader.read(viewer, here.ctx.viewer.workspace_id, ids) for viewer in viewers))
    outcomes = set()
    for viewer, snapshot in zip(viewers, snapshots, strict=True):
        async with ctx.read() as tx:
            query = select(col(Note.id), access.note_readable_by(viewer).label("readable")).where(col(Note.id).in_(ids))
            expected = {row.id: row.readable for row in await tx.execute(query)}
        readable = {ident: snapshot.is_readable(viewer, snapshot.note(viewer, ident)) for ident in ids}
        assert readable == expected, viewer
        outcomes |= set(readable.values())
    assert outcomes == {True, False}


async def test_permissions_of_all_subscribers_are_read_at_once(own_workspace: OwnWorkspace) -> None:
    key = await key_of(own_workspace.ctx, own_workspace.ctx.viewer.workspace_id)
    subscribers = [
        own_workspace.ctx,
        own_workspace.ctx.for_viewer(key),
        *[await own_workspace.member() for _ in range(20)],
    ] * 5
    note = await write(own_workspace.ctx)
    streams = [await subscriptions.subscribe_to_workspace(subscriber) for subscriber in subscribers]
    tasks = [asyncio.create_task(next_event(stream)) for stream in streams]
    await asyncio.sleep(0.5)
    with statements(own_workspace.ctx) as executed_sql:
        await publish_events(own_workspace.ctx, note_id=note.id)
        received = await asyncio.gather(*tasks)
    assert {event.note_id for event in received if event} == {note.id}
    permission_reads = [statement for statement in executed_sql if "api_keys" in statement or "members" in statement]
    # Subscribers that were reading something else at that moment may need a second read.
    assert len(permission_reads) <= 2 * 3, permission_reads
    for stream in streams:
        await stream.aclose()
    assert not feeds_of(own_workspace.ctx)


async def test_a_deleted_note_is_the_last_of_its_events(own_workspace: OwnWorkspace) -> None:
    member, note = await own_workspace.member(), await write(own_workspace.ctx)
    async with aclosing(
        await subscriptions.subscribe_to_note(member, note.id, after=await last_cursor(own_workspace.ctx))
    ) as stream:
        await change(own_workspace.ctx, note, title="Changed")
        await notes.delete_note(own_workspace.ctx, note.id)
        received = [(await next_event(stream)) for _ in range(3)]
    assert [event and event.type for event in received] == [EventType.NOTE_UPDATED, EventType.NOTE_DELETED, None]


@pytest.mark.parametrize("with_event", [True, False], ids=["with the next event", "without one"])
async def test_a_stream_ends_when_its_viewer_may_no_longer_read_the_note(
    own_workspace: OwnWorkspace, with_event: bool
) -> None:
    stranger = (await make_own_workspace(own_workspace.ctx)).ctx
    note = await write(own_workspace.ctx)
    member, reader_id = await own_workspace.member(), stranger.viewer.user_id
    await notes.share_note(own_workspace.ctx, note.id, reader_id)
    streams = [(await subscriptions.subscribe_to_note(stranger, note.id), ErrorCode.NOT_FOUND)]
    streams += [(await subscriptions.subscribe_to_note(member, note.id), ErrorCode.FORBIDDEN)]
    async with ends_with(*streams[0]), ends_with(*streams[1]):
        async with own_workspace.ctx.transaction() as tx:
            await tx.execute(delete(NoteShare).where(col(NoteShare.note_id) == note.id))
            private = update(Note).where(col(Note.id) == note.id).values(visibility=NoteVisibility.PRIVATE)
            await tx.execute(private)
        if with_event:
            # Any event of the workspace is enough.
            await publish_events(own_workspace.ctx)


async def test_a_deletion_is_hidden_from_a_viewer_who_lost_the_note_before(own_workspace: OwnWorkspace) -> None:
    """The subscriber is behind: the first event that it reads is of a deleted note."""
    member, note = await own_workspace.member(), await write(own_workspace.ctx)
    after = await last_cursor(own_workspace.ctx)
    stream = await subscriptions.subscribe_to_note(member, note.id, after=after)
    await change(own_workspace.ctx, note, visibility=NoteVisibility.PRIVATE)
    await notes.delete_note(own_workspace.ctx, note.id)
    async with ends_with(stream, ErrorCode.NOT_FOUND):
        pass


@pytest.mark.parametrize("with_event", [True, False], ids=["with the next event", "without one"])
async def test_a_stream_ends_with_the_membership_or_the_key_of_its_viewer(
    own_workspace: OwnWorkspace, with_event: bool
) -> None:
    member, key = await own_workspace.member(), await key_of(own_workspace.ctx, own_workspace.ctx.viewer.workspace_id)
    # Neither subscribes to the type of the next event; the streams end all the same.
    types = [EventType.NOTE_COMPLETED]
    person = await subscriptions.subscribe_to_workspace(member, types=types)
    machine = await subscriptions.subscribe_to_workspace(own_workspace.ctx.for_viewer(key), types=types)
    async with ends_with(person, ErrorCode.FORBIDDEN), ends_with(machine, ErrorCode.UNAUTHENTICATED):
        async with own_workspace.ctx.transaction() as tx:
            await tx.execute(delete(Member).where(col(Member.user_id) == member.viewer.user_id))
            revoked = update(ApiKey).where(col(ApiKey.id) == key.api_key_id)
            await tx.execute(revoked.values(revoked_at=func.now()))
        if with_event:
            await publish_events(own_workspace.ctx)


async def test_permissions_of_a_slow_subscriber_are_read_again_within_a_batch(
    own_workspace: OwnWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "PERMISSIONS_MAX_AGE_SECONDS", 0.0)
    member, note = await own_workspace.member(), await write(own_workspace.ctx)
    async with aclosing(
        await subscriptions.subscribe_to_workspace(member, after=await last_cursor(own_workspace.ctx))
    ) as stream:
        await publish_events(own_workspace.ctx, 5, note_id=note.id)
        assert await next_event(stream)
        async with own_workspace.ctx.transaction() as tx:
            await tx.execute(delete(Member).where(col(Member.user_id) == member.viewer.user_id))
        with pytest.raises(Problem) as caught:
            await next_event(stream)
    assert caught.value.code is ErrorCode.FORBIDDEN


async def test_a_stream_outlives_an_outage_of_the_database(
    own_workspace: OwnWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.core.retry.RETRY_SECONDS", 0.05)
    original, failures = permissions.PermissionQuery.execute, [OSError("away"), RuntimeError("not itself yet")]

    async def failing(self: permissions.PermissionQuery, database: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return await original(self, database)

    monkeypatch.setattr(permissions.PermissionQuery, "execute", failing)
    async with aclosing(await subscriptions.subscribe_to_workspace(own_workspace.ctx)) as stream:
        await publish_events(own_workspace.ctx)
        assert await next_event(stream)
    assert not failures


async def set_age(ctx: Context, days: float, up_to: int, start: int = 1) -> None:
    """Dates the events back, by their numbers in the log."""
    selected = (col(Event.workspace_id) == ctx.viewer.workspace_id, col(Event.seq).between(start, up_to))
    async with ctx.transaction() as tx:
        await tx.execute(update(Event).where(*selected).values(created_at=func.now() - timedelta(days=days)))


async def read_log(ctx: Context) -> tuple[list[int], int]:
    """The numbers of the events in the log, and its `first_seq`."""
    in_workspace = col(Event.workspace_id) == ctx.viewer.workspace_id
    async with ctx.read() as tx:
        numbers = (
            (await tx.execute(select(col(Event.seq)).where(in_workspace).order_by(col(Event.seq)))).scalars().all()
        )
        first = select(col(Workspace.first_seq)).where(col(Workspace.id) == ctx.viewer.workspace_id)
        return list(numbers), (await tx.execute(first)).scalar_one()


async def test_retention_deletes_old_events_from_the_beginning(
    own_workspace: OwnWorkspace, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVENTS_PER_TRANSACTION", 4)
    me, other = with_limits(own_workspace.ctx, event_retention=timedelta(days=2)), (await make_own_workspace(ctx)).ctx
    for each in (me, other):
        await publish_events(each, 10)
    await set_age(me, 3, 6)
    # A young event stays, and so do all events after it, however old.
    await set_age(me, 1.9, 3, start=3)
    while await retention.delete_expired(me):
        pass
    assert await read_log(me) == (list(range(3, 11)), 3)
    await set_age(me, 3, 6)
    while await retention.delete_expired(me):
        pass
    assert await read_log(me) == ([7, 8, 9, 10], 7)
    assert await read_log(other) == (list(range(1, 11)), 1)
    await set_age(me, 3, 10)
    await asyncio.gather(*(retention.delete_expired(me) for _ in range(3)))
    assert await read_log(me) == ([], 11)
    # An empty log continues with the next number.
    async with aclosing(await subscriptions.subscribe_to_workspace(me)) as stream:
        await publish_events(me)
        event = await next_event(stream)
    assert event is not None
    assert event.seq == 11


async def test_a_cursor_older_than_the_log_is_refused(own_workspace: OwnWorkspace) -> None:
    me, note = with_limits(own_workspace.ctx, event_retention=timedelta(days=2)), await write(own_workspace.ctx)
    await publish_events(me, 9)
    async with me.read() as tx:
        log = (await tx.execute(select(Event).where(col(Event.workspace_id) == me.viewer.workspace_id))).all()
    cursors = {event.seq: event_log.cursor(event) for event in log}
    await set_age(me, 3, 5)
    assert await retention.delete_expired(me) == 5
    for seq in (1, 4):
        with refused(ErrorCode.CURSOR_EXPIRED, "after"):
            await subscriptions.subscribe_to_workspace(me, after=cursors[seq])
        with refused(ErrorCode.CURSOR_EXPIRED, "after"):
            await subscriptions.subscribe_to_note(me, note.id, after=cursors[seq])
    # A subscriber that got the last deleted event has missed nothing.
    async with aclosing(await subscriptions.subscribe_to_workspace(me, after=cursors[5])) as stream:
        received = [await next_event(stream) for _ in range(5)]
    assert [event and event.seq for event in received] == [6, 7, 8, 9, 10]


async def test_a_subscriber_behind_the_deleted_events_gets_an_error(
    own_workspace: OwnWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "RING_EVENTS", 5)
    me = with_limits(own_workspace.ctx, event_retention=timedelta(days=2))
    async with (
        aclosing(await subscriptions.subscribe_to_workspace(me)) as slow,
        aclosing(await subscriptions.subscribe_to_workspace(me)) as quick,
    ):
        first = [asyncio.create_task(next_event(stream)) for stream in (slow, quick)]
        await asyncio.sleep(0.1)
        await publish_events(me)
        assert [event and event.seq for event in await asyncio.gather(*first)] == [1, 1]
        await publish_events(me, 30)
        assert [(event := await next_event(quick)) and event.seq for _ in range(30)] == list(range(2, 32))
        await set_age(me, 3, 20)
        assert await retention.delete_expired(me) == 20
        with pytest.raises(Problem) as caught:
            await next_event(slow)
        assert caught.value.code is ErrorCode.CURSOR_EXPIRED


async def test_a_first_subscriber_with_an_old_cursor_delays_no_other(
    own_workspace: OwnWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "BATCH_EVENTS", 2)
    await publish_events(own_workspace.ctx, 50)
    async with own_workspace.ctx.read() as tx:
        oldest = select(Event).where(
            col(Event.workspace_id) == own_workspace.ctx.viewer.workspace_id, col(Event.seq) == 1
        )
        after = event_log.cursor((await tx.execute(oldest)).one())
    async with (
        aclosing(await subscriptions.subscribe_to_workspace(own_workspace.ctx, after=after)) as old,
        aclosing(await subscriptions.subscribe_to_workspace(own_workspace.ctx)) as new,
    ):
        assert [(event := await next_event(old)) and event.seq for _ in range(3)] == [2, 3, 4]
        feed, _ = feeds_of(own_workspace.ctx)[own_workspace.ctx.viewer.workspace_id]
        # The ring buffer does not hold events for it.
        assert (feed.last, len(feed.ring)) == (50, 0)
        waiting = asyncio.create_task(next_event(new))
        await asyncio.sleep(0.1)
        await publish_events(own_workspace.ctx)
        assert [(event := await waiting) and event.seq] == [51]
        assert [(event := await next_event(old)) and event.seq for _ in range(47)] == list(range(5, 52))
