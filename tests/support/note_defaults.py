"""What the fields of a note are until somebody writes them.

Tests put these first and then every value that they expect: a field that is added later has the default it declares.
"""

from typing import Any

from pydantic.alias_generators import to_camel

from models.note import NoteFields
from resolvers.notes.serialization import DOCUMENT_FIELDS

COLUMN_DEFAULTS: dict[str, Any] = {
    name: field.default for name, field in NoteFields.model_fields.items() if not field.is_required()
}
"""By column."""
JSON_COLUMN_DEFAULTS = {name: value for name, value in COLUMN_DEFAULTS.items() if name not in DOCUMENT_FIELDS}
"""The same without the fields that only GraphQL has."""
JSON_DEFAULTS = {to_camel(name): value for name, value in JSON_COLUMN_DEFAULTS.items()}
"""The same by the names of the JSON fields."""
