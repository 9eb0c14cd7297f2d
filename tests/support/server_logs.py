"""The logs of servers that run in this process, each apart from the others and from those of the tests."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import structlog


@dataclass(frozen=True)
class ServerLog:
    """Where the lines of a server go, and the least important level among them."""

    lines: list[str]
    level: int

    def write(self, method: str, event: dict[str, Any]) -> None:
        if logging.getLevelNamesMapping()[method.upper()] >= self.level:
            for processor in PROCESSORS:
                event = processor(None, method, event)  # type: ignore[assignment]  # the last one returns the line
            self.lines.append(str(event))


PROCESSORS: list[structlog.types.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(),
]
CURRENT: ContextVar[ServerLog | None] = ContextVar("server_log", default=None)
"""The log of the server that this code belongs to; None in a test's own."""


@contextmanager
def collect(lines: list[str], level: str) -> Iterator[None]:
    """Whatever this thread, the tasks and the threads that it starts log goes to `lines`."""
    token = CURRENT.set(ServerLog(lines, logging.getLevelNamesMapping()[level.upper()]))
    try:
        yield
    finally:
        CURRENT.reset(token)


class ServerLogger(structlog.make_filtering_bound_logger(logging.NOTSET)):  # type: ignore[misc]  # made at run time
    """Structlog's usual logger, but for what a server logs."""

    def _proxy_to_logger(self, method_name: str, event: str | None = None, *args: Any, **values: Any) -> Any:
        log = CURRENT.get()
        if log is None:
            return super()._proxy_to_logger(method_name, event, *args, **values)
        text = event % args if event and args else event
        return log.write(method_name, {**self._context, **values, "event": text})


class ServerHandler(logging.Handler):
    """For the libraries, which log by the standard library's loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        log = CURRENT.get()
        if log is not None and record.levelno >= logging.WARNING:
            values = {"event": record.getMessage(), "logger": record.name, "exc_info": record.exc_info}
            log.write(record.levelname.lower(), values)


def install() -> None:
    """To be called once in a process, before anything logs."""
    structlog.configure(
        # Plain tracebacks: structlog's default shows every local variable, which takes seconds.
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)],
        wrapper_class=ServerLogger,
        cache_logger_on_first_use=False,
    )
    logging.getLogger().addHandler(ServerHandler())
