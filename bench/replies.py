"""Lists while replies stream, and replies while many are followed."""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil  # type: ignore[import-untyped] # its stubs are no dependency of ours
from sqlalchemy import text

from bench.lists import QUERY
from bench.stage import DELAY, PIECES, Stage, gathered, line, timed

FEW, MANY = 50, 500
CONVERSE = "mutation($n: ID!) { createConversation(input: {noteId: $n}) { id } }"
SEND = """mutation($c: ID!, $m: String!) {
  sendMessage(conversationId: $c, input: {message: $m, noteId: null}) { reply { id } }
}"""
STORED = "query($c: ID!) { conversation(id: $c) { messages(last: 1) { nodes { content state } } } }"
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'caret'"


@dataclass(frozen=True)
class Begun:
    conversation: str
    reply: str


async def run(stage: Stage) -> None:
    """Models that say 20 pieces a second: the time to a follower, and lists meanwhile."""
    idle = line("list, idle", await timed(lambda: stage.caller.data(QUERY), 100))
    direct = await subscribe(stage, [{"kind": "model"}] * FEW)
    base = took("a direct connection to the model, 50 at once", direct)
    await followed(stage, FEW, idle, base)
    await followed(stage, MANY, idle, base)


async def followed(stage: Stage, number: int, idle: float, base: float) -> None:
    """So many replies at once in one process, each with a follower, half of them over WebSocket and half over SSE."""
    web = process_of(stage)
    memory, connections = web.memory_info().rss, await connected(stage)
    conversations = [await converse(stage, index) for index in range(number)]
    await model(stage, "hold")
    begun = await gathered(lambda index: begin(stage, conversations[index]), number)
    following = asyncio.create_task(subscribe(stage, [follower(stage, index, one) for index, one in enumerate(begun)]))
    await calm(web)
    await model(stage, "go")
    spent, started = sum(web.cpu_times()[:2]), time.perf_counter()
    lists = await timed(lambda: stage.caller.data(QUERY), 60)
    grown, during = web.memory_info().rss - memory, await connected(stage)
    results = await following
    seconds, spent = time.perf_counter() - started, sum(web.cpu_times()[:2]) - spent
    print(f"  {number} replies, {PIECES} pieces each at {1 / DELAY:.0f} a second ({PIECES * DELAY:.0f} s):")
    for kind in ("websocket", "sse"):
        of_kind = [one for index, one in enumerate(results) if follower(stage, index, begun[index])["kind"] == kind]
        took(f"  model to follower, {kind}", of_kind, base)
    line("  list meanwhile", lists, idle)
    complete = sum([one["text"] == await stored(stage, begun[index]) for index, one in enumerate(results)])
    print(f"    followers whose text is the stored text: {complete} of {number}")
    print(f"    memory {memory / 2**20:.0f} MiB, meanwhile {grown / 2**20:+.0f}")
    print(f"    database connections {connections}, meanwhile {during}")
    print(f"    spoken and heard in {seconds:.1f} s, of which the process worked {spent:.1f}")


def follower(stage: Stage, index: int, begun: Begun) -> dict[str, Any]:
    kind = "sse" if index % 2 else "websocket"
    return {
        "kind": kind,
        "reply": begun.reply,
        "conversation": begun.conversation,
        "credential": stage.caller.credential,
    }


async def subscribe(stage: Stage, followers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the followers, in a process of their own, have heard at the end."""
    places = {"model": stage.llm_url}
    requests = []
    for one in followers:
        address = urlsplit(places.get(one["kind"], stage.caller.served.url))
        requests.append({**one, "host": address.hostname, "port": address.port})
    command = (sys.executable, "-m", "bench.reply_subscribers")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**30
    )
    output, _ = await process.communicate(json.dumps(requests).encode())
    results: list[dict[str, Any]] = json.loads(output)
    return results


def took(name: str, results: list[dict[str, Any]], base: float | None = None) -> float:
    waits = [wait for one in results for wait in one["waits"]]
    middle = line(name, waits)
    if base is not None:
        print(f"    added to the direct connection: {middle - base:.2f} ms in the middle")
    return middle


async def converse(stage: Stage, index: int) -> str:
    note = stage.note_ids[index % len(stage.note_ids)]
    return str((await stage.caller.data(CONVERSE, n=note))["createConversation"]["id"])


async def begin(stage: Stage, conversation: str) -> Begun:
    sent = (await stage.caller.data(SEND, c=conversation, m="Tell me slowly."))["sendMessage"]
    return Begun(conversation, sent["reply"]["id"])


async def stored(stage: Stage, begun: Begun) -> str:
    [message] = (await stage.caller.data(STORED, c=begun.conversation))["conversation"]["messages"]["nodes"]
    return str(message["content"]) if message["state"] == "DONE" else ""


async def model(stage: Stage, what: str) -> None:
    async with httpx.AsyncClient() as http:
        (await http.post(f"{stage.llm_url}/{what}")).raise_for_status()


async def calm(web: Any) -> None:
    """Waits until the process has nothing to do: all replies wait for their model, and all followers for them."""
    spent = 1.0
    while spent > 0.1:
        before = sum(web.cpu_times()[:2])
        await asyncio.sleep(1)
        spent = sum(web.cpu_times()[:2]) - before


def process_of(stage: Stage) -> Any:
    """The web process of the server."""
    children = psutil.Process(stage.caller.served.process.pid).children()
    return next(child for child in children if child.name() == "caret-web")


async def connected(stage: Stage) -> int:
    async with stage.database.connect() as connection:
        return int((await connection.execute(text(CONNECTIONS))).scalar_one())
