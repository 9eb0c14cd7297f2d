"""The inputs that change a workspace and its settings."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Constraint

from models.base import Color, Draft, Prose, storable
from models.limits import limit

MAX_WORKSPACE_NAME = limit(
    255, "Name of a workspace", area="Workspaces", unit="characters", minimum=1, beyond="`BAD_USER_INPUT`, 400"
)
MAX_DOMAINS = limit(
    100, "Email domains whose users may join a workspace", area="Workspaces", beyond="`BAD_USER_INPUT`, 400"
)
MAX_ICON_URL = limit(
    2_000, "URL of a workspace's icon", area="Workspaces", unit="characters", beyond="`BAD_USER_INPUT`, 400"
)

LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

WorkspaceName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_WORKSPACE_NAME), AfterValidator(storable)
]
# The syntax of a BCP 47 tag, which need not be registered: `de`, `pt-BR`, `zh-Hant-TW`.
LanguageTag = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
# A host name of two or more labels (RFC 1123); an international one in its ASCII form.
Domain = Annotated[str, StringConstraints(max_length=253, to_lower=True, pattern=rf"^({LABEL}\.)+{LABEL}$")]
# Without user information, and without characters that a browser would have to escape.
IconUrl = Annotated[
    Prose,
    StringConstraints(
        max_length=MAX_ICON_URL, pattern=r"^https://[^\s\x00-\x1f\x7f/?#@\\]+([/?#][^\s\x00-\x1f\x7f\\]*)?$"
    ),
]


def remove_duplicates(domains: list[str]) -> list[str]:
    return list(dict.fromkeys(domains))


Domains = Annotated[list[Domain], Constraint(max_length=MAX_DOMAINS), AfterValidator(remove_duplicates)]


class SettingsChange(Draft):
    """The settings to change. A setting that is not set (see `model_fields_set`) keeps its value."""

    default_language: LanguageTag = ""
    brand_color: Color = ""
    enable_transcript_sharing: bool = True


class WorkspaceChange(Draft):
    """The fields to change. A field that is not set keeps its value; null clears the icon, and is refused elsewhere."""

    name: WorkspaceName = ""
    icon_url: IconUrl | None = None
    allowed_email_domains: Domains = []
    settings: SettingsChange = SettingsChange()
