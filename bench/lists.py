"""Lists of 20 notes with authors and tags."""

import asyncpg

from bench.stage import Stage, line, timed

QUERY = "{ notes(first: 20) { nodes { id title summary createdAt createdBy { name } tags { name color } } } }"
RAW = """
SELECT n.id, n.title, n.summary, n.created_at, u.name,
       (SELECT json_agg(json_build_object('name', t.name, 'color', t.color))
        FROM note_tags nt JOIN tags t ON t.id = nt.tag_id WHERE nt.note_id = n.id) AS tags
FROM notes n LEFT JOIN users u ON u.id = n.created_by_id
WHERE n.workspace_id = $1 ORDER BY n.created_at DESC, n.id DESC LIMIT 20"""


async def run(stage: Stage) -> None:
    """A list of 20 notes with authors and tags: the bare query, GraphQL, REST; one caller."""
    connection = await asyncpg.connect(stage.database_url)
    base = line("the query alone, by asyncpg", await timed(lambda: connection.fetch(RAW, stage.workspace_id), 200))
    await connection.close()
    http = stage.caller.http
    line("an empty request (/health/live)", await timed(lambda: http.get("/health/live"), 200), base)
    line("GraphQL", await timed(lambda: stage.caller.data(QUERY), 200), base)
    line("REST (/v1/notes, whole notes)", await timed(lambda: http.get("/v1/notes?limit=20"), 200), base)
