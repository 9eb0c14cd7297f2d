"""Tags of a workspace, which label its notes. Every member may create, change and delete them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import delete as remove
from sqlalchemy import func, insert, select
from sqlalchemy import update as change_rows
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from models import Tag
from models.base import Record, new_id
from models.tag import MAX_WORKSPACE_TAGS, TagChange, TagDraft
from resolvers.auth import access
from resolvers.core.context import Context
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.idempotency import claim
from resolvers.core.locks import acquire_lock


async def list_tags(ctx: Context) -> Sequence[Record]:
    """The tags of the viewer's workspace, sorted by name."""
    here = ctx.viewer.workspace_id
    return (await find_tags_of_workspaces(ctx, [here])).get(here, [])


async def find_tags_of_workspaces(ctx: Context, workspace_ids: Iterable[UUID]) -> Mapping[UUID, list[Record]]:
    """The tags of those of the workspaces that the viewer belongs to, by workspace, sorted by name."""
    access.require_scope(ctx.viewer, "notes")
    query = (
        select(Tag)
        .where(
            col(Tag.workspace_id).in_(list(workspace_ids)), access.in_own_workspace(ctx.viewer, col(Tag.workspace_id))
        )
        .order_by(col(Tag.name), col(Tag.id))
    )
    tags: defaultdict[UUID, list[Record]] = defaultdict(list)
    async with ctx.read() as tx:
        for row in await tx.execute(query):
            tags[row.workspace_id].append(row)
    return tags


async def find_tags(ctx: Context, tag_ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """The tags with these ids in the viewer's workspaces, by id."""
    access.require_scope(ctx.viewer, "notes")
    query = select(Tag).where(
        col(Tag.id).in_(list(tag_ids)), access.in_own_workspace(ctx.viewer, col(Tag.workspace_id))
    )
    async with ctx.read() as tx:
        return {row.id: row for row in await tx.execute(query)}


async def create_tag(ctx: Context, draft: TagDraft, key: str | None = None) -> Record:
    """Creates a tag in the viewer's workspace. A second call with the same idempotency key returns the first one.

    Raises ALREADY_EXISTS if the workspace has a tag with this name, UNPROCESSABLE beyond MAX_WORKSPACE_TAGS.
    """
    viewer = ctx.viewer
    access.require_scope(viewer, "notes", write=True)
    tag_id = new_id()
    async with ctx.transaction() as tx:
        created_id = await claim(tx, viewer, key, tag_id, operation="createTag", draft=draft)
        if created_id != tag_id:
            return await access.require_tag(tx, viewer, created_id)
        await acquire_lock(tx, "tags", viewer.workspace_id)
        count = select(func.count()).select_from(Tag).where(col(Tag.workspace_id) == viewer.workspace_id)
        if (await tx.execute(count)).scalar_one() >= MAX_WORKSPACE_TAGS:
            raise Problem(ErrorCode.UNPROCESSABLE, f"A workspace has at most {MAX_WORKSPACE_TAGS:,} tags.")
        row = insert(Tag).values(id=tag_id, workspace_id=viewer.workspace_id, **draft.model_dump()).returning(Tag)
        with unique_name(draft.name):
            return (await tx.execute(row)).one()


async def update_tag(ctx: Context, tag_id: UUID, change: TagChange) -> Record:
    """Changes the fields that were sent. Raises ALREADY_EXISTS if another tag has the name."""
    values = change.model_dump(exclude_unset=True)
    async with ctx.transaction() as tx:
        tag = await access.require_tag(tx, ctx.viewer, tag_id, change=True)
        if not values:
            return tag
        # One at a time, because two changes that swap names would deadlock.
        await acquire_lock(tx, "tags", tag.workspace_id)
        written = change_rows(Tag).where(col(Tag.id) == tag_id).values(**values).returning(Tag)
        with unique_name(change.name):
            row = (await tx.execute(written)).one_or_none()
        # The tag may have been deleted since its right was checked.
        return row or await access.require_tag(tx, ctx.viewer, tag_id, change=True)


async def delete_tag(ctx: Context, tag_id: UUID) -> None:
    """Deletes a tag and removes it from its notes, whose revisions stay."""
    async with ctx.transaction() as tx:
        await access.require_tag(tx, ctx.viewer, tag_id, change=True)
        await tx.execute(remove(Tag).where(col(Tag.id) == tag_id))


@contextmanager
def unique_name(name: str) -> Iterator[None]:
    """Raises ALREADY_EXISTS where the statement violates the unique constraint on names."""
    try:
        yield
    except IntegrityError:
        raise Problem(ErrorCode.ALREADY_EXISTS, f"There is a tag named {name} already.", "name") from None
