"""The `caret` command."""

import gc
import sys
from importlib import import_module

import click

from caret.embedded.folder import EmbeddedError
from caret.settings import SettingsError

COMMANDS = ("serve", "worker", "migrate", "schema", "seed", "reindex", "key", "token")
HIDDEN = ("check", "web")
"""What `serve` starts for itself."""


class Commands(click.Group):
    """Loads a command's module when it is called: `serve` must not wait for what only others need."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (the base's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (as above)
        if cmd_name not in {*COMMANDS, *HIDDEN}:
            return None
        # All that imports make stays: the collector would walk it again and again, for a tenth of the start.
        gc.disable()
        command: click.Command = import_module(f"caret.commands.{cmd_name}").command
        gc.enable()
        return command


@click.group(cls=Commands, help="Caret: meeting notes, conversations and search as a GraphQL API.")
@click.version_option(package_name="caret")
def cli() -> None:
    pass


def main() -> None:
    try:
        cli()
    except (SettingsError, EmbeddedError) as error:
        click.echo(f"caret: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
