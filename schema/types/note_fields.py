"""The fields of a note that clients write and read alike, for the type `Note` and for its inputs."""

from collections.abc import Callable
from typing import Optional, TypeVar

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from schema.types.enums import NoteKind, NoteVisibility

Input = TypeVar("Input", bound=type)


@strawberry.type
class NoteFields:
    """Each field of `models.note.NoteFields` is declared here once. `Note` inherits them; no type has this name."""

    title: str
    kind: NoteKind
    visibility: NoteVisibility
    total_duration_sec: float
    user_written_note: str
    enhanced_note: str
    summary: str
    content_text: str
    content_json: JSON | None
    input_language: str | None
    translation_language: str | None
    meeting_app: str | None


def with_optional(fields: type) -> Callable[[Input], Input]:
    """Adds the fields of a type to an input, where each of them may be absent or null."""

    def add(cls: Input) -> Input:
        optional = {name: Optional[kind] for name, kind in fields.__annotations__.items()}  # noqa: UP045 (a value)
        cls.__annotations__ = optional | cls.__annotations__
        for name in optional:
            setattr(cls, name, UNSET)
        return cls

    return add
