"""What a start imports: a slow library that is not needed before the first request must not come back unnoticed."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from caret.child_process import CAN_FORK
from caret.lazy import LazyModule
from tests.support.servers import ROOT

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


async def test_an_import_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = LazyModule("imported_at_the_second_attempt")
    with pytest.raises(ModuleNotFoundError):
        await module.load()
    (tmp_path / "imported_at_the_second_attempt.py").write_text("VALUE = 1\n")
    importlib.invalidate_caches()
    assert (await module.load()).VALUE == 1


FORK_AND_STOP = """
import signal, time
from caret.child_process import Fork
from caret.supervisor import StopSignals
StopSignals()
child = Fork(lambda: time.sleep(60), name="test")
child.send_signal(signal.SIGTERM)
print(child.wait(30))
"""


@pytest.mark.skipif(not CAN_FORK, reason="there each process imports anew")
def test_a_signal_right_after_a_fork_reaches_the_child() -> None:
    command = [sys.executable, "-c", FORK_AND_STOP]
    result = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.stderr) == ("-15\n", "")
