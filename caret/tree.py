"""Renders the tree of packages for docs/architecture.md, from the first sentence of each package's docstring."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("caret", "schema", "rest_compat", "streaming", "resolvers", "models", "migrations", "bench", "tests")
BLOCK = re.compile(r"(<!-- tree:.*? -->\n).*?(<!-- /tree -->)", re.DOTALL)
WIDTH = 24


def architecture_page() -> str:
    """docs/architecture.md with the tree of today between its two marks."""
    tree = "\n".join(line for name in PACKAGES for line in _lines(ROOT / name, ""))
    return BLOCK.sub(lambda match: f"{match[1]}```text\n{tree}\n```\n{match[2]}", PAGE.read_text())


def _lines(package: Path, indent: str) -> list[str]:
    source = package / "__init__.py"
    if not source.exists():
        return []
    lines = [f"{f'{indent}{package.name}/':{WIDTH}}{_summary(source)}".rstrip()]
    for child in sorted(package.iterdir()):
        if child.is_dir():
            lines += _lines(child, f"{indent}  ")
    return lines


def _summary(source: Path) -> str:
    docstring = ast.get_docstring(ast.parse(source.read_text())) or ""
    return " ".join(docstring.partition("\n\n")[0].split())
