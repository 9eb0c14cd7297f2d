"""The fields below a list run as many statements for forty parents as for four, whichever field it is."""

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from models import Member
from resolvers import nodes
from resolvers.core.context import Context
from resolvers.core.viewer import Viewer
from schema import schema
from tests.resolvers.helpers import graphql, make_own_workspace, statements, with_limits
from tests.support.paths import Path, paths_below_lists, selections

SCHEMA = schema._schema
ARGUMENTS = {"Query.search": '(query: "word", first: 20, mode: TEXT)', "Query.nodes": "(ids: $ids)"}
PATHS = {path.name: path for path in paths_below_lists(SCHEMA, ARGUMENTS)}
FEW, MANY = 2, 20
SAME_FOR_ALL = {"models"}
"""Lists that are no data of a workspace's."""

# {number} of everything that a workspace can have, and two of whatever belongs to one of them. Ids are made of numbers,
# so that rows find each other.
FILL = """
CREATE FUNCTION pg_temp.made(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT md5('{home}' || kind || n)::uuid $$;
CREATE TEMP TABLE one AS
  SELECT n, n % {number} + 1 AS next, CASE WHEN n = 1 THEN '{home}'::uuid ELSE pg_temp.made('space', n) END AS space
  FROM generate_series(1, {number}) n;
CREATE TEMP TABLE two AS SELECT n, 2 * n + k AS m, k FROM one, generate_series(0, 1) k;
CREATE TEMP TABLE four AS SELECT m, 2 * m + again AS q, again AS k FROM two, generate_series(0, 1) again;
INSERT INTO users (id, name, email) SELECT pg_temp.made('user', n), 'Someone', n || '@x.example' FROM one;
INSERT INTO users (id, name) SELECT pg_temp.made('own', n), 'Keys' FROM one;
INSERT INTO workspaces (id, name, user_id) SELECT space, 'W' || n, pg_temp.made('own', n) FROM one WHERE n > 1;
INSERT INTO members (id, workspace_id, user_id, role)
  SELECT pg_temp.made('admin', n), space, '{me}', 'admin' FROM one WHERE n > 1;
INSERT INTO members (id, workspace_id, user_id, role)
  SELECT pg_temp.made('member', n), '{home}', pg_temp.made('user', n), 'member' FROM one;
INSERT INTO groups (id, workspace_id, name) SELECT pg_temp.made('group', n), '{home}', 'G' || n FROM one;
INSERT INTO groups (id, workspace_id, name) SELECT pg_temp.made('group there', n), space, 'G' FROM one WHERE n > 1;
INSERT INTO group_members (group_id, member_id, workspace_id)
  SELECT pg_temp.made('group', g), pg_temp.made('member', n), '{home}' FROM one, unnest(ARRAY[n, next]) g;
INSERT INTO invites (id, workspace_id, code, is_url_invite, role, expires_at)
  SELECT pg_temp.made('invite', n), '{home}', pg_temp.made('code', n), true, 'member', now() + interval '1 day'
  FROM one;
INSERT INTO invites (id, workspace_id, code, is_url_invite, role, expires_at)
  SELECT pg_temp.made('invite there', n), space, pg_temp.made('code there', n), true, 'member',
    now() + interval '1 day' FROM one WHERE n > 1;
INSERT INTO invite_groups (group_id, invite_id, workspace_id)
  SELECT pg_temp.made('group', g), pg_temp.made('invite', n), '{home}' FROM one, unnest(ARRAY[n, next]) g;
INSERT INTO api_keys (id, workspace_id, name, prefix, digest)
  SELECT pg_temp.made('key', n), '{home}', 'key', 'sk', decode(md5('{home}' || n), 'hex') FROM one;
INSERT INTO tags (id, workspace_id, name, color) SELECT pg_temp.made('tag', n), '{home}', n::text, '#000000' FROM one;
INSERT INTO tags (id, workspace_id, name, color) SELECT pg_temp.made('tag there', n), space, 'x', '#000000' FROM one
  WHERE n > 1;
INSERT INTO folders (id, workspace_id, name) SELECT pg_temp.made('root', n), space, 'root' FROM one;
INSERT INTO folders (id, workspace_id, name, parent_id)
  SELECT pg_temp.made('top', n), space, 'top', pg_temp.made('root', n) FROM one;
INSERT INTO folders (id, workspace_id, name, parent_id)
  SELECT pg_temp.made('folder', n), '{home}', n::text, pg_temp.made('top', 1) FROM one;
INSERT INTO notes (id, workspace_id, title, kind, status, visibility, created_by_id, folder_id, participants,
    calendar_event, index_done)
  SELECT pg_temp.made('note', n), '{home}', 'word', 'online', 'idle', 'workspace', pg_temp.made('user', n),
    pg_temp.made('folder', n),
    '[{{"name": "A", "email": "a@x"}}, {{"name": "B", "email": "b@x"}}]',
    '{{"id": "1", "title": "x", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z",
       "attendees": [{{"self": true, "email": "a@x"}}, {{"self": false, "email": "b@x"}}]}}', 1 FROM one;
INSERT INTO document_embeddings (workspace_id, document_id, chunk_index, chunk_text, source, start_offset, end_offset,
    fingerprint)
  SELECT '{home}', pg_temp.made('note', n), 0, 'word', 'title', 0, 4, '' FROM one;
INSERT INTO note_tags (note_id, tag_id, workspace_id)
  SELECT pg_temp.made('note', n), pg_temp.made('tag', t), '{home}' FROM one, unnest(ARRAY[n, next]) t;
INSERT INTO note_shares (id, note_id, user_id, workspace_id)
  SELECT gen_random_uuid(), pg_temp.made('note', n), pg_temp.made('user', u), '{home}'
  FROM one, unnest(ARRAY[n, next]) u;
INSERT INTO transcript_segments (id, workspace_id, note_id, position, speaker, text, start_timestamp, end_timestamp)
  SELECT pg_temp.made('segment', m), '{home}', pg_temp.made('note', n), k, 'A', 'x', '00:00:00', '00:00:01' FROM two;
INSERT INTO conversations (id, workspace_id, note_id, user_id)
  SELECT pg_temp.made('talk', m), '{home}', pg_temp.made('note', n), '{me}' FROM two;
INSERT INTO messages (id, workspace_id, conversation_id, role, state, model_id, tool_calls)
  SELECT pg_temp.made('message', q), '{home}', pg_temp.made('talk', m), 'assistant',
    CASE WHEN k = 0 THEN 'done' ELSE 'streaming' END, '{model}',
    '[{{"id": "1", "tool_name": "x", "text_offset": 0}}, {{"id": "2", "tool_name": "x", "text_offset": 0}}]' FROM four;
INSERT INTO suggestions (id, workspace_id, conversation_id, note_id, message_id, status, suggested_text)
  SELECT gen_random_uuid(), '{home}', pg_temp.made('talk', two.m), pg_temp.made('note', n), pg_temp.made('message', q),
    'dismissed', 'Better' FROM four JOIN two USING (m), generate_series(1, 2);
INSERT INTO webhooks (id, workspace_id, url, events, secret, is_active)
  SELECT pg_temp.made('hook', n), '{home}', 'https://x.example/' || n, '{{note.updated}}', '', false FROM one;
INSERT INTO deliveries (id, workspace_id, webhook_id, event_id, type, body, status)
  SELECT pg_temp.made('delivery', m), '{home}', pg_temp.made('hook', n), gen_random_uuid(), 'test',
    '{{"payload": {{}}}}', 'delivered' FROM two;
"""


@dataclass(frozen=True)
class Filled:
    """A workspace with as many of everything, and the ids of some of each type."""

    ctx: Context
    ids: dict[str, list[str]]

    async def ask(self, path: Path, selection: str) -> tuple[list[dict[str, Any]], list[str]]:
        """The objects at the end of the path, and the statements that were run to read them."""
        query = path.query(selection)
        variables = {"ids": self.ids[path.on]} if path.on else {}
        with statements(self.ctx) as ran:
            data = await graphql(self.ctx, query, **variables)
        # What a large operation costs is taken from the caller's budget, which is no read.
        return path.objects(data), [statement for statement in ran if "spend(" not in statement]


async def filled(ctx: Context, number: int) -> Filled:
    admin = with_limits(
        (await make_own_workspace(ctx)).ctx, points_per_minute=dict.fromkeys(ctx.limits.points_per_minute, 1_000_000)
    )
    home = admin.viewer.workspace_id
    filling = FILL.format(home=home, me=admin.viewer.user_id, number=number, model=ctx.models.cards[0].id)
    async with admin.database.engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        await raw.execute(filling)
        await raw.execute("DISCARD TEMP")
        ids = {
            name: await some_ids(connection, name, kind.table, admin.viewer, number)
            for name, kind in nodes.KINDS.items()
        }
    return Filled(admin, ids)


async def some_ids(connection: AsyncConnection, name: str, table: Any, admin: Viewer, number: int) -> list[str]:
    members = select(col(Member.user_id)).where(col(Member.workspace_id) == admin.workspace_id)
    workspaces = select(col(Member.workspace_id)).where(col(Member.user_id) == admin.user_id)
    belongs = {"User": col(table.id).in_(members), "Workspace": col(table.id).in_(workspaces)}
    condition = belongs[name] if name in belongs else col(table.workspace_id) == admin.workspace_id
    found = await connection.execute(select(col(table.id)).where(condition).limit(number))
    return [str(ident) for ident in found.scalars()]


@pytest.fixture(scope="module")
async def few(ctx: Context) -> Filled:
    return await filled(ctx, FEW)


@pytest.fixture(scope="module")
async def many(ctx: Context) -> Filled:
    return await filled(ctx, MANY)


@pytest.mark.parametrize("name", PATHS)
async def test_no_field_below_a_list_runs_statements_for_each_parent(name: str, few: Filled, many: Filled) -> None:
    path = PATHS[name]
    more: dict[str, tuple[int, int]] = {}
    for field, selection in selections(SCHEMA, path.kind):
        parents_of_few, ran_for_few = await few.ask(path, selection)
        parents, ran = await many.ask(path, selection)
        if name not in SAME_FOR_ALL:
            assert (len(parents_of_few) >= FEW, len(parents) >= MANY) == (True, True), f"fill {name}"
        assert any(parent.get(field, True) not in (None, []) for parent in parents), f"fill {name}.{field}"
        if len(ran) != len(ran_for_few):
            more[field] = len(ran_for_few), len(ran)
    assert more == {}
