"""Failures of work that no caller waits for: an outage is reported quietly, a bug loudly.

An outage is a failure of something outside this process that ends by itself: the database, the broker or the network is
away, a provider of models does not answer, or the connection pool is exhausted. It is logged as one line. Anything else
is a bug: it is logged with its traceback and counted in FAILURES.
"""

from collections import Counter
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from resolvers.core.ports.agents import AgentFailed
from resolvers.core.ports.ai import EmbedderUnavailable
from resolvers.core.ports.audio import TranscriberUnavailable
from resolvers.core.ports.bus import BusUnavailable

log = structlog.get_logger()

FAILURES: Counter[str] = Counter()
"""How many bugs this process has reported, by the name of the log event. Each log line shows its count."""

OUTAGES = (OSError, PoolTimeoutError, BusUnavailable, EmbedderUnavailable, AgentFailed, TranscriberUnavailable)
"""Exceptions that are always an outage. OSError includes ConnectionError and TimeoutError."""
NO_OUTAGES = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Kinds of OSError that do not end by themselves."""
OUTAGE_SQLSTATES = ("08", "53300", "57P01", "57P02", "57P03")
"""Prefixes of SQLSTATE codes of a database that is away: connection exceptions, too many connections, and a server that
shuts down, crashes or starts up."""


def is_outage(error: BaseException) -> bool:
    """Whether the failure ends by itself, so that the same work may succeed later."""
    if isinstance(error, OUTAGES):
        return not isinstance(error, NO_OUTAGES)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    # asyncpg's errors have the attribute, and SQLAlchemy's wrap them.
    sqlstate = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return isinstance(sqlstate, str) and sqlstate.startswith(OUTAGE_SQLSTATES)


def describe(error: BaseException) -> str:
    """The error in one line for the log."""
    return str(error).partition("\n")[0] or type(error).__name__


def report_failure(event: str, error: BaseException, **details: Any) -> None:
    """Logs the failure under the name `event`: an outage as a line, a bug with its traceback and its count."""
    if is_outage(error):
        log.warning(event, error=describe(error), **details)
        return
    FAILURES[event] += 1
    log.error(event, error=describe(error), count=FAILURES[event], exc_info=error, **details)
