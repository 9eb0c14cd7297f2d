"""An operation as a client sends it, on any transport."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """`query` is None where the document is named instead: by `document_id`, or by the hash in `extensions` (see
    `schema.execution.persisted_documents`)."""

    query: str | None
    name: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)
    document_id: str | None = None
