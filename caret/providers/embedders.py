"""The embedders that are at hand while notes are moved from one to another."""

from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from pydantic import SecretStr

from caret.providers.minilm import MiniLM
from caret.providers.openai_embedder import OpenAIEmbedder

MOST = 8
"""Embedders beyond which no other is built: each keeps its connections."""

AnyEmbedder = MiniLM | OpenAIEmbedder


class Embedders:
    """`current` makes all new vectors. Others are built when they are first asked for: the local one, and other models
    of the configured server, which is sent nothing that it is not sent anyway."""

    def __init__(self, current: AnyEmbedder, base_url: str | None, api_key: SecretStr | None) -> None:
        self.current = current
        self._base_url = base_url
        self._api_key = api_key
        self._built: dict[str, AnyEmbedder] = {current.identity: current}

    def of(self, identity: str) -> AnyEmbedder | None:
        if identity not in self._built and len(self._built) < MOST:
            made = self._made(identity)
            if made is not None:
                self._built[identity] = made
        return self._built.get(identity)

    async def aclose(self) -> None:
        async with AsyncExitStack() as stack:
            for embedder in self._built.values():
                stack.push_async_callback(embedder.aclose)

    def _made(self, identity: str) -> AnyEmbedder | None:
        if identity == MiniLM.identity:
            return MiniLM()
        model, _, host = identity.rpartition("@")
        if self._base_url is None or not model or host != urlsplit(self._base_url).hostname:
            return None
        return OpenAIEmbedder(self._base_url, model, self._api_key)
