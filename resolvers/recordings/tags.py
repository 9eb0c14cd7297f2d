"""Tags by their ids or their names."""

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


async def add_tags(tx: Transaction, note: Record, wanted: Sequence[str]) -> None:
    """Puts the tags on the note, each told by its id or its name. Raises UNPROCESSABLE for one that is not there."""
    if not wanted:
        return
    ids = [ident for ident in map(as_id, wanted) if ident is not None]
    told = or_(col(Tag.id).in_(ids), col(Tag.name).in_(wanted))
    query = select(col(Tag.id), col(Tag.name)).where(col(Tag.workspace_id) == note.workspace_id, told)
    found = (await tx.execute(query)).all()
    known = {tag.name for tag in found} | {tag.id for tag in found}
    for one in wanted:
        if one not in known and as_id(one) not in known:
            raise Problem(ErrorCode.UNPROCESSABLE, f"Unknown tag {one[:100]}.", FIELD)
    rows = [{"note_id": note.id, "tag_id": tag.id, "workspace_id": note.workspace_id} for tag in found]
    await tx.execute(insert(NoteTag).on_conflict_do_nothing(), rows)
    count = select(func.count()).select_from(NoteTag).where(col(NoteTag.note_id) == note.id)
    if (await tx.execute(count)).scalar_one() > MAX_TAGS:
        raise Problem(ErrorCode.UNPROCESSABLE, f"A note has at most {MAX_TAGS} tags.", FIELD)
