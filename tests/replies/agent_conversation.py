"""A conversation with an agent through both edges, and the requests that its model got."""

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
class AgentConversation:
    """A conversation about a note, and a word that only its messages contain."""

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

    async def graphql(self, message: str = "Hm?", **fields: Any) -> list[dict[str, Any]]:
        payloads = await self.caller.subscribed(ASK, c=self.id, i={"message": f"{message} {self.word}", **fields})
        return [payload["data"]["ask"] for payload in payloads]

    async def messages(self) -> list[dict[str, Any]]:
        listed = (await self.caller.http.get(f"/api/v1/ai/conversations/{self.id}/messages")).json()
        return list(listed["items"])

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies of all requests to the model, in their order; without those for titles."""
        return [
            body for body in self.services.llm.requests_with(self.word) if "Task: title" not in str(body["messages"][0])
        ]


async def begin(caller: Caller, services: Services, title: str = "Facilities", **note: Any) -> AgentConversation:
    """About a new note that is indexed."""
    note_row = (await caller.data(CREATE, input={"title": title, **note}))["createNote"]
    await indexed(caller, note_row["id"])
    talk = (await caller.data(CONVERSE, note=note_row["id"]))["createConversation"]
    return AgentConversation(caller, services, note_row["id"], talk["id"])


def without_scores(hits: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in hit.items() if name != "score"} for hit in hits]


def camel(value: Any) -> Any:
    """Returns the names of fields as GraphQL spells them; arguments and results of tools stay as they are."""
    if not isinstance(value, dict):
        return value
    unchanged = {"arguments", "result"}
    return {to_camel(name): item if name in unchanged else camel(item) for name, item in value.items()}
