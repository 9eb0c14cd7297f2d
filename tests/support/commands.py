"""Commands of Caret, as processes and in this one."""

import io
import os
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from caret.cli import run_command
from tests.support.servers import CARET, ROOT, environment

TIMEOUT_SECONDS = 240


def run_process(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs `caret` with these arguments to its end."""
    return subprocess.run(
        [*CARET, *arguments],
        cwd=ROOT,
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def run_here(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, which saves the imports: only for what ends before it starts anything."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, environment(**settings), clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            run_command(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
