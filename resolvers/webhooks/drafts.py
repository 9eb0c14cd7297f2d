"""What a client may write of a webhook. It is here and not in `models`, because the event names are declared here."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Constraint

from models.base import Draft, Line, storable
from models.webhook import MAX_URL
from resolvers.webhooks.events import EVENT_NAMES, WebhookEventName


def without_repeats(events: list[WebhookEventName]) -> list[WebhookEventName]:
    return list(dict.fromkeys(events))


Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL), AfterValidator(storable)]
Events = Annotated[
    list[WebhookEventName],
    Constraint(min_length=1, max_length=len(EVENT_NAMES)),
    AfterValidator(without_repeats),
]


class WebhookDraft(Draft):
    url: Url
    label: Line | None = None
    events: Events
    is_active: bool = True


class WebhookChange(Draft):
    """The fields that were sent are in `model_fields_set`; only these are changed."""

    url: Url = ""
    label: Line | None = None
    events: Events = []  # noqa: RUF012 (pydantic copies mutable defaults)
    is_active: bool = True


class ZapierHook(Draft):
    """An endpoint that is identified by its address alone."""

    hook_url: Url
