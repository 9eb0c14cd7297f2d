"""Asks a question in a conversation and prints the answer as it arrives.

    CARET_KEY=sk-caret-api-… python examples/ask.py CONVERSATION_ID "Why was the API down?"

Speaks graphql-transport-ws, so any GraphQL client library with subscriptions does the same in a line or two.
"""

import asyncio
import json
import os
import sys

import websockets

ASK = """subscription ($conversation: ID!, $message: String!) {
  ask(conversationId: $conversation, input: {message: $message}) {
    cursor
    ... on ReplyDelta { content }
    ... on ReplyDone { message { id tokenCount model { name } } }
    ... on ReplyFailed { reason }
  }
}"""


async def ask(url: str, credential: str, conversation: str, message: str) -> None:
    async with websockets.connect(url, subprotocols=["graphql-transport-ws"]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {credential}"}}))
        await socket.recv()  # connection_ack
        variables = {"conversation": conversation, "message": message}
        await socket.send(
            json.dumps({"id": "1", "type": "subscribe", "payload": {"query": ASK, "variables": variables}})
        )
        async for text in socket:
            answer = json.loads(text)
            if answer["type"] != "next":
                print() if answer["type"] == "complete" else print(json.dumps(answer["payload"]))
                return
            event = answer["payload"]["data"]["ask"]
            if "content" in event:
                print(event["content"], end="", flush=True)
            else:
                print("\n" + json.dumps(event.get("message") or event))


if __name__ == "__main__":
    address = os.environ.get("CARET_URL", "ws://127.0.0.1:8080/graphql")
    asyncio.run(ask(address, os.environ["CARET_KEY"], sys.argv[1], sys.argv[2]))
