"""An OpenAI client that streams an answer while it returns it as a whole: to its caller it is a request like any other,
and the `text_listener` of `resolvers.core.ports.ai` receives each piece of text as the provider sends it.

The pieces do not pass through the library's objects for each chunk and the agent's events about them, which cost half a
millisecond of CPU a piece, eight times as much. The agent gets the complete answer as ever.
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

from caret.providers.accumulators import Accumulator, ChatAccumulator, ResponsesAccumulator
from caret.providers.stream_chunks import BrokenStream, ChunkParser
from resolvers.core.ports.ai import TextListener, text_listener

USAGE = {"include_usage": True}
TRAILER_SECONDS = 0.25
"""For so long the last bytes of a response may take after the answer: its connection can then be used again."""


class StreamingClient(openai.AsyncOpenAI):
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
    async def create(self, *, stream: Any = False, stream_options: Any = openai.omit, **request: Any) -> Any:
        # Any: the library's overloads distinguish what is decided here.
        listener, create = text_listener.get(), cast(Any, super().create)
        if stream or listener is None:
            return await create(stream=stream, stream_options=stream_options, **request)
        streamed = await create(stream=True, stream_options=USAGE, **request)
        answer = await read_answer(streamed.response, ChatAccumulator(request["model"]), listener)
        return ChatCompletion.construct(**answer)


class _Responses(AsyncResponses):
    async def create(self, *, stream: Any = False, **request: Any) -> Any:
        listener, create = text_listener.get(), cast(Any, super().create)
        if stream or listener is None:
            return await create(stream=stream, **request)
        streamed = await create(stream=True, **request)
        return Response.construct(**await read_answer(streamed.response, ResponsesAccumulator(), listener))


async def read_answer(response: httpx2.Response, answer: Accumulator, listener: TextListener) -> dict[str, Any]:
    """Reads an answer to its end, sends its text to the listener and returns all of it.

    Raises openai.APIError, and closes the response in any case.
    """
    try:
        await _read(response, answer, listener)
    except httpx2.TimeoutException as error:
        raise openai.APITimeoutError(response.request) from error
    except httpx2.TransportError as error:
        raise openai.APIConnectionError(request=response.request) from error
    except BrokenStream as broken:
        raise openai.APIError(str(broken), response.request, body=broken.body) from None
    finally:
        await response.aclose()
    result = answer.result()
    if result is None:
        raise openai.APIConnectionError(message="the answer ended before it was complete", request=response.request)
    if text := answer.held_back():
        await listener(text)
    return result


async def _read(response: httpx2.Response, answer: Accumulator, listener: TextListener) -> None:
    parser, clock = ChunkParser(), asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(None) as trailer:
            async for data in response.aiter_bytes():
                await _add_chunks(parser.feed(data), answer, listener)
                if answer.is_over and trailer.when() is None:
                    trailer.reschedule(clock() + TRAILER_SECONDS)
            # The last line may lack its end.
            await _add_chunks(parser.feed(b"\n"), answer, listener)
    except TimeoutError:
        # Any other timeout than ours is the listener's.
        if not trailer.expired():
            raise
    except httpx2.TransportError:
        # How the connection ends does not matter to a complete answer.
        if not answer.is_over:
            raise


async def _add_chunks(chunks: Iterable[dict[str, Any]], answer: Accumulator, listener: TextListener) -> None:
    """Sends the listener the text of chunks that came together, also of those before a broken one."""
    pieces, broken = [], None
    try:
        for chunk in chunks:
            if answer.is_over:
                break
            if text := answer.add(chunk):
                pieces.append(text)
    except (AttributeError, KeyError, TypeError, ValueError):
        broken = BrokenStream("a chunk has another form than it should")
    except BrokenStream as error:
        broken = error
    if pieces:
        await listener(*pieces)
    if broken is not None:
        raise broken
