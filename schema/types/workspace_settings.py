"""Changing a workspace: its name, icon, domains and settings."""

import strawberry
from strawberry import UNSET

from models.base import Record
from models.settings import WorkspaceChange
from resolvers.core.drafts import parse_draft
from resolvers.workspaces import workspaces
from schema.types.base import Info
from schema.types.inputs import values
from schema.types.workspaces import Workspace


@strawberry.input
class WorkspaceSettingsInput:
    """An absent field is kept."""

    default_language: str | None = UNSET
    brand_color: str | None = UNSET
    enable_transcript_sharing: bool | None = UNSET


@strawberry.input
class UpdateWorkspaceInput:
    """An absent field is kept, an explicit null clears the icon."""

    name: str | None = UNSET
    icon_url: str | None = UNSET
    allowed_email_domains: list[str] | None = UNSET
    settings: WorkspaceSettingsInput | None = UNSET


@strawberry.type
class WorkspaceMutation:
    @strawberry.mutation(graphql_type=Workspace, description="The viewer's workspace; for its admins.")
    @staticmethod
    async def update_workspace(info: Info, input: UpdateWorkspaceInput) -> Record:  # noqa: A002 (the contract's name)
        given = values(input, keep_nulls=True)
        if input.settings:
            # A null within is refused too, and not taken for what was not sent.
            given["settings"] = values(input.settings, keep_nulls=True)
        return await workspaces.update(info.context.ctx, parse_draft(WorkspaceChange, given))
