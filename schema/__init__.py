"""The GraphQL edge: types, execution and transports. A field calls one resolver."""

import strawberry

from schema.execution.cost import Charging
from schema.execution.documents import Documents
from schema.execution.introspection import IntrospectionSwitch
from schema.execution.masking import MaskedSchema
from schema.execution.operation_name import RequireOperationName
from schema.execution.reauthorization import Reauthorization
from schema.execution.shared_results import OperationExecutor
from schema.execution.validation import Validation
from schema.types.api_keys import ApiKeyMutation, ApiKeyQuery
from schema.types.conversations import ConversationMutation, ConversationQuery
from schema.types.events import ReplyDelta, ReplyDocumentChange, ReplyDone, ReplyFailed, ReplyToolCall, Subscription
from schema.types.folders import FolderMutation
from schema.types.groups import GroupMutation
from schema.types.invites import InviteMutation
from schema.types.members import MemberMutation
from schema.types.nodes import NodeQuery
from schema.types.notes import NoteMutation, NoteQuery
from schema.types.rate_limit import RateLimitQuery
from schema.types.scalars import CONFIG
from schema.types.search import SearchMutation, SearchQuery
from schema.types.shares import ShareMutation
from schema.types.suggestions import SuggestionMutation
from schema.types.tags import TagMutation
from schema.types.webhooks import WebhookMutation, WebhookQuery
from schema.types.workspaces import WorkspaceMutation, WorkspaceQuery


@strawberry.type
class Query(
    WorkspaceQuery, NodeQuery, NoteQuery, ConversationQuery, SearchQuery, WebhookQuery, ApiKeyQuery, RateLimitQuery
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
    ApiKeyMutation,
):
    pass


documents = Documents(is_authenticated=lambda request: request.ctx.caller is not None)

schema = MaskedSchema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[ReplyDelta, ReplyToolCall, ReplyDocumentChange, ReplyDone, ReplyFailed],
    extensions=[
        documents.extension,
        IntrospectionSwitch,
        RequireOperationName,
        Validation,
        Reauthorization,
        Charging,
    ],
    config=CONFIG,
    execution_context_class=OperationExecutor,
)
