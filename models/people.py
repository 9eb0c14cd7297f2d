"""What a client may write about the people of a workspace: members, groups, invites and keys."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Constraint

from models.base import Draft, Email, Id, Line, Prose, storable
from models.workspace import Role

MAX_NAME = 100
"""Characters in the name of a group or of a key, without the white space around it."""
MAX_DESCRIPTION = 1_000
"""Characters in the description of a group."""
MAX_GROUP_IDS = 100
"""Groups of one member, or of one invite."""
MAX_SCOPES = 20
"""Scopes of one key, as they are sent."""

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME), AfterValidator(storable)
]
Description = Annotated[Prose, StringConstraints(max_length=MAX_DESCRIPTION)]
GroupIds = Annotated[list[Id], Constraint(max_length=MAX_GROUP_IDS)]


class MemberFilter(Draft, frozen=True):
    """`search`: the members whose name or address has these very characters, in any case."""

    search: Line | None = None


class MemberChange(Draft):
    """The fields to change: what was not sent is kept (`model_fields_set` tells), the groups are replaced whole."""

    role: Role = Role.MEMBER
    group_ids: GroupIds = []


class GroupDraft(Draft):
    name: Name
    description: Description | None = None


class GroupChange(GroupDraft):
    """The fields to change: what was not sent is kept (`model_fields_set` tells)."""

    name: Name = ""


class InviteDraft(Draft):
    """An invite by `email`, or (`is_url_invite`) for everybody who has its code."""

    email: Email | None = None
    role: Role = Role.MEMBER
    is_url_invite: bool = False
    group_ids: GroupIds = []


class AcceptDraft(Draft):
    code: Annotated[Line, StringConstraints(max_length=64)]


class ApiKeyDraft(Draft):
    """`scopes` None: full access to the workspace."""

    name: Name
    scopes: Annotated[list[Line], Constraint(max_length=MAX_SCOPES)] | None = None
