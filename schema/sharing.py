"""An event is executed once for all who follow it by the same operation with the same rights, however many they are.

A thousand editors that show one workspace send the same text with the same key, but for where they start. What they
select below the event is the same for them at the same moment, so the first executes it and the others are given its
result. It is kept for a second: who comes later sees what is there by then.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from graphql import (
    ExecutionResult,
    FieldNode,
    Node,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    visit,
)
from sqlalchemy import Row
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

FRESH = 1.0
"""Seconds for which a result is good for others."""
MAX_SHARED = 200
"""Results that are kept at most."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`operation` is kept so that no other one can have its identity, which is part of the key. None: it failed."""

    result: "asyncio.Future[ExecutionResult | None]"
    operation: OperationDefinitionNode
    at: float


class Shared:
    """The results of this process that others may want."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Entry] = OrderedDict()

    def get(self, key: Hashable) -> Entry | None:
        now = time.monotonic()
        while self._kept and (now - next(iter(self._kept.values())).at > FRESH or len(self._kept) > MAX_SHARED):
            self._kept.popitem(last=False)
        return self._kept.get(key)

    def begin(self, key: Hashable, operation: OperationDefinitionNode) -> "asyncio.Future[ExecutionResult | None]":
        result: asyncio.Future[ExecutionResult | None] = asyncio.get_running_loop().create_future()
        self._kept[key] = Entry(result, operation, time.monotonic())
        return result


shared = Shared()


class SharingExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes every operation as Strawberry does, and the events of the log with `Shared`."""

    def build_per_event_executor(self, payload: Any) -> "SharingExecutor":
        # Once for the subscription: the executor of an event is a copy that has it already.
        _ = self.likeness
        return cast(SharingExecutor, super().build_per_event_executor(payload))

    @cached_property
    def likeness(self) -> Hashable:
        """The same for those to whom the same event is the same result."""
        below = set(_variables_below(self.operation, self.fragment_definitions.values()))
        given = {name: value for name, value in self.variable_values.coerced.items() if name in below}
        return id(self.operation), repr(sorted(given.items())), self.context_value.ctx.viewer

    def execute_operation(self, serially: bool | None = None) -> Any:
        event = self.root_value
        # Only the log's events are rows: what else is followed is one follower's own.
        if self.operation.operation is not OperationType.SUBSCRIPTION or not isinstance(event, Row):
            return super().execute_operation(serially)
        return self._share((event.id, self.likeness))

    async def _share(self, key: Hashable) -> Any:
        known = shared.get(key)
        if known is not None:
            # Shielded: who leaves must not take it from the others.
            found = known.result.result() if known.result.done() else await asyncio.shield(known.result)
            if found is not None:
                return found
        mine = shared.begin(key, self.operation)
        told: ExecutionResult | None = None
        try:
            done: Any = super().execute_operation(False)
            result: ExecutionResult = (
                await cast("Awaitable[ExecutionResult]", done) if self.is_awaitable(done) else done
            )
            # Errors are told to each with their own request's id.
            told = None if result.errors else result
            return result
        finally:
            mine.set_result(told)


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
