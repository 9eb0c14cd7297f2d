"""Authentication: the credential in the headers, under the same names on every transport."""

from collections.abc import Mapping
from uuid import UUID

from models.base import as_id
from resolvers.auth.credentials import authenticate
from resolvers.core.allowance import Meter
from resolvers.core.context import Context
from resolvers.core.errors import bad_input


async def authenticated(ctx: Context, headers: Mapping[str, str], meter: Meter) -> Context:
    """The context with the viewer of the credential in the headers. Without a credential it stays as it is."""
    credential = credential_in(headers)
    if credential is None:
        return ctx
    return ctx.for_viewer(await authenticate(ctx, credential, workspace_in(headers), meter=meter), meter)


def credential_in(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or None


def workspace_in(headers: Mapping[str, str]) -> UUID | None:
    text = headers.get("x-workspace-id")
    if text is None:
        return None
    workspace_id = as_id(text)
    if workspace_id is None:
        raise bad_input("X-Workspace-Id", "This is not the id of a workspace.")
    return workspace_id
