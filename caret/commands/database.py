"""The servers of a command: the configured ones, else the embedded ones, started for the duration if none runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

from caret.adapters.postgres import create_engine, reach
from caret.embedded.nats import EmbeddedNats, attach
from caret.embedded.postgres import running
from caret.settings import Settings
from resolvers.core.database import Transaction


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        asyncio.run(reach(settings.database_url))
        yield settings.database_url
        return
    with running(settings.data_dir / "postgres") as url:
        yield url


@contextmanager
def servers(settings: Settings) -> Iterator[Settings]:
    """The settings with both addresses, for a command that publishes messages."""
    with ExitStack() as stack:
        url = stack.enter_context(database(settings))
        nats_url = settings.nats_url or attach(settings.data_dir / "nats")
        if nats_url is None:
            nats = EmbeddedNats(settings.data_dir / "nats")
            stack.callback(nats.stop)
            nats_url = nats.start()
        yield settings.model_copy(update={"database_url": url, "nats_url": nats_url})


@asynccontextmanager
async def transaction(url: str) -> AsyncIterator[Transaction]:
    """A transaction of a command that publishes nothing, and so needs no bus."""
    engine = create_engine(url)
    try:
        async with engine.begin() as connection:
            yield Transaction(connection)
    finally:
        await engine.dispose()
