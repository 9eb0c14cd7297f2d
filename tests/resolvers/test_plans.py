"""How Postgres runs each list of many notes: by an index, never by reading a whole table."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from caret.adapters.postgres import create_engine
from models.conversation import SuggestionStatus
from models.note import NoteKind, NoteStatus, NoteVisibility
from models.note_filter import NoteFilter, NoteOrder, NoteOrderField, OrderDirection
from models.people import MemberFilter
from models.transcript import TranscriptFilter
from resolvers import nodes, notes
from resolvers.conversations import conversations, suggestions
from resolvers.core.context import Context
from resolvers.core.database import Database
from resolvers.core.drafts import parse_draft
from resolvers.core.pagination import PageArguments
from resolvers.notes import folders, tags
from resolvers.webhooks import deliveries, endpoints, outcomes
from resolvers.workspaces import api_keys, groups, invites, members, workspaces
from tests.conftest import Services
from tests.resolvers.helpers import executed, make_own_workspace, page_of
from tests.support.databases import migrated_database
from tests.support.sizes import size

NOTES = size(40_000, 100_000)
# Half of the notes are in one workspace, the others in fifty; of what a workspace has few of, it has few. Ids are made
# of numbers, so that rows find each other.
FILL = """
SET session_replication_role = replica;  -- the rows fit each other: no look for each of them
CREATE FUNCTION pg_temp.made(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT md5(kind || n)::uuid $$;
INSERT INTO users (id, name, email)
  SELECT pg_temp.made('user', n), 'Person ' || n, n || '@x.example' FROM generate_series(1, 5000) n;
INSERT INTO workspaces (id, name, user_id)
  SELECT pg_temp.made('space', n), 'W' || n, pg_temp.made('user', n) FROM generate_series(1, 3000) n;
CREATE TEMP TABLE few AS
  SELECT n, CASE WHEN n % 30 = 0 THEN '{mine}'::uuid ELSE pg_temp.made('space', n % 3000 + 1) END AS space
  FROM generate_series(1, 5000) n;
CREATE TEMP TABLE s AS
  SELECT n, CASE WHEN n % 2 = 0 THEN '{mine}'::uuid ELSE pg_temp.made('space', n % 50 + 1) END AS space
  FROM generate_series(1, {notes}) n;
INSERT INTO members (id, workspace_id, user_id, role)
  SELECT pg_temp.made('member', n), space, pg_temp.made('user', n), 'member' FROM few;
INSERT INTO groups (id, workspace_id, name)
  SELECT pg_temp.made('group', n), space, 'group ' || n FROM few WHERE n <= 3000;
INSERT INTO group_members (group_id, member_id, workspace_id)
  SELECT pg_temp.made('group', n % 3000 + 1), pg_temp.made('member', n), space FROM few;
INSERT INTO invites (id, workspace_id, code, is_url_invite, role, expires_at)
  SELECT pg_temp.made('invite', n), space, n, true, 'member', now() + interval '1 day' FROM few WHERE n <= 3000;
INSERT INTO api_keys (id, workspace_id, name, prefix, digest)
  SELECT pg_temp.made('key', n), space, 'key', 'sk', decode(md5('key' || n), 'hex') FROM few WHERE n <= 3000;
INSERT INTO tags (id, workspace_id, name, color)
  SELECT pg_temp.made('tag', n), space, 'tag ' || n, '#000000' FROM few WHERE n <= 3000;
INSERT INTO folders (id, workspace_id, name)
  SELECT pg_temp.made('folder', n), space, 'folder ' || n FROM few WHERE n <= 3000;
INSERT INTO notes (id, workspace_id, title, kind, status, visibility, created_by_id, folder_id, participants, summary,
    created_at, updated_at)
  SELECT pg_temp.made('note', n), space, 'Note ' || md5(n::text), 'online',
    CASE WHEN n % 100 = 0 THEN 'idle' ELSE 'completed' END, CASE WHEN n % 10 = 0 THEN 'private' ELSE 'workspace' END,
    pg_temp.made('user', n % 5000 + 1), CASE WHEN n % 7 = 0 THEN pg_temp.made('folder', n % 3000 + 1) END,
    jsonb_build_array(jsonb_build_object('name', 'P', 'email_key', n % 1000 || '@people.example')),
    'common words and word' || n % 2000, now() - n * interval '1 minute', now() - n * interval '1 minute' FROM s;
INSERT INTO note_tags (note_id, tag_id, workspace_id)
  SELECT pg_temp.made('note', n), pg_temp.made('tag', n % 3000 + 1), space FROM s;
INSERT INTO note_shares (id, note_id, user_id, workspace_id)
  SELECT pg_temp.made('share', n), pg_temp.made('note', n), pg_temp.made('user', n % 5000 + 1), space
  FROM s WHERE n <= 5000;
INSERT INTO transcript_segments
    (id, workspace_id, note_id, position, speaker, text, start_timestamp, end_timestamp)
  SELECT pg_temp.made('segment', n), space, pg_temp.made('note', n / 100 * 2), n % 100, 'A', 'Spoken', '00:00:00',
    '00:00:01'
  FROM s WHERE n >= 100 AND n <= 30000;
INSERT INTO conversations (id, workspace_id, note_id, user_id)
  SELECT pg_temp.made('talk', n), space, pg_temp.made('note', n % 100 * 2 + 2), '{me}' FROM s WHERE n <= 10000;
INSERT INTO messages (id, workspace_id, conversation_id, role, state, content)
  SELECT pg_temp.made('message', n), space, pg_temp.made('talk', n % 1000 + 1), 'user', 'done', 'Said'
  FROM s WHERE n <= 30000;
INSERT INTO suggestions (id, workspace_id, conversation_id, note_id, message_id, status, suggested_text)
  SELECT pg_temp.made('suggestion', n), space, pg_temp.made('talk', n % 1000 + 1),
    pg_temp.made('note', (n % 1000 + 1) % 100 * 2 + 2), pg_temp.made('message', n), 'dismissed', 'Better'
  FROM s WHERE n <= 30000;
INSERT INTO events (workspace_id, seq, id, type, note_id)
  SELECT '{mine}', n, pg_temp.made('event', n), 'note.updated', pg_temp.made('note', n % 100 * 2 + 2)
  FROM s WHERE n <= 30000;
INSERT INTO webhooks (id, workspace_id, url, events, secret)
  SELECT pg_temp.made('hook', n), space, 'https://hooks.example/' || n, '{{note.updated}}', '' FROM few WHERE n <= 3000;
INSERT INTO deliveries (id, workspace_id, webhook_id, event_id, note_id, seq, type, body, status, due_at, attempted_at)
  SELECT pg_temp.made('delivery', n), space, pg_temp.made('hook', n % 3000 + 1), pg_temp.made('event', n),
    pg_temp.made('note', n), n, 'note.updated', '{{}}', CASE WHEN n % 10 = 0 THEN 'pending' ELSE 'delivered' END,
    CASE WHEN n % 10 = 0 THEN now() - n * interval '1 second' END, now() - n * interval '1 second'
  FROM s WHERE n <= 30000;
INSERT INTO webhook_posts (id, workspace_id, posted_at)
  SELECT pg_temp.made('post', n), space, now() + interval '1 hour' - n * interval '1 millisecond'
  FROM s WHERE n <= 30000;
ANALYZE;
"""


@dataclass(frozen=True)
class Big:
    """A workspace with half of all notes, as its admin and as a member see it."""

    admin: Context
    member: Context


@pytest.fixture(scope="module")
async def big(services: Services, ctx: Context) -> AsyncIterator[Big]:
    """On a database of its own: nobody else's lists are to be as long."""
    async with migrated_database(services.database_url) as url:
        opened = Database(create_engine(url))
        own_workspace = await make_own_workspace(replace(ctx, database=opened))
        admin = own_workspace.ctx
        filling = FILL.format(notes=NOTES, mine=admin.viewer.workspace_id, me=admin.viewer.user_id)
        async with opened.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            await raw.execute("SET statement_timeout = 0")
            await raw.execute(filling)
        yield Big(admin, await own_workspace.member())
        await opened.engine.dispose()


async def scanned(ctx: Context, read: Callable[[Context], Awaitable[object]]) -> list[tuple[str, str]]:
    """The tables that the statements of a read scan whole, each with its statement."""
    with executed(ctx) as executed_statements:
        await read(ctx)
    assert executed_statements
    async with ctx.database.engine.connect() as connection:
        full_scans: list[tuple[str, str]] = []
        for statement, parameters in executed_statements:
            plan = (await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)).scalar_one()
            full_scans += [(table, statement) for table in scans(plan[0]["Plan"])]
    return full_scans


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan reads whole."""
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scans(part)


def fixed_id(kind: str, number: int) -> str:
    return str(UUID(hashlib.md5(f"{kind}{number}".encode()).hexdigest()))


FILTERS: list[dict[str, Any]] = [
    {},
    {"status": NoteStatus.IDLE},
    {"status": NoteStatus.COMPLETED},
    {"kind": NoteKind.PODCAST},
    {"visibility": NoteVisibility.PRIVATE},
    {"search": "common"},
    {"search": "word17"},
    {"search": "nothing"},
    {"createdBy": fixed_id("user", 7)},
    {"createdFrom": datetime(2020, 1, 1, tzinfo=UTC), "createdTo": datetime(2020, 2, 1, tzinfo=UTC)},
    {"createdFrom": datetime(2020, 1, 1, tzinfo=UTC)},
    {"tagIds": [fixed_id("tag", 2), fixed_id("tag", 4)]},
    {"folderIds": [fixed_id("folder", 2), fixed_id("folder", 14)]},
    {"participantEmail": "17@people.example"},
    {"participantEmail": "nobody@people.example", "search": "common", "status": NoteStatus.IDLE},
]
ORDERS = [NoteOrder(field=field, direction=way) for field in NoteOrderField for way in OrderDirection]


@pytest.mark.parametrize("who", ["admin", "member"])
@pytest.mark.parametrize("filter_fields", FILTERS, ids=lambda filter_fields: "+".join(filter_fields) or "all")
async def test_no_list_of_notes_reads_a_whole_table(big: Big, who: str, filter_fields: dict[str, Any]) -> None:
    ctx: Context = getattr(big, who)
    note_filter = parse_draft(NoteFilter, filter_fields)

    async def listed(ctx: Context) -> None:
        for by in ORDERS:
            page = await notes.list_notes(ctx, PageArguments(first=20), note_filter, by)
            if page.has_next:
                await notes.list_notes(ctx, PageArguments(first=20, after=page.cursor(page.rows[-1])), note_filter, by)
                await notes.list_notes(ctx, PageArguments(last=20, before=page.cursor(page.rows[-1])), note_filter, by)
            await notes.list_notes_by_offset(ctx, 20, 1000, note_filter, by)
        await notes.count_notes(ctx, note_filter)

    assert await scanned(ctx, listed) == []


NOTE, TALK, HOOK = UUID(fixed_id("note", 2)), UUID(fixed_id("talk", 2)), UUID(fixed_id("hook", 30))
Lists = dict[str, Callable[[Context], Awaitable[object]]]
LISTS: Lists = {
    "tags of notes": lambda ctx: notes.find_tags_of_notes(ctx, [NOTE, UUID(fixed_id("note", 4))]),
    "segments of notes": lambda ctx: notes.find_segments(ctx, [NOTE]),
    "transcript": lambda ctx: page_of(
        notes.list_transcripts, ctx, NOTE, PageArguments(), TranscriptFilter(search="spoken")
    ),
    "conversations": lambda ctx: page_of(conversations.list_conversations, ctx, NOTE, PageArguments()),
    "conversations by offset": lambda ctx: conversations.list_conversations_by_offset(ctx, NOTE, 20, 0),
    "messages": lambda ctx: page_of(conversations.list_messages, ctx, TALK, PageArguments(last=20)),
    "messages by offset": lambda ctx: conversations.list_messages_by_offset(ctx, TALK, None, 0),
    "suggestions": lambda ctx: suggestions.list_suggestions(ctx, TALK),
    "suggestions of a status": lambda ctx: suggestions.list_suggestions(ctx, TALK, SuggestionStatus.DISMISSED),
    "suggestions of messages": lambda ctx: suggestions.find_suggestions_of_messages(
        ctx, [UUID(fixed_id("message", 2))]
    ),
    "tags": tags.list_tags,
    "folders": folders.list_folders,
    "groups": lambda ctx: groups.find_groups_of_workspaces(ctx, [ctx.viewer.workspace_id]),
    "groups of members": lambda ctx: groups.find_groups_of_members(ctx, [UUID(fixed_id("member", 30))]),
    "members": lambda ctx: page_of(
        members.list_members, ctx, ctx.viewer.workspace_id, PageArguments(), MemberFilter(search="person")
    ),
    "members by offset": lambda ctx: members.list_members_by_offset(ctx, 20, 0, MemberFilter()),
    "invites": lambda ctx: page_of(invites.list_invites, ctx, ctx.viewer.workspace_id, PageArguments()),
    "invites by offset": lambda ctx: invites.list_invites_by_offset(ctx, 20, 0),
    "keys": api_keys.list_api_keys,
    "nodes": lambda ctx: nodes.find_nodes(ctx, [NOTE, TALK, UUID(fixed_id("tag", 30)), UUID(fixed_id("folder", 30))]),
    "workspaces": workspaces.list_own_workspaces,
    "users": lambda ctx: workspaces.find_users(ctx, [ctx.viewer.user_id]),
    "webhooks": endpoints.list_endpoints,
    "deliveries": lambda ctx: page_of(deliveries.pages, ctx, HOOK, PageArguments()),
    "deliveries by offset": lambda ctx: deliveries.page_by_offset(ctx, HOOK, 20, 0),
    "deliveries that are over": outcomes.clean_up,
}


@pytest.mark.parametrize("name", LISTS)
async def test_no_other_list_reads_a_whole_table(big: Big, name: str) -> None:
    assert await scanned(big.admin, LISTS[name]) == []
