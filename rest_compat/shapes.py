"""The shapes of the responses of `/v1`. mypy checks the serializers against them, and OpenAPI describes them."""

from typing import Annotated, Generic, Literal, NotRequired, TypeVar
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from models.note import NoteKind, NoteStatus, NoteVisibility
from models.webhook import DeliveryStatus
from models.workspace import Plan, Role
from resolvers.webhooks.events import WebhookEventName

T = TypeVar("T")
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Count = Annotated[int, Field(ge=0)]


class Pagination(TypedDict):
    limit: Annotated[int, Field(ge=1, le=100)]
    nextOffset: Count
    isLast: bool


class Page(TypedDict, Generic[T]):
    items: list[T]
    pagination: Pagination


class Confirmation(TypedDict):
    success: bool
    message: str


class TagOfNote(TypedDict):
    id: UUID
    name: str
    color: str


class Participant(TypedDict):
    name: str
    email: str
    profileImageUrl: str | None
    accountName: str | None
    accountDomain: str | None
    accountImageUrl: str | None


class Segment(TypedDict):
    speaker: str
    text: str
    translation: str | None
    startTimestamp: str
    endTimestamp: str


class Attendee(TypedDict):
    self: bool
    email: str
    displayName: str | None


class CalendarEvent(TypedDict):
    id: str
    href: str | None
    title: str
    startsAt: Moment
    endsAt: Moment
    createdAt: Moment | None
    updatedAt: Moment | None
    calendarId: str | None
    attendees: list[Attendee]


class Note(TypedDict):
    id: UUID
    title: str
    kind: NoteKind
    status: NoteStatus
    createdAt: Moment
    updatedAt: Moment
    visibility: NoteVisibility
    tags: list[TagOfNote]
    participants: list[Participant]
    totalDurationSec: float
    userWrittenNote: str
    enhancedNote: str
    summary: str
    transcripts: list[Segment]
    calendarEvent: CalendarEvent | None
    inputLanguage: str | None
    translationLanguage: str | None
    meetingApp: str | None
    revision: int


class NoteResponse(TypedDict):
    note: Note


class ApiKeySummary(TypedDict):
    id: UUID
    name: str
    prefix: str
    createdAt: Moment


class UserSummary(TypedDict):
    id: UUID
    name: str
    email: str | None
    profileUrl: str | None


class WorkspaceSummary(TypedDict):
    id: UUID
    name: str


class Me(TypedDict):
    apiKey: ApiKeySummary | None
    user: UserSummary | None
    role: Role
    workspace: WorkspaceSummary
    plan: Plan
    scopes: list[str]


class GroupSummary(TypedDict):
    id: UUID
    name: str


class Member(TypedDict):
    id: UUID
    userId: UUID
    name: str
    email: str | None
    profileUrl: str | None
    role: Role
    createdAt: Moment
    groups: list[GroupSummary]


class MemberResponse(TypedDict):
    member: Member


class Group(TypedDict):
    id: UUID
    name: str
    createdAt: Moment
    description: NotRequired[str]


class GroupWithSize(Group):
    memberCount: Count


class GroupList(TypedDict):
    userGroups: list[GroupWithSize]


class GroupResponse(TypedDict):
    group: Group


class Invite(TypedDict):
    id: UUID
    email: str | None
    code: str
    role: Role
    isUrlInvite: bool
    expiresAt: Moment
    createdAt: Moment
    groups: list[GroupSummary]


class InviteResponse(TypedDict):
    invite: Invite


class Tag(TagOfNote):
    createdAt: Moment


class TagResponse(TypedDict):
    tag: Tag


class TagList(TypedDict):
    tags: list[Tag]


class Folder(TypedDict):
    id: UUID
    name: str
    icon: str | None
    color: str | None
    parentFolderId: UUID | None
    createdAt: Moment
    memberCount: Count


class FolderResponse(TypedDict):
    folder: Folder


class FolderList(TypedDict):
    folders: list[Folder]


class WorkspaceSettings(TypedDict):
    defaultLanguage: str
    brandColor: str
    enableTranscriptSharing: bool


class Workspace(TypedDict):
    id: UUID
    name: str
    createdAt: Moment
    updatedAt: Moment
    settings: WorkspaceSettings
    allowedEmailDomains: list[str]
    iconUrl: str | None


class WorkspaceResponse(TypedDict):
    workspace: Workspace


class Webhook(TypedDict):
    id: UUID
    url: str
    label: str | None
    events: list[WebhookEventName]
    isActive: bool
    disabledReason: str | None
    createdAt: Moment


class WebhookResponse(TypedDict):
    webhook: Webhook


class WebhookList(TypedDict):
    webhooks: list[Webhook]


class WebhookWithSecret(Webhook):
    secret: str


class WebhookWithSecretResponse(TypedDict):
    webhook: WebhookWithSecret


class Delivery(TypedDict):
    id: UUID
    webhookId: UUID
    eventId: UUID
    type: WebhookEventName
    status: DeliveryStatus
    attempts: Count
    requestHeaders: dict[str, str] | None
    responseStatus: int | None
    responseHeaders: dict[str, str] | None
    responseBody: str | None
    error: str | None
    dueAt: Moment | None
    attemptedAt: Moment | None
    createdAt: Moment
    deliveredAt: Moment | None


class DeliveryResponse(TypedDict):
    delivery: Delivery


class ZapierResponse(TypedDict):
    status: Literal["success"]
