"""API keys."""

from collections.abc import Sequence
from dataclasses import dataclass

import strawberry
from strawberry import UNSET

from models.base import Record
from models.people import ApiKeyDraft
from resolvers.workspaces import api_keys as keys
from schema.types.base import Info, parse_id
from schema.types.inputs import draft
from schema.types.workspaces import ApiKey


@strawberry.type
class CreatedApiKey:
    """The only time the key is told."""

    api_key: ApiKey
    key: str


@dataclass(frozen=True, slots=True)
class Created:
    api_key: Record
    key: str


@strawberry.input
class CreateApiKeyInput:
    """Without `scopes` the key has full access to the workspace."""

    name: str
    scopes: list[str] | None = UNSET


@strawberry.type
class KeyQuery:
    @strawberry.field(graphql_type=list[ApiKey], description="Newest first; the revoked ones too.")
    @staticmethod
    async def api_keys(info: Info) -> Sequence[Record]:
        return await keys.all_keys(info.context.ctx)


@strawberry.type
class KeyMutation:
    @strawberry.mutation(graphql_type=CreatedApiKey)
    @staticmethod
    async def create_api_key(info: Info, input: CreateApiKeyInput) -> Created:  # noqa: A002 (the contract's name)
        return Created(*await keys.create(info.context.ctx, draft(ApiKeyDraft, input)))

    @strawberry.mutation(graphql_type=ApiKey, description="At once and for good. A key may revoke itself.")
    @staticmethod
    async def revoke_api_key(info: Info, id: strawberry.ID) -> Record:  # noqa: A002 (the contract's name)
        return await keys.revoke(info.context.ctx, parse_id("ApiKey", id))
