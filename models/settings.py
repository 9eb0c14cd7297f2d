"""What a client may write about a workspace itself."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Constraint

from models.base import Color, Draft, Prose, storable

MAX_WORKSPACE_NAME = 255
"""Characters of a workspace's name, without the white space around it."""
MAX_DOMAINS = 100
"""Domains whose addresses may join a workspace."""
MAX_ICON_URL = 2_000
"""Characters of the address of a workspace's icon."""

LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

WorkspaceName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_WORKSPACE_NAME), AfterValidator(storable)
]
# The form of a BCP 47 tag, not its registry: `de`, `pt-BR`, `zh-Hant-TW`.
LanguageTag = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
# A host's name of two labels or more (RFC 1123); an international one in its ASCII form.
Domain = Annotated[str, StringConstraints(max_length=253, to_lower=True, pattern=rf"^({LABEL}\.)+{LABEL}$")]
# Without a user's name in it, and without anything that a browser would have to mend.
IconUrl = Annotated[
    Prose,
    StringConstraints(
        max_length=MAX_ICON_URL, pattern=r"^https://[^\s\x00-\x1f\x7f/?#@\\]+([/?#][^\s\x00-\x1f\x7f\\]*)?$"
    ),
]


def once_each(domains: list[str]) -> list[str]:
    return list(dict.fromkeys(domains))


Domains = Annotated[list[Domain], Constraint(max_length=MAX_DOMAINS), AfterValidator(once_each)]


class SettingsChange(Draft):
    """The settings to change: what was not sent is kept."""

    default_language: LanguageTag = ""
    brand_color: Color = ""
    enable_transcript_sharing: bool = True


class WorkspaceChange(Draft):
    """The fields to change: what was not sent is kept; null clears the icon, and is refused elsewhere."""

    name: WorkspaceName = ""
    icon_url: IconUrl | None = None
    allowed_email_domains: Domains = []
    settings: SettingsChange = SettingsChange()
