"""API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import strawberry
from strawberry import UNSET

from models.base import Record
from models.people import ApiKeyDraft
from resolvers.auth import access
from resolvers.workspaces import api_keys
from schema.types.base import Info, Node, parse_id
from schema.types.inputs import to_draft


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
        # A row does not know its table. Only API keys, and not people, the other kind of actor, have this column.
        return hasattr(obj, "prefix")


@strawberry.type(description="The key is returned only here.")
class CreatedApiKey:
    api_key: ApiKey
    key: str


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """The object behind the type CreatedApiKey."""

    api_key: Record
    key: str


@strawberry.input
class CreateApiKeyInput:
    """Without `scopes` the key has full access to the workspace."""

    name: str
    scopes: list[str] | None = UNSET


@strawberry.type
class ApiKeyQuery:
    @strawberry.field(graphql_type=list[ApiKey], description="Newest first, including revoked keys.")
    @staticmethod
    async def api_keys(info: Info) -> Sequence[Record]:
        return await api_keys.list_api_keys(info.context.ctx)


@strawberry.type
class ApiKeyMutation:
    @strawberry.mutation(graphql_type=CreatedApiKey)
    @staticmethod
    async def create_api_key(info: Info, input: CreateApiKeyInput) -> NewApiKey:  # noqa: A002 (the contract's name)
        return NewApiKey(*await api_keys.create_api_key(info.context.ctx, to_draft(ApiKeyDraft, input)))

    @strawberry.mutation(
        graphql_type=ApiKey, description="Takes effect at once and can't be undone. A key may revoke itself."
    )
    @staticmethod
    async def revoke_api_key(info: Info, id: strawberry.ID) -> Record:  # noqa: A002 (the contract's name)
        return await api_keys.revoke_api_key(info.context.ctx, parse_id("ApiKey", id))
