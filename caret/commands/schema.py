"""`caret schema`: prints the GraphQL schema."""

import click

from schema import schema


@click.command(help="Print the GraphQL schema.")
def command() -> None:
    click.echo(schema.as_str())
