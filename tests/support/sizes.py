"""How large the tests are that look for what happens rarely: `make soak` runs the same ones with larger numbers."""

import os
from typing import TypeVar

SOAK = os.environ.get("CARET_TEST_SOAK") == "1"
T = TypeVar("T")


def size(usual: T, soak: T) -> T:
    """A number of a test that is marked `soak`."""
    return soak if SOAK else usual
