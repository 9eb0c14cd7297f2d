"""Workspaces, their people and keys, and the viewer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry

from models.base import Record, as_id
from models.people import MemberFilter
from resolvers.auth import access
from resolvers.core.drafts import parse_draft
from resolvers.core.pagination import Page, PageArguments
from resolvers.workspaces import workspaces
from schema.types.base import Connection, Info, Node, or_none
from schema.types.enums import Plan
from schema.types.folders import Folder
from schema.types.tags import Tag


@strawberry.type
class User(Node):
    name: str
    email: str | None
    profile_url: str | None

    @classmethod
    def is_type_of(cls, obj: object, _info: object) -> bool:
        # A row knows no table: a person is told from a key, the other kind of actor, by what only people have.
        return hasattr(obj, "profile_url")


@strawberry.type
class ApiKey(Node):
    name: str
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @strawberry.field
    @staticmethod
    def scopes(root: strawberry.Parent[Record]) -> list[str]:
        return sorted(access.SCOPES if root.scopes is None else root.scopes)

    @classmethod
    def is_type_of(cls, obj: object, _info: object) -> bool:
        return hasattr(obj, "prefix")


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
        return WorkspaceSettings(**workspaces.settings(root))

    @strawberry.field(graphql_type=list[Tag])
    @staticmethod
    async def tags(root: strawberry.Parent[Record], info: Info) -> Sequence[Record]:
        return await info.context.loaders.workspace_tags.load(root.id)

    @strawberry.field(graphql_type=list[Folder], description="Those that the viewer sees, by name.")
    @staticmethod
    async def folders(root: strawberry.Parent[Record], info: Info) -> Sequence[Record]:
        return await info.context.loaders.workspace_folders.load(root.id)

    @strawberry.field(
        graphql_type=Connection[Annotated["Member", strawberry.lazy("schema.types.members")]],  # type: ignore[name-defined]  # noqa: F821 (lazy)
        description="First joined first. `search`: those whose name or address has these characters, in any case.",
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
        description="The open ones, newest first; for admins only.",
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
        me = info.context.ctx.viewer
        return None if me.api_key_id else await info.context.loaders.user.load(me.user_id)

    @strawberry.field(graphql_type=ApiKey | None)
    @staticmethod
    async def api_key(info: Info) -> Record | None:
        me = info.context.ctx.viewer
        return await info.context.loaders.api_key.load(me.api_key_id) if me.api_key_id else None

    @strawberry.field(graphql_type=Workspace)
    @staticmethod
    async def workspace(info: Info) -> Record:
        return await workspaces.get(info.context.ctx)

    @strawberry.field(graphql_type=list[Workspace], name="workspaces")
    @staticmethod
    async def all_workspaces(info: Info) -> Sequence[Record]:
        return await workspaces.mine(info.context.ctx)

    @strawberry.field
    @staticmethod
    def scopes(info: Info) -> list[str]:
        scopes = info.context.ctx.viewer.scopes
        return sorted(access.SCOPES if scopes is None else scopes)


@strawberry.type
class WorkspaceQuery:
    @strawberry.field(description="Who asks, and from which workspace.")
    @staticmethod
    def viewer(info: Info) -> Viewer:
        # Asking for `me` refuses whoever sent no credential.
        _ = info.context.ctx.viewer
        return Viewer()

    @strawberry.field(graphql_type=Workspace | None, description="Without an id: the key's, or the user's default one.")
    @staticmethod
    async def workspace(info: Info, id: strawberry.ID | None = None) -> Record | None:  # noqa: A002 (the contract's name)
        wanted = None if id is None else as_id(id)
        if id is not None and wanted is None:
            return None
        return await or_none(workspaces.get(info.context.ctx, wanted))
