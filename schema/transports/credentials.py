"""Who sends a request: the credential in its headers, under the same names on every transport."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from models.base import as_id
from resolvers.auth.credentials import authenticate
from resolvers.core.allowance import Meter
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem, bad_input


async def viewing(ctx: Context, headers: Mapping[str, str], meter: Meter) -> Context:
    """The context with the viewer of the credential in the headers; without one it stays as it is."""
    credential = credential_in(headers)
    if credential is None:
        return ctx
    return ctx.for_viewer(await authenticate(ctx, credential, workspace_in(headers), meter=meter), meter)


def credential_in(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or None


def workspace_in(headers: Mapping[str, str]) -> UUID | None:
    given = headers.get("x-workspace-id")
    if given is None:
        return None
    found = as_id(given)
    if found is None:
        raise bad_input("X-Workspace-Id", "This is not the id of a workspace.")
    return found


MAX_STRANGERS = 2_000
"""WebSockets of a process that have not said yet who they are. For all addresses together: behind a proxy, all callers
have one."""
CROWDED = "Too many connections wait to be let in. Try again later."


class Connections:
    """The open connections of this process, by who opened them: a key, or a person in a workspace."""

    def __init__(self) -> None:
        self._open: Counter[tuple[UUID, UUID]] = Counter()
        self._silent: dict[object, Callable[[], object]] = {}
        self._speaking: set[object] = set()

    @contextmanager
    def stranger(self, end: Callable[[], object]) -> Iterator[Callable[[], None]]:
        """Counts one for as long as nobody knows whose it is; to be told when it says who it is.

        Where there are enough of them, `end` is called of the one that has been silent the longest, so that nobody can
        lock others out by silence. Raises UNAVAILABLE where all have spoken, and wait to be believed.
        """
        me = object()
        if len(self._silent) + len(self._speaking) >= MAX_STRANGERS:
            if not self._silent:
                raise Problem(ErrorCode.UNAVAILABLE, CROWDED)
            self._silent.pop(next(iter(self._silent)))()
        self._silent[me] = end

        def speaks() -> None:
            if self._silent.pop(me, None) is not None:
                self._speaking.add(me)

        try:
            yield speaks
        finally:
            self._silent.pop(me, None)
            self._speaking.discard(me)

    @contextmanager
    def counted(self, ctx: Context) -> Iterator[None]:
        """Counts one for as long as the block lasts. Raises RATE_LIMITED where the caller has enough of them."""
        caller, most = (ctx.viewer.workspace_id, ctx.viewer.actor_id), ctx.limits.connections_per_caller
        if self._open[caller] >= most:
            text = f"You have {most} connections open with this server, which is the limit. Close one first."
            raise Problem(ErrorCode.RATE_LIMITED, text)
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]
