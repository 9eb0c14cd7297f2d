"""The database of a command: the configured one, else the embedded one, started for the moment if nothing runs it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from caret.embedded.postgres import running
from caret.postgres import engine, reach
from caret.settings import Settings
from resolvers.context import Transaction


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        asyncio.run(reach(settings.database_url))
        yield settings.database_url
        return
    with running(settings.data_dir / "postgres") as url:
        yield url


@asynccontextmanager
async def transaction(url: str) -> AsyncIterator[Transaction]:
    """A transaction of a command: it publishes nothing, so it needs no bus."""
    opened = engine(url)
    try:
        async with opened.begin() as connection:
            yield Transaction(connection)
    finally:
        await opened.dispose()
