"""What has an id of its own, found by it alone."""

import strawberry

from models.base import as_id
from resolvers import nodes
from resolvers.nodes import Found
from schema.execution.selection import columns
from schema.types.base import Info, Node


@strawberry.type
class NodeQuery:
    @strawberry.field(
        graphql_type=Node | None, description="Null where there is nothing of this id, or nothing that may be read."
    )
    @staticmethod
    async def node(info: Info, id: strawberry.ID) -> Found | None:  # noqa: A002 (the contract's name)
        [found] = await nodes.find(info.context.ctx, [as_id(id)], columns(info))
        return found

    @strawberry.field(graphql_type=list[Node | None], description="The same for up to 100 ids, in their order.")
    @staticmethod
    async def nodes(info: Info, ids: list[strawberry.ID]) -> list[Found | None]:
        return await nodes.find(info.context.ctx, [as_id(one) for one in ids], columns(info))
