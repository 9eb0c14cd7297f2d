"""`caret reindex`: one more worker that indexes only outdated notes, and shows how many are left."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from uuid import UUID

import click

from caret import worker
from caret.commands.database import servers
from caret.commands.worker import NICENESS
from caret.logs import configure
from caret.migrate import migrate
from caret.settings import Settings
from caret.wiring import open_context
from models.base import Record
from resolvers.auth import credentials
from resolvers.core.context import Context
from resolvers.core.ports.ai import EmbedderMisconfigured, EmbedderUnavailable
from resolvers.search import indexing

POLL_SECONDS = 1.0
"""Between two counts of what is left, and between two attempts."""
PROGRESS_SECONDS = 5.0
"""Between two lines of progress, without a terminal for a progress bar."""


@click.command(help="Create the chunks of all notes again. It may be stopped, and continues where it stopped.")
@click.option("--workspace", help="Only this workspace: its name or id.")
def command(workspace: str | None) -> None:
    with servers(Settings.load()) as settings:
        # Failures are printed here, between the updates of the progress bar.
        configure("error")
        os.nice(NICENESS)
        try:
            asyncio.run(_reindex(settings, workspace))
        except KeyboardInterrupt:
            print_status("stopped; `caret reindex` goes on where it stopped")
            sys.exit(130)
    print_status("done")


async def _reindex(settings: Settings, workspace: str | None) -> None:
    await migrate(str(settings.database_url))
    async with open_context(settings) as ctx:
        workspace_id = None if workspace is None else await _find(ctx, workspace)
        await _check(ctx)
        await indexing.register_embedder(ctx)
        begun = await indexing.reindex(ctx, workspace_id)
        left = await indexing.reindex_progress(ctx, workspace_id)
        if left.workspaces > begun:
            print_status(f"going on where it stopped, with {left.workspaces - begun} workspaces")
        await Reindexing(ctx, workspace_id, left.notes).run()


async def _find(ctx: Context, workspace: str) -> UUID:
    async with ctx.transaction() as tx:
        workspace_id = await credentials.find_workspace(tx, workspace)
    if workspace_id is None:
        raise click.ClickException(f"--workspace: there is no workspace {workspace}")
    return workspace_id


async def _check(ctx: Context) -> None:
    """Two embedders at once would undo each other's work."""
    async with ctx.transaction() as tx:
        newest = await indexing.current_embedder(tx)
    if newest not in {None, ctx.embedder.identity}:
        raise click.ClickException(
            f"this command would embed with {ctx.embedder.identity}, but the server does with {newest}: give it the"
            " same CARET_EMBEDDING_ settings, or start the server with the new ones, which then does this by itself"
        )


class Reindexing:
    """Indexes until no note is left, whoever has indexed the last one."""

    def __init__(self, ctx: Context, workspace_id: UUID | None, notes: int) -> None:
        self._ctx = ctx
        self._workspace_id = workspace_id
        self._notes = notes
        self._printed_failure = ""
        self._has_terminal = sys.stderr.isatty()
        self._next_line = 0.0

    async def run(self) -> None:
        with click.progressbar(
            length=self._notes, label="Notes", show_pos=True, file=sys.stderr, hidden=not self._has_terminal
        ) as bar:
            while left := (await indexing.reindex_progress(self._ctx, self._workspace_id)).notes:
                self._notes = max(self._notes, left)
                bar.update(self._notes - left - bar.pos)
                self._print_progress(left)
                await self._work()
            bar.update(self._notes - bar.pos)
        await indexing.finish_reindexing(self._ctx)

    async def _work(self) -> None:
        """Indexes for about a second; waits when there is nothing to do, or after failures."""
        started = time.monotonic()
        while time.monotonic() < started + POLL_SECONDS:
            jobs = await indexing.claim_outdated(self._ctx, worker.NOTES_AT_A_TIME, self._workspace_id)
            failures = await self._attempt(jobs or await indexing.claim(self._ctx, worker.NOTES_AT_A_TIME))
            if failures is None:
                await _check(self._ctx)
                await asyncio.sleep(POLL_SECONDS)
            elif failures:
                self._print_failures(failures)
                await asyncio.sleep(POLL_SECONDS)

    async def _attempt(self, jobs: Sequence[Record]) -> list[Exception] | None:
        """The failures; None when there was nothing to do."""
        try:
            return await worker.attempt(self._ctx, jobs) if jobs else None
        except asyncio.CancelledError:
            await asyncio.shield(indexing.release_outdated(self._ctx, [job for job in jobs if job.outdated]))
            raise

    def _print_failures(self, failures: Sequence[Exception]) -> None:
        for failure in failures:
            if isinstance(failure, EmbedderMisconfigured):
                raise click.ClickException(str(failure))
            text = str(failure) if isinstance(failure, EmbedderUnavailable) else type(failure).__name__
            if text != self._printed_failure:
                print_status(f"waiting: {text}")
                self._printed_failure = text

    def _print_progress(self, left: int) -> None:
        now = time.monotonic()
        if not self._has_terminal and now >= self._next_line:
            print_status(f"{self._notes - left} of {self._notes} notes are done")
            self._next_line = now + PROGRESS_SECONDS


def print_status(line: str) -> None:
    click.echo(f"caret: {line}", err=True)
