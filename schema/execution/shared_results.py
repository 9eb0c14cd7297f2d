"""The event log for GraphQL: an event is rendered once for all who follow it by the same operation and rights.

A thousand editors that show one workspace send the same text with the same key, but for where they start. What they
select below the event is the same for them at the same moment, so the first executes it and the others are given the
same bytes. They are kept for a second: who comes later sees what is there by then.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, cast

import orjson
from graphql import (
    ExecutionResult,
    FieldNode,
    Node,
    OperationDefinitionNode,
    SelectionNode,
    VariableNode,
    Visitor,
    visit,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from models.base import Record
from resolvers.core.errors import ErrorCode, Problem
from schema.execution.masking import render

if TYPE_CHECKING:
    from schema.types.base import Request

FRESH = 1.0
"""Seconds for which a result is good for others."""
MAX_SHARED = 200
MAX_SHARED_SIZE = 256 * 1024
"""Results that are kept at most, and bytes of one: a larger one is for those who wait for it already."""
MAX_EVENT = 4 * 1024 * 1024
"""Bytes of an event's result."""
EVERYBODYS = {"__typename", "cursor", "id", "type", "createdAt", "noteId"}
"""Fields of an event that are the same for all who may see it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`operation` is kept so that no other one can have its identity, which is part of the key. None: it failed."""

    body: "asyncio.Future[bytes | None]"
    operation: OperationDefinitionNode


class Shared:
    """The results of this process that others may want, as JSON."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Entry] = OrderedDict()

    def get(self, key: Hashable) -> Entry | None:
        return self._kept.get(key)

    def begin(self, key: Hashable, operation: OperationDefinitionNode) -> "asyncio.Future[bytes | None]":
        loop = asyncio.get_running_loop()
        entry = Entry(loop.create_future(), operation)
        self._kept[key] = entry
        loop.call_later(FRESH, self._forget, key, entry)
        while len(self._kept) > MAX_SHARED:
            self._kept.popitem(last=False)
        return entry.body

    def end(self, key: Hashable, mine: "asyncio.Future[bytes | None]", body: bytes | None) -> None:
        mine.set_result(body)
        entry = self._kept.get(key)
        if entry is not None and entry.body is mine and (body is None or len(body) > MAX_SHARED_SIZE):
            del self._kept[key]

    def _forget(self, key: Hashable, entry: Entry) -> None:
        if self._kept.get(key) is entry:
            del self._kept[key]


shared = Shared()


class Followed:
    """The log as one subscription follows it.

    graphql-core is given it as the source of the events, and waits for the first until all is over: meanwhile the
    transport takes the `rows`, and has each `told`. That passes by all that would be done for each follower of each
    event, which costs ten times what it takes to send one.
    """

    executor: "LogExecutor"

    def __init__(self, request: "Request", rows: AsyncGenerator[Record, None]) -> None:
        self._request = request
        self._over = asyncio.Event()
        self.rows = rows

    def __aiter__(self) -> "Followed":
        return self

    async def __anext__(self) -> NoReturn:
        self._request.followed = self
        self._request.began.set()
        await self._over.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._over.set()
        await self.rows.aclose()

    async def told(self, event: Record) -> bytes:
        """The operation's result for an event, as JSON. Raises PAYLOAD_TOO_LARGE beyond MAX_EVENT."""
        key = (event.id, self.executor.likeness)
        known = shared.get(key)
        if known is not None:
            # Shielded: who leaves must not take it from the others.
            found = known.body.result() if known.body.done() else await asyncio.shield(known.body)
            if found is not None:
                return found
        mine, body = shared.begin(key, self.executor.operation), None
        try:
            result = await self.executor.result(event)
            # Errors are told to each with their own request's id.
            body = None if result.errors else encoded(result)
            return body or encoded(result)
        finally:
            shared.end(key, mine, body)


def encoded(result: ExecutionResult) -> bytes:
    payload: dict[str, Any] = {"data": result.data}
    if result.errors:
        payload["errors"] = [render(error).formatted for error in result.errors]
    body = orjson.dumps(payload, default=str)
    if len(body) > MAX_EVENT:
        text = f"The result for an event is larger than {MAX_EVENT // 1024**2} MiB: select less of it."
        raise Problem(ErrorCode.PAYLOAD_TOO_LARGE, text)
    return body


class LogExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes every operation as Strawberry does, and leaves itself with those that follow the log."""

    @classmethod
    def build(cls, *args: Any, **more: Any) -> Any:
        # Hints about the names in variables would be looked for up to 50 times, a millisecond each.
        return super().build(*args, **more | {"hide_suggestions": True})

    def cancellable_iterable(self, iterable: Any) -> Any:
        if isinstance(iterable, Followed):
            iterable.executor = self
        return super().cancellable_iterable(iterable)

    @cached_property
    def likeness(self) -> Hashable:
        """The same for those to whom the same event is the same result."""
        below = set(_variables_below(self.operation, self.fragment_definitions.values()))
        given = {name: value for name, value in self.variable_values.coerced.items() if name in below}
        viewer = None if _is_everybodys(self.operation) else self.context_value.ctx.caller
        return id(self.operation), repr(sorted(given.items())), viewer

    async def result(self, event: Record) -> ExecutionResult:
        done: Any = self.build_per_event_executor(event).execute_operation(False)
        return await cast("Awaitable[ExecutionResult]", done) if self.is_awaitable(done) else done


def _is_everybodys(operation: OperationDefinitionNode) -> bool:
    """Whether nothing is selected but what an event has of itself."""
    return all(
        isinstance(field, FieldNode) and field.name.value in EVERYBODYS
        for node in operation.selection_set.selections
        for field in _below(node)
    )


def _below(node: SelectionNode) -> Iterable[SelectionNode]:
    """What is selected of the subscription's field; the node itself where it is none."""
    return node.selection_set.selections if isinstance(node, FieldNode) and node.selection_set else (node,)


def _variables_below(operation: OperationDefinitionNode, fragments: Any) -> Iterator[str]:
    """The variables that an event's result may depend on: all but those of the subscription's own arguments."""
    for node in operation.selection_set.selections:
        parts: list[Node] = [node]
        if isinstance(node, FieldNode):
            parts = [*(node.directives or ()), *([node.selection_set] if node.selection_set else ())]
        for part in parts:
            yield from names_in(part)
    for fragment in fragments:
        yield from names_in(fragment)


def names_in(node: Node) -> list[str]:
    names: list[str] = []

    class Names(Visitor):
        def enter_variable(self, variable: VariableNode, *_: Any) -> None:
            names.append(variable.name.value)

    visit(node, Names())
    return names
