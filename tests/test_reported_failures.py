"""Bugs are loud: no handler of all exceptions goes on without a traceback and a counter."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PRODUCT = ("caret", "schema", "rest_compat", "streaming", "resolvers", "models")
REPORTERS = {
    "report_failure": "logs an outage as a line, a bug with its traceback and its count",
    "postpone": "of a lease queue: calls report_failure",
    "_postpone": "calls `postpone`",
    "exception": "of a logger: a traceback",
    "print_exc": "of the module traceback, at the end of a process: a traceback",
    "render_error": "of an API family: logs what it masks with its traceback",
    "_failed": "of the GraphQL schema: `render` logs what it masks with its traceback",
    "failed_event": "of the event log's subscriptions: `render` logs what it masks with its traceback",
}
"""The calls that report an exception, and how."""


def handlers_of_everything() -> Iterator[tuple[str, ast.ExceptHandler]]:
    for path in sorted(path for package in PRODUCT for path in Path(package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler) and _catches_everything(node.type):
                yield f"{path}:{node.lineno}", node


def _catches_everything(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_catches_everything(one) for one in caught.elts)
    return caught is None or (isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"})


def _reports(handler: ast.ExceptHandler) -> bool:
    for node in ast.walk(handler):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in REPORTERS:
                return True
    return False


def test_each_handler_of_all_exceptions_raises_or_reports() -> None:
    handlers = dict(handlers_of_everything())
    assert len(handlers) > 10, "the product has more handlers than that: are these its folders?"
    assert [place for place, handler in handlers.items() if not _reports(handler)] == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("log.warning('failed')", False),
        ("pass", False),
        ("return None", False),
        ("log.exception('failed')", True),
        ("report_failure('failed', error)", True),
        ("raise", True),
    ],
)
def test_what_counts_as_a_report(body: str, expected: bool) -> None:
    source = f"def f():\n  try:\n    g()\n  except Exception as error:\n    {body}"
    [handler] = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)]
    assert _reports(handler) is expected
