"""Shares: notes that a person may read, in or outside the workspace."""

import strawberry

from models.base import Record, as_id
from resolvers import notes
from schema.types.base import Info, parse_id
from schema.types.notes import Note


@strawberry.type
class ShareMutation:
    @strawberry.mutation(
        graphql_type=Note, description="Lets a person read the note. Only for those who may manage it."
    )
    @staticmethod
    async def share_note(info: Info, note_id: strawberry.ID, user_id: strawberry.ID) -> Record:
        return await notes.share_note(info.context.ctx, parse_id("Note", note_id), as_id(user_id))

    @strawberry.mutation(graphql_type=Note, description="Removes a share. Without a share nothing changes.")
    @staticmethod
    async def unshare_note(info: Info, note_id: strawberry.ID, user_id: strawberry.ID) -> Record:
        return await notes.unshare_note(info.context.ctx, parse_id("Note", note_id), as_id(user_id))
