"""`make bench`: what the server costs, as ratios within one run (machines are noisy, and no two are alike).

Each benchmark is a coroutine in `BENCHMARKS` that gets a `Stage` and prints its own lines.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from bench import lists, replies
from bench.stage import staged

BENCHMARKS = {"lists": lists.run, "replies": replies.run}


async def main(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="caret-bench-") as folder:
        async with staged(Path(folder)) as stage:
            for name in wanted or BENCHMARKS:
                print(f"\n{name}: {(BENCHMARKS[name].__doc__ or '').strip().splitlines()[0]}")
                await BENCHMARKS[name](stage)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
