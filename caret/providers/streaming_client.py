"""An OpenAI client that tells an answer while it is made: to its caller it is a request like any other, and who listens
(`resolvers.core.ports.ai.text_listener`) hears each piece of text as the provider sends it.

The pieces take this short way because the long one, the library's objects for each chunk and the agent's events about
them, costs half a millisecond of CPU a piece, eight times as much. The whole answer goes on to the agent as ever.
"""

import asyncio
from collections.abc import Iterable
from functools import cached_property
from typing import Any, cast

import httpx2
import openai
from openai.resources.chat import AsyncChat, AsyncCompletions
from openai.resources.responses import AsyncResponses
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from caret.providers.stream_chunks import Answer, Broken, ChatAnswer, Lines, ResponsesAnswer
from resolvers.core.ports.ai import TextListener, text_listener

USAGE = {"include_usage": True}
LINGER = 0.25
"""Seconds that the rest of the transport's bytes may take after the answer: then its connection can serve again."""


class SpokenClient(openai.AsyncOpenAI):
    @cached_property
    def chat(self) -> AsyncChat:
        return _Chat(self)

    @cached_property
    def responses(self) -> AsyncResponses:
        return _Responses(self)


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    async def create(self, *, stream: Any = False, stream_options: Any = openai.omit, **asked: Any) -> Any:
        # Any: the overloads tell apart what is decided here.
        say, create = text_listener.get(), cast(Any, super().create)
        if stream or say is None:
            return await create(stream=stream, stream_options=stream_options, **asked)
        sent = await create(stream=True, stream_options=USAGE, **asked)
        return ChatCompletion.construct(**await heard(sent.response, ChatAnswer(asked["model"]), say))


class _Responses(AsyncResponses):
    async def create(self, *, stream: Any = False, **asked: Any) -> Any:
        say, create = text_listener.get(), cast(Any, super().create)
        if stream or say is None:
            return await create(stream=stream, **asked)
        sent = await create(stream=True, **asked)
        return Response.construct(**await heard(sent.response, ResponsesAnswer(), say))


async def heard(response: httpx2.Response, answer: Answer, say: TextListener) -> dict[str, Any]:
    """Tells the answer to its end and returns the whole of it. Raises openai.APIError, and closes the response
    whatever happens."""
    try:
        await _hear(response, answer, say)
    except httpx2.TimeoutException as error:
        raise openai.APITimeoutError(response.request) from error
    except httpx2.TransportError as error:
        raise openai.APIConnectionError(request=response.request) from error
    except Broken as broken:
        raise openai.APIError(str(broken), response.request, body=broken.body) from None
    finally:
        await response.aclose()
    whole = answer.whole()
    if whole is None:
        raise openai.APIConnectionError(message="the answer ended before it was complete", request=response.request)
    if text := answer.rest():
        await say(text)
    return whole


async def _hear(response: httpx2.Response, answer: Answer, say: TextListener) -> None:
    lines, clock = Lines(), asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(None) as patience:
            async for data in response.aiter_bytes():
                await _tell(lines.feed(data), answer, say)
                if answer.over and patience.when() is None:
                    patience.reschedule(clock() + LINGER)
            # The last line may lack its end.
            await _tell(lines.feed(b"\n"), answer, say)
    except TimeoutError:
        # Any other than ours comes from who listens.
        if not patience.expired():
            raise
    except httpx2.TransportError:
        # How the connection ends means nothing to an answer that is complete.
        if not answer.over:
            raise


async def _tell(chunks: Iterable[dict[str, Any]], answer: Answer, say: TextListener) -> None:
    """Tells the text of chunks that came together, also of those before one that is broken."""
    pieces, broken = [], None
    try:
        for chunk in chunks:
            if answer.over:
                break
            if text := answer.add(chunk):
                pieces.append(text)
    except (AttributeError, KeyError, TypeError, ValueError):
        broken = Broken("a chunk has another form than it should")
    except Broken as error:
        broken = error
    if pieces:
        await say(*pieces)
    if broken is not None:
        raise broken
