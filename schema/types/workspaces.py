"""Workspaces, and the viewer."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated

import strawberry
from strawberry import UNSET

from models.base import Record
from models.people import MemberFilter
from models.settings import WorkspaceChange
from resolvers.auth import access
from resolvers.core.drafts import parse_draft
from resolvers.core.pagination import Page, PageArguments
from resolvers.workspaces import workspaces
from schema.types.api_keys import ApiKey
from schema.types.base import Connection, Info, Node, get_or_none
from schema.types.enums import Plan
from schema.types.folders import Folder
from schema.types.inputs import to_values
from schema.types.tags import Tag
from schema.types.users import User


@strawberry.type
class WorkspaceSettings:
    default_language: str
    brand_color: str
    enable_transcript_sharing: bool


@strawberry.type
class Workspace(Node):
    name: str
    plan: Plan
    icon_url: str | None
    allowed_email_domains: list[str]
    created_at: datetime
    updated_at: datetime

    @strawberry.field
    @staticmethod
    def settings(root: strawberry.Parent[Record]) -> WorkspaceSettings:
        return WorkspaceSettings(**workspaces.read_settings(root))

    @strawberry.field(graphql_type=list[Tag])
    @staticmethod
    async def tags(root: strawberry.Parent[Record], info: Info) -> Sequence[Record]:
        return await info.context.loaders.workspace_tags.load(root.id)

    @strawberry.field(graphql_type=list[Folder], description="The folders that the viewer can see, sorted by name.")
    @staticmethod
    async def folders(root: strawberry.Parent[Record], info: Info) -> Sequence[Record]:
        return await info.context.loaders.workspace_folders.load(root.id)

    @strawberry.field(
        graphql_type=Connection[Annotated["Member", strawberry.lazy("schema.types.members")]],  # type: ignore[name-defined]  # noqa: F821 (lazy)
        description="In the order in which they joined. `search` keeps the members whose name or email address "
        "contains "
        "this text; case is ignored.",
    )
    @staticmethod
    async def members(
        root: strawberry.Parent[Record],
        info: Info,
        first: int | None = None,
        after: str | None = None,
        search: str | None = None,
    ) -> Page:
        filters = parse_draft(MemberFilter, {"search": search})
        return await info.context.loaders.members.load((root.id, (PageArguments(first=first, after=after), filters)))

    @strawberry.field(
        graphql_type=list[Annotated["Group", strawberry.lazy("schema.types.groups")]]  # type: ignore[name-defined]  # noqa: F821 (lazy)
    )
    @staticmethod
    async def groups(root: strawberry.Parent[Record], info: Info) -> Sequence[Record]:
        return await info.context.loaders.groups.load(root.id)

    @strawberry.field(
        graphql_type=Connection[Annotated["Invite", strawberry.lazy("schema.types.invites")]],  # type: ignore[name-defined]  # noqa: F821 (lazy)
        description="The open invites, newest first. Only for admins.",
    )
    @staticmethod
    async def invites(
        root: strawberry.Parent[Record], info: Info, first: int | None = None, after: str | None = None
    ) -> Page:
        return await info.context.loaders.invites.load((root.id, (PageArguments(first=first, after=after),)))


@strawberry.type
class Viewer:
    @strawberry.field(graphql_type=User | None)
    @staticmethod
    async def user(info: Info) -> Record | None:
        viewer = info.context.ctx.viewer
        return None if viewer.api_key_id else await info.context.loaders.user.load(viewer.user_id)

    @strawberry.field(graphql_type=ApiKey | None)
    @staticmethod
    async def api_key(info: Info) -> Record | None:
        key_id = info.context.ctx.viewer.api_key_id
        return await info.context.loaders.api_key.load(key_id) if key_id else None

    @strawberry.field(graphql_type=Workspace)
    @staticmethod
    async def workspace(info: Info) -> Record:
        return await workspaces.get_workspace(info.context.ctx)

    @strawberry.field(graphql_type=list[Workspace], name="workspaces")
    @staticmethod
    async def all_workspaces(info: Info) -> Sequence[Record]:
        return await workspaces.list_own_workspaces(info.context.ctx)

    @strawberry.field
    @staticmethod
    def scopes(info: Info) -> list[str]:
        scopes = info.context.ctx.viewer.scopes
        return sorted(access.SCOPES if scopes is None else scopes)


@strawberry.input
class WorkspaceSettingsInput:
    """Absent fields stay as they are."""

    default_language: str | None = UNSET
    brand_color: str | None = UNSET
    enable_transcript_sharing: bool | None = UNSET


@strawberry.input
class UpdateWorkspaceInput:
    """Absent fields stay as they are. A null clears the icon."""

    name: str | None = UNSET
    icon_url: str | None = UNSET
    allowed_email_domains: list[str] | None = UNSET
    settings: WorkspaceSettingsInput | None = UNSET


@strawberry.type
class WorkspaceQuery:
    @strawberry.field(description="The caller of this request, and their workspace.")
    @staticmethod
    def viewer(info: Info) -> Viewer:
        # Raises UNAUTHENTICATED if the request had no credential.
        _ = info.context.ctx.viewer
        return Viewer()

    @strawberry.field(
        graphql_type=Workspace | None,
        description="Without `id`: the workspace of the API key, or the default workspace of the user.",
    )
    @staticmethod
    async def workspace(info: Info, id: strawberry.ID | None = None) -> Record | None:  # noqa: A002 (the contract's name)
        ctx = info.context.ctx
        return await (
            workspaces.get_workspace(ctx) if id is None else get_or_none(id, partial(workspaces.get_workspace, ctx))
        )


@strawberry.type
class WorkspaceMutation:
    @strawberry.mutation(graphql_type=Workspace, description="Changes the viewer's workspace. Only for admins.")
    @staticmethod
    async def update_workspace(info: Info, input: UpdateWorkspaceInput) -> Record:  # noqa: A002 (the contract's name)
        change = to_values(input, keep_nulls=True)
        if input.settings:
            # A null within the settings is refused too, and not taken for an absent field.
            change["settings"] = to_values(input.settings, keep_nulls=True)
        return await workspaces.update_workspace(info.context.ctx, parse_draft(WorkspaceChange, change))
