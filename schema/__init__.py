"""THE GRAPHQL EDGE: types and fields; a field is one resolver call."""

import strawberry

from schema.conversations import ConversationMutation, ConversationQuery
from schema.events import ReplyDelta, ReplyDone, ReplyFailed, ReplyToolCall, Subscription
from schema.limits import DocumentLimits, Documents
from schema.masking import MaskedSchema
from schema.notes import NoteMutation, NoteQuery
from schema.search import SearchMutation, SearchQuery
from schema.standing import Standing
from schema.types import CONFIG
from schema.workspaces import WorkspaceQuery


@strawberry.type
class Query(WorkspaceQuery, NoteQuery, ConversationQuery, SearchQuery):
    pass


@strawberry.type
class Mutation(NoteMutation, ConversationMutation, SearchMutation):
    pass


documents = Documents(DocumentLimits())

schema = MaskedSchema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[ReplyDelta, ReplyToolCall, ReplyDone, ReplyFailed],
    extensions=[documents.extension, Standing],
    config=CONFIG,
)
