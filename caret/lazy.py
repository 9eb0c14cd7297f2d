"""Deferred imports, so that processes start faster: slow ones happen in a thread when they are first needed."""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

UNUSED_EXTRAS = ("aiohttp", "rich")
"""Libraries import these when they are installed, for features that are not used here: nats-py for its WebSocket
transport, structlog for coloured tracebacks. Together they are an eighth of the start."""


def import_for_start(name: str) -> ModuleType:
    """Imports a module that a process needs before it can work."""
    # What imports create lives as long as the process: the collector would walk it again and again, for a tenth of the
    # start.
    gc.disable()
    try:
        with without_extras():
            return import_module(name)
    finally:
        gc.enable()


@contextmanager
def without_extras() -> Iterator[None]:
    """Whoever tries to import UNUSED_EXTRAS meanwhile gets an ImportError; later they can be imported as ever."""
    hidden = [name for name in UNUSED_EXTRAS if name not in sys.modules]
    # None in sys.modules means to the import system that there is no such module.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _has_failed(loading: asyncio.Future[ModuleType]) -> bool:
    return loading.done() and (loading.cancelled() or loading.exception() is not None)


class LazyModule:
    """A module that is imported in a thread when it is first needed: neither the start nor the event loop waits."""

    def __init__(self, name: str, before: Callable[[], None] | None = None) -> None:
        """`before` runs in the thread as well, ahead of the import."""
        self._name = name
        self._before = before
        self._loading: asyncio.Future[ModuleType] | None = None

    def preload(self) -> asyncio.Future[ModuleType]:
        """Begins to import the module and does not wait for it. An import that failed is tried again."""
        if self._loading is None or _has_failed(self._loading):
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._import))
        return self._loading

    async def load(self) -> ModuleType:
        # One of those who wait may be cancelled; the others wait on.
        return await asyncio.shield(self.preload())

    def _import(self) -> ModuleType:
        if self._before is not None:
            self._before()
        return import_module(self._name)
