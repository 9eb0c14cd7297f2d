"""Lists while replies stream."""

import asyncio

from sqlalchemy import text

from bench.lists import QUERY
from bench.stage import PIECES, Stage, gathered, line, timed

MANY = 50
CONVERSE = "mutation($n: ID!) { createConversation(input: {noteId: $n}) { id } }"
SEND = """mutation($c: ID!, $m: String!) {
  sendMessage(conversationId: $c, input: {message: $m, noteId: null}) { reply { id } }
}"""
STATE = "query($c: ID!) { conversation(id: $c) { activeReply { id } messages(last: 1) { nodes { content state } } } }"
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'caret'"


async def run(stage: Stage) -> None:
    """The same list while 50 replies stream, 20 pieces a second each."""
    idle = line("idle", await timed(lambda: stage.caller.data(QUERY), 100))

    async def begin(number: int) -> str:
        note = stage.note_ids[number % len(stage.note_ids)]
        conversation = (await stage.caller.data(CONVERSE, n=note))["createConversation"]["id"]
        await stage.caller.data(SEND, c=conversation, m="Tell me slowly.")
        return str(conversation)

    before = await connections(stage)
    started = await gathered(begin, MANY)
    line(f"while {MANY} replies begin", await timed(lambda: stage.caller.data(QUERY), 40), idle)
    line(f"while {MANY} replies stream", await timed(lambda: stage.caller.data(QUERY), 100), idle)
    print(f"  database connections: {before} before, {await connections(stage)} during")
    whole = 0
    for conversation in started:
        while (told := (await stage.caller.data(STATE, c=conversation))["conversation"])["activeReply"]:
            await asyncio.sleep(0.2)
        whole += told["messages"]["nodes"][0]["content"] == "".join(f"word{number} " for number in range(PIECES))
    print(f"  replies stored whole: {whole} of {MANY}")


async def connections(stage: Stage) -> int:
    async with stage.database.connect() as connection:
        return int((await connection.execute(text(CONNECTIONS))).scalar_one())
