"""Limits: each is declared by `limit`, beside the table or input that it bounds, else where it is enforced.

docs/limits.md is generated from the declarations.


MAX_TAGS = limit(1_000, "Tags of a workspace", area="Notes", beyond="UNPROCESSABLE, 422")
"""

from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value", int, float)


@dataclass(frozen=True, slots=True)
class Limit:
    """A row of docs/limits.md. `beyond` says what happens at more than `value`: an error code and status, or a cut."""

    value: float
    subject: str
    area: str
    beyond: str
    unit: str
    minimum: float | None


DECLARED: list[Limit] = []
"""Every limit of the modules that were imported so far."""


def limit(value: Value, subject: str, *, area: str, beyond: str, unit: str = "", minimum: float | None = None) -> Value:
    """Declares a limit and returns its value.

    `subject` names what is limited, `unit` what is counted ("characters", "MiB", "seconds"; empty where the subject
    says it), `minimum` the least that is accepted where that is not zero.
    """
    DECLARED.append(Limit(value, subject, area, beyond, unit, minimum))
    return value
