"""What indexing costs those who read meanwhile."""

import asyncio
import random
import re
import statistics
import time
from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import insert

from bench.docstrings import pairs
from bench.lists import QUERY
from bench.stage import Stage, line, waiting, workspace
from models import Note
from models.base import new_id
from models.note import NoteKind, NoteStatus, NoteVisibility

FEW, MANY = 1_000, 10_000
IDLE = 15.0
WINDOW = 10.0
LOOKS = 1.0
SHORTEST, LONGEST = 200, 600
"""Characters of a note."""
Lists = list[tuple[float, float]]
"""When each list began, in seconds, and how many milliseconds it took."""


async def run(stage: Stage) -> None:
    """Lists while the worker indexes 1,000 notes with the local model (10,000 in `make bench-large`)."""
    await measured(stage, FEW)


async def run_large(stage: Stage) -> None:
    """Lists while the worker indexes 10,000 notes with the local model."""
    await measured(stage, MANY)


async def measured(stage: Stage, notes: int) -> None:
    silence = asyncio.create_task(asyncio.sleep(IDLE))
    idle = await listed(stage, silence)
    base = line("list, idle", [spent for _, spent in idle])
    print(f"    slowest {WINDOW:.0f} seconds: p50 {slowest(idle):.2f} ms")
    workspace_id, caller = await workspace(stage, "Many notes")
    await caller.close()
    await write(stage, workspace_id, notes)
    started = time.perf_counter()
    meanwhile = await listed(stage, asyncio.create_task(indexed(stage)))
    took = time.perf_counter() - started
    line(f"list while {notes:,} notes are indexed", [spent for _, spent in meanwhile], base)
    print(f"    slowest {WINDOW:.0f} seconds: p50 {slowest(meanwhile):.2f} ms   {slowest(meanwhile) / base:5.1f} x")
    print(f"    {notes:,} notes of {SHORTEST} to {LONGEST} characters in {took:.0f} s: {notes / took:.1f} a second")


async def listed(stage: Stage, until: asyncio.Task[None]) -> Lists:
    """One caller's lists, one after the other, until something is done."""
    timings: Lists = []
    while not until.done():
        started = time.perf_counter()
        await stage.caller.data(QUERY)
        timings.append((started, (time.perf_counter() - started) * 1000))
    await until
    return timings


def slowest(lists: Lists) -> float:
    """The highest median of the windows; what is left over at the end counts with the last."""
    windows: dict[int, list[float]] = {}
    first, last = lists[0][0], int((lists[-1][0] - lists[0][0]) // WINDOW)
    for began, spent in lists:
        windows.setdefault(min(int((began - first) // WINDOW), max(last - 1, 0)), []).append(spent)
    return max(statistics.median(window) for window in windows.values())


async def indexed(stage: Stage) -> None:
    while await waiting(stage.database):
        await asyncio.sleep(LOOKS)


async def write(stage: Stage, workspace_id: UUID, notes: int) -> None:
    """All at once behind the server's back: what is measured is the worker's work, not the writing."""
    texts = prose()
    same = {"workspace_id": workspace_id, "kind": NoteKind.ONLINE, "status": NoteStatus.IDLE}
    same |= {"visibility": NoteVisibility.WORKSPACE}
    rows = [
        {**same, "id": new_id(), "title": f"Note {number}", "user_written_note": next(texts)} for number in range(notes)
    ]
    async with stage.database.begin() as connection:
        await connection.execute(insert(Note), rows)


def prose() -> Iterator[str]:
    """Texts of sentences that people wrote, in an order that nobody did; never the same twice."""
    chance = random.Random(5)
    sentences = re.findall(r"[A-Z][^.]{20,300}\.(?=\s)", " ".join(pair.passage for pair in pairs(1_000)))
    while True:
        text, length = "", chance.randint(SHORTEST, LONGEST)
        while len(text) < length:
            text += chance.choice(sentences) + " "
        yield text[:length]
