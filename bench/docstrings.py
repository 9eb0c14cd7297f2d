"""Questions and passages from the Python standard library's docstrings: what many people wrote about many things.

The question is the first sentence of a docstring, the passage the rest of it, as it stands. Taken are those of modules,
classes and functions that are public (no tests, no IDLE, no name that begins with one underscore on the way) where

* the question has 20 to 200 characters and at least six words: it is no label,
* the passage has at least 200 characters and 30 words, four fifths of its characters are letters or white space, and it
  shows no session (`>>>`): what is left is prose, not tables and code,
* neither the question nor the passage came before.

Of these the `number` whose questions have the least SHA-256: the same with every run of the same Python.
"""

import ast
import hashlib
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NO_LIBRARY = {"test", "tests", "idlelib", "idle_test", "lib2to3", "turtledemo", "site-packages"}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SENTENCE = re.compile(r"(.+?)(?:(?<=[.!?])\s|\n\s*\n)", re.DOTALL)
"""What ends with a stop before a space, or with a paragraph."""


@dataclass(frozen=True)
class Pair:
    question: str
    passage: str


@cache
def pairs(number: int) -> list[Pair]:
    """As many pairs, or all there are."""
    pairs: dict[str, Pair] = {}
    passages = set()
    for documented in docstrings():
        pair = split(documented)
        if pair is not None and pair.question not in pairs and pair.passage not in passages:
            passages.add(pair.passage)
            pairs[pair.question] = pair
    return sorted(pairs.values(), key=lambda pair: hashlib.sha256(pair.question.encode()).digest())[:number]


def docstrings() -> Iterator[str]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if not NO_LIBRARY.isdisjoint(parts) or any(map(is_private, parts)):
            continue
        yield from within(ast.parse(path.read_text("utf-8")))


def within(node: ast.AST) -> Iterator[str]:
    if isinstance(node, DOCUMENTED):
        if is_private(getattr(node, "name", "")):
            return
        if text := ast.get_docstring(node):
            yield text
    for child in ast.iter_child_nodes(node):
        yield from within(child)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def split(documented: str) -> Pair | None:
    match = SENTENCE.match(documented)
    if match is None:
        return None
    question, passage = " ".join(match[1].split()), documented[match.end() :].strip()
    plain = 20 <= len(question) <= 200 and len(question.split()) >= 6
    return Pair(question, passage) if plain and is_prose(passage) else None


def is_prose(text: str) -> bool:
    if len(text) < 200 or len(text.split()) < 30 or ">>>" in text:
        return False
    return sum(letter.isalpha() or letter.isspace() for letter in text) >= 0.8 * len(text)
