"""Objects that are read by their id alone."""

import strawberry

from models.base import as_id
from resolvers import nodes
from resolvers.nodes import NodeRow
from schema.execution.selection import columns
from schema.types.base import Info, Node


@strawberry.type
class NodeQuery:
    @strawberry.field(
        graphql_type=Node | None, description="Null if the object does not exist, or the viewer may not read it."
    )
    @staticmethod
    async def node(info: Info, id: strawberry.ID) -> NodeRow | None:  # noqa: A002 (the contract's name)
        [node] = await nodes.find_nodes(info.context.ctx, [as_id(id)], columns(info))
        return node

    @strawberry.field(graphql_type=list[Node | None], description="Like `node`, for up to 100 IDs, in the same order.")
    @staticmethod
    async def nodes(info: Info, ids: list[strawberry.ID]) -> list[NodeRow | None]:
        return await nodes.find_nodes(info.context.ctx, [as_id(one) for one in ids], columns(info))
