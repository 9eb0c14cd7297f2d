"""`make bench`: what the server costs, as ratios within one run (machines are noisy, and no two are alike), and what
its search finds.

Each benchmark is a coroutine in `BENCHMARKS` that gets a `Stage` and prints its own lines. Those of `LARGE` take long;
`make bench-large` runs them. Names choose some of both: `python -m bench retrieval`.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from bench import events, indexing, lists, replies, retrieval, search
from bench.stage import staged

BENCHMARKS = {
    "lists": lists.run,
    "replies": replies.run,
    "events": events.run,
    "search": search.run,
    "retrieval": retrieval.run,
    "indexing": indexing.run,
}
LARGE = {"search-large": search.run_large, "indexing-large": indexing.run_large}
MINUTES = {"lists": 1, "replies": 2, "events": 2, "search": 4, "retrieval": 2, "indexing": 3}
MINUTES |= {"search-large": 30, "indexing-large": 25}
"""What they take on two cores."""


async def main(requested: list[str]) -> None:
    known = BENCHMARKS | LARGE
    names = list(LARGE) if requested == ["large"] else requested or list(BENCHMARKS)
    if unknown := set(names) - known.keys():
        sys.exit(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(known)}.")
    print(f"{', '.join(names)}: about {sum(MINUTES[name] for name in names)} minutes on two cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="caret-bench-") as folder:
        async with staged(Path(folder)) as stage:
            for name in names:
                print(f"\n{name}: {(known[name].__doc__ or '').strip().splitlines()[0]}", flush=True)
                await known[name](stage)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
