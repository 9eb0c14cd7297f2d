"""What a start imports: a slow library that is not needed before the first request must not come back unnoticed."""

import subprocess
import sys

import pytest

LATER = {
    "aiohttp",
    "alembic",
    "httpx",
    "jwt",
    "numpy",
    "onnxruntime",
    "openai",
    "pydantic_ai",
    "rich",
    "tokenizers",
}
MAX_MODULES = 1_330
PROGRAM = """
from caret.lazy import import_for_start
import_for_start("caret.commands.{}")
import sys
print(*sys.modules)
"""


@pytest.mark.parametrize("command", ["web", "worker"])
def test_a_process_imports_no_library_before_it_needs_it(command: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(command)], check=True, capture_output=True, text=True, timeout=120
    )
    modules = run.stdout.split()
    assert LATER.intersection(modules) == set()
    assert len(modules) < MAX_MODULES


def test_the_supervisor_has_one_thread_when_it_forks() -> None:
    program = """if True:
        from pathlib import Path
        from caret.child_process import import_program
        import_program()
        print(len(list(Path("/proc/self/task").iterdir())))"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["1"]
