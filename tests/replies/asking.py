"""Asking an agent through both edges, and what the model was sent for it."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic.alias_generators import to_camel

from tests.conftest import Services
from tests.support.clients import Caller
from tests.test_main_job import CONVERSE, CREATE, indexed

ASK = """subscription($c: ID!, $i: SendMessageInput!) {
  ask(conversationId: $c, input: $i) {
  __typename messageId
  ... on ReplyDelta { content }
  ... on ReplyToolCall { call { id toolName textOffset arguments resultSummary result } }
  ... on ReplyDocumentChange { suggestion { id status operation originalText suggestedText positionStart positionEnd } }
  ... on ReplyDone { message { id content state toolCalls { id toolName textOffset arguments resultSummary result } } }
  ... on ReplyFailed { reason }
} }"""


@dataclass
class Talk:
    """A conversation about a note, and one word by which its questions are found again."""

    caller: Caller
    services: Services
    note: str
    id: str
    word: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def rest(self, message: str = "Hm?", **body: Any) -> list[dict[str, Any]]:
        """The data of all events."""
        path = f"/api/v1/ai/conversations/{self.id}/stream"
        async with self.caller.sse("POST", path, json={"message": f"{message} {self.word}", **body}) as events:
            return [orjson.loads(event.data) async for event in events]

    async def graphql(self, message: str = "Hm?", **given: Any) -> list[dict[str, Any]]:
        told = await self.caller.subscribed(ASK, c=self.id, i={"message": f"{message} {self.word}", **given})
        return [payload["data"]["ask"] for payload in told]

    async def messages(self) -> list[dict[str, Any]]:
        listed = (await self.caller.http.get(f"/api/v1/ai/conversations/{self.id}/messages")).json()
        return list(listed["items"])

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The bodies of all requests to the model, in their order; without those for titles."""
        return [
            body for body in self.services.llm.requests_with(self.word) if "Task: title" not in str(body["messages"][0])
        ]


async def begin(caller: Caller, services: Services, title: str = "Facilities", **note: Any) -> Talk:
    """About a new note that is indexed."""
    made = (await caller.data(CREATE, input={"title": title, **note}))["createNote"]
    await indexed(caller, made["id"])
    talk = (await caller.data(CONVERSE, note=made["id"]))["createConversation"]
    return Talk(caller, services, made["id"], talk["id"])


def without_scores(hits: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in hit.items() if name != "score"} for hit in hits]


def camel(value: Any) -> Any:
    """The names of our own fields as GraphQL spells them; what a tool was given and gave back stays as it is."""
    if not isinstance(value, dict):
        return value
    kept = {"arguments", "result"}
    return {to_camel(name): item if name in kept else camel(item) for name, item in value.items()}
