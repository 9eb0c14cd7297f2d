"""THE GRAPHQL EDGE: types and fields; a field is one resolver call."""

import strawberry

from schema.conversations import ConversationMutation, ConversationQuery
from schema.cost import Paying
from schema.events import ReplyDelta, ReplyDocumentChange, ReplyDone, ReplyFailed, ReplyToolCall, Subscription
from schema.folders import FolderMutation
from schema.groups import GroupMutation
from schema.introspection import Introspection
from schema.invites import InviteMutation
from schema.keys import KeyMutation, KeyQuery
from schema.limits import DocumentLimits, Documents
from schema.masking import MaskedSchema
from schema.members import MemberMutation
from schema.naming import Naming
from schema.nodes import NodeQuery
from schema.notes import NoteMutation, NoteQuery
from schema.rate_limit import RateLimitQuery
from schema.search import SearchMutation, SearchQuery
from schema.settings import WorkspaceMutation
from schema.shares import ShareMutation
from schema.sharing import LogExecutor
from schema.standing import Standing
from schema.suggestions import SuggestionMutation
from schema.tags import TagMutation
from schema.types import CONFIG
from schema.validation import Validation
from schema.webhooks import WebhookMutation, WebhookQuery
from schema.workspaces import WorkspaceQuery


@strawberry.type
class Query(
    WorkspaceQuery, NodeQuery, NoteQuery, ConversationQuery, SearchQuery, WebhookQuery, KeyQuery, RateLimitQuery
):
    pass


@strawberry.type
class Mutation(
    WorkspaceMutation,
    NoteMutation,
    ShareMutation,
    TagMutation,
    FolderMutation,
    MemberMutation,
    GroupMutation,
    InviteMutation,
    ConversationMutation,
    SuggestionMutation,
    SearchMutation,
    WebhookMutation,
    KeyMutation,
):
    pass


documents = Documents(DocumentLimits(), is_known=lambda request: request.ctx.viewer is not None)

schema = MaskedSchema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[ReplyDelta, ReplyToolCall, ReplyDocumentChange, ReplyDone, ReplyFailed],
    extensions=[documents.extension, Introspection, Naming, Validation, Standing, Paying],
    config=CONFIG,
    execution_context_class=LogExecutor,
)
