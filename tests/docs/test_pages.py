"""Every command of README.md and docs/*.md runs against a demo server, and prints what the page says."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from tests.docs.comparison import Bindings
from tests.docs.conftest import Demo
from tests.docs.pages import ROOT, Example, examples, pages
from tests.docs.shell import Shell

NOT_RUN = {
    "README.md: starts the server and this suite itself": 1,
}
"""Every block that is not run: a new one must be added here, with its reason."""
EVENTUALLY_TIMEOUT_SECONDS = 60.0
MARKS = re.compile(r"setup|eventually|background|background output|server start|(part of|not run:) .+")


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text())


class Reader:
    """Follows a page: runs its examples in order, and compares each output with the documented one."""

    def __init__(self, demo: Demo, shell: Shell, schema: GraphQLSchema) -> None:
        self._demo, self._shell, self._schema = demo, shell, schema
        self._key = demo.create_key()
        self._bindings = Bindings()
        self._background: Path | None = None

    def follow(self, example: Example) -> None:
        match example.mark.split(":")[0].split(" of ")[0]:
            case "not run":
                return
            case "server start":
                self._compare(example, example.text, "\n".join(self._demo.server.lines))
            case "part":
                assert example.text in (ROOT / example.mark.removeprefix("part of ")).read_text(), example.name
            case "background":
                self._background = self._shell.run_in_background(self._command(example.text))
            case "background output":
                background = self._background
                assert background is not None, example.name
                self._eventually(example, example.text, background.read_text)
            case mark:
                self._run(example, repeat=mark == "eventually")

    def _run(self, example: Example, *, repeat: bool) -> None:
        if example.language == "graphql":
            document = parse(example.text)
            assert validate(self._schema, document) == [], example.name
        assert example.language in {"sh", "graphql"}, f"{example.name}: how is this block checked?"
        if repeat:
            assert example.output is not None, f"{example.name}: nothing to wait for"
            self._eventually(example, example.output, lambda: self._output(example))
        else:
            output = self._output(example)
            if example.output is not None:
                self._compare(example, example.output, output)

    def _output(self, example: Example) -> str:
        text = self._command(example.text)
        if example.language == "sh":
            return self._shell.run(text)
        answer = self._demo.query(self._key, text)
        assert "errors" not in answer or '"errors"' in (example.output or ""), f"{example.name}: {answer}"
        return json.dumps(answer, ensure_ascii=False)

    def _command(self, text: str) -> str:
        return self._demo.localized(self._bindings.substitute(text), self._key)

    def _matches(self, example: Example, documented: str, actual: str) -> bool:
        language = example.output_language if example.output is not None else example.language
        return self._bindings.match(documented, self._demo.documented(actual), is_json=language == "json")

    def _compare(self, example: Example, documented: str, actual: str) -> None:
        assert self._matches(example, documented, actual), (
            f"{example.name}: the output has changed.\n--- documented:\n{documented}\n--- actual:\n{actual}"
        )

    def _eventually(self, example: Example, documented: str, read: Callable[[], str]) -> None:
        deadline = time.monotonic() + EVENTUALLY_TIMEOUT_SECONDS
        while not self._matches(example, documented, output := read()):
            if time.monotonic() > deadline:
                self._compare(example, documented, output)
            time.sleep(0.2)


@pytest.mark.parametrize("page", pages())
@pytest.mark.usefixtures("unchanged_workspace")
def test_the_examples_of_a_page_print_what_it_says(
    page: str, demo: Demo, schema: GraphQLSchema, tmp_path: Path
) -> None:
    with Shell(tmp_path, demo.environment) as shell:
        reader = Reader(demo, shell, schema)
        if page != "README.md":
            for example in examples("README.md"):
                if example.mark == "setup":
                    reader.follow(example)
        for example in examples(page):
            reader.follow(example)


def test_nothing_is_skipped_unnoticed() -> None:
    skipped = [example for page in pages() for example in examples(page) if example.is_skipped]
    counts: dict[str, int] = {}
    for example in skipped:
        name = f"{example.page}: {example.mark.removeprefix('not run: ')}"
        counts[name] = counts.get(name, 0) + 1
    assert counts == NOT_RUN


def test_every_mark_is_one_that_the_suite_knows() -> None:
    marks = {example.mark for page in pages() for example in examples(page)}
    assert [mark for mark in marks if mark and not MARKS.fullmatch(mark)] == []
