"""Folders: their type and mutations."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from models.base import Record
from models.folder import FolderChange, FolderDraft
from resolvers.notes import folders
from schema.types.base import Info, Node, parse_id
from schema.types.inputs import to_draft


@strawberry.type(
    description="A private folder is visible to its creator and the admins of the workspace. It does not hide its "
    "notes."
)
class Folder(Node):
    name: str
    icon: str | None
    color: str | None
    is_private: bool
    created_at: datetime
    member_count: int = strawberry.field(description="The number of members who can see the folder.")

    @strawberry.field(
        graphql_type=Annotated["Folder", strawberry.lazy("schema.types.folders")] | None,
        description="Also null if the viewer can't see the parent.",
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
    """Absent fields stay as they are. A null clears the icon or the color, or moves the folder to the top level."""

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
        return await folders.create_folder(info.context.ctx, to_draft(FolderDraft, input))

    @strawberry.mutation(graphql_type=Folder)
    @staticmethod
    async def update_folder(info: Info, id: strawberry.ID, input: UpdateFolderInput) -> Record:  # noqa: A002 (the contract's name)
        change = to_draft(FolderChange, input, keep_nulls=True)
        return await folders.update_folder(info.context.ctx, parse_id("Folder", id), change)

    @strawberry.mutation(description="Deletes the folder. Its notes and folders move to its parent.")
    @staticmethod
    async def delete_folder(info: Info, id: strawberry.ID) -> strawberry.ID:  # noqa: A002 (the contract's name)
        await folders.delete_folder(info.context.ctx, parse_id("Folder", id))
        return id
