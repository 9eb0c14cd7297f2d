"""The inputs about the people of a workspace: members, groups, invites and API keys."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Constraint

from models.base import Draft, Email, Id, Line, Prose, storable
from models.limits import limit
from models.workspace import Role

MAX_NAME = limit(
    100,
    "Name of a group or of an API key",
    area="Workspaces",
    unit="characters",
    minimum=1,
    beyond="`BAD_USER_INPUT`, 400",
)
MAX_DESCRIPTION = limit(
    1_000, "Description of a group", area="Workspaces", unit="characters", beyond="`BAD_USER_INPUT`, 400"
)
MAX_GROUP_IDS = limit(100, "Groups of a member, or of an invite", area="Workspaces", beyond="`BAD_USER_INPUT`, 400")
MAX_SCOPES = limit(20, "Scopes of an API key", area="Workspaces", beyond="`BAD_USER_INPUT`, 400")

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME), AfterValidator(storable)
]
Description = Annotated[Prose, StringConstraints(max_length=MAX_DESCRIPTION)]
GroupIds = Annotated[list[Id], Constraint(max_length=MAX_GROUP_IDS)]


class MemberFilter(Draft, frozen=True):
    """`search` selects the members whose name or email address contains the text, regardless of case."""

    search: Line | None = None


class MemberChange(Draft):
    """The fields to change. A field that is not in `model_fields_set` keeps its value. The groups are replaced."""

    role: Role = Role.MEMBER
    group_ids: GroupIds = []


class GroupDraft(Draft):
    name: Name
    description: Description | None = None


class GroupChange(GroupDraft):
    """The fields to change. A field that is not set (see `model_fields_set`) keeps its value."""

    name: Name = ""


class InviteDraft(Draft):
    """An invite for the user with `email`, or with `is_url_invite` for everybody who has its code."""

    email: Email | None = None
    role: Role = Role.MEMBER
    is_url_invite: bool = False
    group_ids: GroupIds = []


class AcceptDraft(Draft):
    code: Annotated[Line, StringConstraints(max_length=64)]


class ApiKeyDraft(Draft):
    """An API key to create. `scopes` None gives full access to the workspace."""

    name: Name
    scopes: Annotated[list[Line], Constraint(max_length=MAX_SCOPES)] | None = None
