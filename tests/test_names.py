"""Names say what a thing is: none has a word of a private language, and no class name stands for two things."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.support.servers import ROOT

PACKAGES = ("caret", "schema", "rest_compat", "streaming", "resolvers", "models", "bench")
PRIVATE_WORDS = {
    *("found", "place", "told", "made", "wanted", "mine", "given", "shown", "heard", "hear", "spare", "patience"),
    *("patiently", "standing", "mended", "teller", "telling", "tell"),
}
"""docs/glossary.md has the words in their place."""
ALLOWED = {
    "not_found": "the name of the error",
    "NOT_FOUND": "the name of the error",
    "PERSISTED_QUERY_NOT_FOUND": "Apollo's name of the error",
    "not_found_route": "the route that answers with that error",
    "connection_made": "asyncio's name",
    "follower_patience": "read from CARET_FOLLOWER_PATIENCE",
    "index_wanted": "the name of a column",
}

TABLE, PORT = (
    "a table, and what the edges show of its rows",
    "an object of the resolvers, and what the edges show of it",
)
SHAPE = "a part of a note or workspace, in both edges"
DRAFT = "an input as the resolvers have it, and as GraphQL has it"
SHARED_CLASS_NAMES = {
    **dict.fromkeys(("ApiKey", "Conversation", "Delivery", "Event", "Folder", "Group", "Invite", "Member"), TABLE),
    **dict.fromkeys(("Message", "Note", "Suggestion", "Tag", "TranscriptSegment", "User", "Webhook"), TABLE),
    **dict.fromkeys(("Workspace",), TABLE),
    **dict.fromkeys(("Page", "ReplyEvent", "SentMessage", "ToolCall", "Viewer"), PORT),
    **dict.fromkeys(("Attendee", "CalendarEvent", "Model", "Participant", "WorkspaceSettings"), SHAPE),
    **dict.fromkeys(("NoteFields", "NoteFilter", "NoteOrder"), DRAFT),
}
"""The class names that several modules define, each with the reason: all are one thing in several layers."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted(ROOT.glob(f"{package}/**/*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def defined_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def words_of(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"([A-Z]+)", r" \1", name).lower()))


def test_no_identifier_has_a_private_word() -> None:
    assert [
        f"{path}: {name}"
        for path, tree in modules()
        for name in defined_names(tree)
        if name not in ALLOWED and words_of(name) & PRIVATE_WORDS
    ] == []


def test_a_class_name_stands_for_one_thing() -> None:
    paths_of: dict[str, list[str]] = defaultdict(list)
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                paths_of[node.name].append(path)
    shared = {name: paths for name, paths in paths_of.items() if len(paths) > 1}
    assert {name: paths for name, paths in shared.items() if name not in SHARED_CLASS_NAMES} == {}
    assert set(SHARED_CLASS_NAMES) <= set(shared), "a reason without a need"
