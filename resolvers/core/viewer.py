"""The viewer: the authenticated caller of a request."""

from dataclasses import dataclass, field
from uuid import UUID

from models import Role


@dataclass(frozen=True, slots=True)
class Viewer:
    """The authenticated caller, and the workspace in which they act.

    An API key acts as its workspace's own user, with the rights of an admin there. `scopes` limits an API key; None
    means that no scope is required.
    """

    user_id: UUID
    workspace_id: UUID
    role: Role
    api_key_id: UUID | None = None
    scopes: frozenset[str] | None = None
    # Unix seconds at which an access token expires; the streams that were opened with it end then.
    expires_at: float | None = field(default=None, compare=False)

    @property
    def actor_id(self) -> UUID:
        """The id under which the caller's changes and points are recorded: the API key's, else the user's."""
        return self.api_key_id or self.user_id
