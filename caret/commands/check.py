import asyncio

import click
from nats.errors import Error as NatsError

from caret.adapters.nats_bus import NatsBus
from caret.adapters.postgres import reach
from caret.settings import Settings, SettingsError
from caret.wiring import models


@click.command(hidden=True)
def command() -> None:
    """Whether the configured servers let us in, and the configured model is offered: said before anything starts."""
    settings = Settings.load()
    models(settings)
    asyncio.run(_reach(settings))


async def _reach(settings: Settings) -> None:
    if settings.database_url is not None:
        await reach(settings.database_url)
    if settings.nats_url is not None:
        try:
            await NatsBus.reach(settings.nats_url)
        except (NatsError, OSError, ValueError) as error:
            raise SettingsError(f"CARET_NATS_URL: no NATS can be used there: {str(error) or 'no answer'}") from None
