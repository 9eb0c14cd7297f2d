"""`caret check`: whether the configured servers and models can be used; `caret serve` runs it first."""

import asyncio

import click
from nats.errors import Error as NatsError

from caret.adapters.nats_bus import NatsBus
from caret.adapters.postgres import reach
from caret.settings import Settings, SettingsError
from caret.wiring import build_catalogue


@click.command(hidden=True)
def command() -> None:
    """Checks that the configured servers accept us and that the configured models are offered."""
    settings = Settings.load()
    build_catalogue(settings)
    asyncio.run(_reach(settings))


async def _reach(settings: Settings) -> None:
    if settings.database_url is not None:
        await reach(settings.database_url)
    if settings.nats_url is not None:
        try:
            await NatsBus.reach(settings.nats_url)
        except (NatsError, OSError, ValueError) as error:
            raise SettingsError(f"CARET_NATS_URL: no NATS can be used there: {str(error) or 'no answer'}") from None
