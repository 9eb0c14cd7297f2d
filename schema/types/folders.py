"""Folders: their type and mutations."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from models.base import Record
from models.folder import FolderChange, FolderDraft
from resolvers.notes import folders
from schema.types.base import Info, Node, parse_id
from schema.types.inputs import draft


@strawberry.type(description="A private one is seen by its creator and the workspace's admins. It hides no note.")
class Folder(Node):
    name: str
    icon: str | None
    color: str | None
    is_private: bool
    created_at: datetime
    member_count: int = strawberry.field(description="How many members of the workspace see it.")

    @strawberry.field(
        graphql_type=Annotated["Folder", strawberry.lazy("schema.types.folders")] | None,
        description="Null also where the viewer does not see it.",
    )
    @staticmethod
    async def parent(root: strawberry.Parent[Record], info: Info) -> Record | None:
        return await info.context.loaders.folder.load(root.parent_id) if root.parent_id else None


@strawberry.input
class CreateFolderInput:
    name: str
    icon: str | None = UNSET
    color: str | None = UNSET
    is_private: bool | None = False
    parent_folder_id: strawberry.ID | None = UNSET


@strawberry.input
class UpdateFolderInput:
    """An absent field is kept, an explicit null clears what may be null; without a parent it is at the top."""

    name: str | None = UNSET
    icon: str | None = UNSET
    color: str | None = UNSET
    is_private: bool | None = UNSET
    parent_folder_id: strawberry.ID | None = UNSET


@strawberry.type
class FolderMutation:
    @strawberry.mutation(graphql_type=Folder)
    @staticmethod
    async def create_folder(info: Info, input: CreateFolderInput) -> Record:  # noqa: A002 (the contract's name)
        return await folders.create(info.context.ctx, draft(FolderDraft, input))

    @strawberry.mutation(graphql_type=Folder)
    @staticmethod
    async def update_folder(info: Info, id: strawberry.ID, input: UpdateFolderInput) -> Record:  # noqa: A002 (the contract's name)
        change = draft(FolderChange, input, keep_nulls=True)
        return await folders.update(info.context.ctx, parse_id("Folder", id), change)

    @strawberry.mutation(description="Its notes and folders move up to its parent.")
    @staticmethod
    async def delete_folder(info: Info, id: strawberry.ID) -> strawberry.ID:  # noqa: A002 (the contract's name)
        await folders.delete(info.context.ctx, parse_id("Folder", id))
        return id
