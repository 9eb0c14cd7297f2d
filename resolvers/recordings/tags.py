"""Tags of a note from audio, which the request names by id or by name."""

from collections.abc import Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from models import NoteTag, Tag
from models.base import Record, as_id
from models.note import MAX_TAGS
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem

FIELD = "tags"


async def add_tags(tx: Transaction, note: Record, ids_or_names: Sequence[str]) -> None:
    """Adds tags to the note. Raises UNPROCESSABLE for an unknown tag, and for more tags than a note may have."""
    if not ids_or_names:
        return
    tags = await _find_tags(tx, note, ids_or_names)
    known = {tag.name for tag in tags} | {tag.id for tag in tags}
    for id_or_name in ids_or_names:
        if id_or_name not in known and as_id(id_or_name) not in known:
            raise Problem(ErrorCode.UNPROCESSABLE, f"Unknown tag {id_or_name[:100]}.", FIELD)
    rows = [{"note_id": note.id, "tag_id": tag.id, "workspace_id": note.workspace_id} for tag in tags]
    await tx.execute(insert(NoteTag).on_conflict_do_nothing(), rows)
    count = select(func.count()).select_from(NoteTag).where(col(NoteTag.note_id) == note.id)
    if (await tx.execute(count)).scalar_one() > MAX_TAGS:
        raise Problem(ErrorCode.UNPROCESSABLE, f"A note has at most {MAX_TAGS} tags.", FIELD)


async def _find_tags(tx: Transaction, note: Record, ids_or_names: Sequence[str]) -> Sequence[Record]:
    ids = [tag_id for tag_id in map(as_id, ids_or_names) if tag_id is not None]
    is_named = or_(col(Tag.id).in_(ids), col(Tag.name).in_(ids_or_names))
    query = select(col(Tag.id), col(Tag.name)).where(col(Tag.workspace_id) == note.workspace_id, is_named)
    return (await tx.execute(query)).all()
