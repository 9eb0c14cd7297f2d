"""A field that `models.note.NoteFields` declares reaches both edges. A failure names the file that lacks a line."""

from typing import Any, get_type_hints

import pytest
from pydantic.alias_generators import to_camel

from models import Note
from models.note import NoteFields, NoteKind, NoteVisibility
from resolvers import notes
from resolvers.core.context import Context
from resolvers.core.drafts import parse_draft
from resolvers.notes import serialization
from rest_compat import serializers, shapes
from rest_compat.notes import NoteBody, NoteUpdateBody
from schema.types.note_fields import NoteFields as GraphQLFields
from tests.resolvers.helpers import graphql

FIELDS = sorted(NoteFields.model_fields)
SAMPLES: dict[type, Any] = {str: "x", float: 1.5, NoteKind: NoteKind.PODCAST, NoteVisibility: NoteVisibility.PRIVATE}
CREATE = "mutation($input: CreateNoteInput!) {{ createNote(input: $input) {{ id {field} }} }}"
UPDATE = "mutation($id: ID!, $input: UpdateNoteInput!) {{ updateNote(id: $id, input: $input) {{ {field} }} }}"


def sample(name: str) -> Any:
    """A value that the field accepts and that is not its default."""
    column = Note.__table__.columns[name]  # type: ignore[attr-defined]  # set on table classes
    if name == "content_json":
        return {"a": 1}
    return SAMPLES[getattr(column.type, "enum_class", None) or column.type.python_type]


@pytest.mark.parametrize("name", FIELDS)
async def test_graphql_writes_and_reads_the_field(me: Context, name: str) -> None:
    assert name in GraphQLFields.__annotations__, f"declare {name} in schema/types/note_fields.py"
    field, value = to_camel(name), sample(name)
    sent = value.name if hasattr(value, "name") else value
    created = (await graphql(me, CREATE.format(field=field), input={"title": "A note", field: sent}))["createNote"]
    assert created[field] == sent
    plain = await notes.create_note(me, parse_draft(NoteBody, {"title": "A note"}))
    updated = await graphql(me, UPDATE.format(field=field), id=str(plain.id), input={field: sent})
    assert updated["updateNote"][field] == sent


@pytest.mark.parametrize("name", sorted({*FIELDS} - serialization.DOCUMENT_FIELDS))
async def test_rest_and_webhooks_write_and_read_the_field(me: Context, name: str) -> None:
    field, value = to_camel(name), sample(name)
    assert field in get_type_hints(shapes.Note), f"declare {field} in Note of rest_compat/shapes.py"
    row = await notes.create_note(me, parse_draft(NoteBody, {"title": "A note", field: value}))
    plain = await notes.create_note(me, parse_draft(NoteBody, {"title": "A note"}))
    changed = await notes.update_note(me, plain.id, parse_draft(NoteUpdateBody, {field: value}))
    for note in (row, changed):
        body: Any = serializers.note(note, await notes.read_details(me, [note]))
        assert body[field] == value


async def test_the_rest_note_has_no_field_that_is_not_serialized(me: Context) -> None:
    row = await notes.create_note(me, parse_draft(NoteBody, {"title": "A note"}))
    assert set(serializers.note(row, await notes.read_details(me, [row]))) == set(get_type_hints(shapes.Note))
