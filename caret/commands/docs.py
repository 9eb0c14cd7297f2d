"""`caret docs`: prints a page of docs/ that is generated from the code."""

import click

from caret import reference, tree

PAGES = {"settings": reference.settings_page, "limits": reference.limits_page, "architecture": tree.architecture_page}


@click.command(help="Print a generated page of the documentation.")
@click.argument("page", type=click.Choice(sorted(PAGES)))
def command(page: str) -> None:
    click.echo(PAGES[page](), nl=False)
