"""README.md and docs/*.md as a list of examples: what to run, and the output that the page shows for it.

A page marks what it means by invisible comments before a code block:

    <!-- docs: setup -->              the block defines the shell of every page
    <!-- docs: eventually -->         the block is repeated until its output is the one that the page shows
    <!-- docs: background -->         the block runs until the page ends
    <!-- docs: background output -->  the block is what the background printed up to here
    <!-- docs: server start -->       the block is what the server printed when it started
    <!-- docs: part of FILE -->       the block is a piece of a file of this project
    <!-- docs: not run: REASON -->    the block is not run
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"^(?:<!-- docs: (?P<mark>.+?) -->\n\s*)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARK = re.compile(r"<!-- docs:")
RUN = {"sh", "graphql"}
OUTPUT = {"json", ""}
PICTURE = "text"
"""The language of a block that is a picture or a list: nothing of it can run."""


@dataclass(frozen=True, slots=True)
class Example:
    """A code block of a page, with the block of its output where one follows it."""

    page: str
    line: int
    language: str
    text: str
    mark: str = ""
    output: str | None = None
    output_language: str = ""

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_skipped(self) -> bool:
        return self.mark.startswith("not run: ")


def pages() -> list[str]:
    """The README and every page that has a block to run."""
    paths = [Path("README.md"), *sorted(path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md"))]
    return [str(path) for path in paths if examples(str(path))]


def examples(page: str) -> list[Example]:
    text = (ROOT / page).read_text()
    blocks = list(BLOCK.finditer(text))
    assert len(MARK.findall(text)) == sum(block["mark"] is not None for block in blocks), f"{page}: a mark has no block"
    return list(_pair(page, text, blocks))


def _pair(page: str, text: str, blocks: list[re.Match[str]]) -> Iterator[Example]:
    """Joins each block that runs with the output that follows it directly."""
    position = 0
    while position < len(blocks):
        block, following = blocks[position], blocks[position + 1 : position + 2]
        position += 1
        line = text.count("\n", 0, block.start("text"))
        example = Example(page, line, block["language"], block["text"], block["mark"] or "")
        if block["language"] in RUN and following and _is_output(text, block, following[0]):
            position += 1
            output = following[0]
            example = Example(
                page, line, block["language"], block["text"], example.mark, output["text"], output["language"]
            )
        if example.language != PICTURE:
            yield example


def _is_output(text: str, block: re.Match[str], following: re.Match[str]) -> bool:
    between = text[block.end() : following.start()]
    return not between.strip() and following["language"] in OUTPUT and following["mark"] is None
