"""The embedder behind any OpenAI-compatible `/embeddings` endpoint (OpenAI, vLLM, Ollama, llama.cpp, TEI)."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from caret.lazy import LazyModule
from caret.providers.embedder import EmbeddingOptions
from caret.providers.model_list import ADDRESSES, OPENAI
from caret.providers.openai_client import LazyClient, retry_after
from caret.providers.texts import clean
from resolvers.core.ports.ai import EmbedderMisconfigured, EmbedderUnavailable, Vector

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types import CreateEmbeddingResponse

BATCH = 64
"""Texts in one request."""
MAX_CHARACTERS = 16_000
"""Of one text: some 4,000 tokens of English, so that a batch stays below OpenAI's 300,000 tokens a request."""
READ_SECONDS = 30.0
TEXT_STATUSES = {400, 413, 422}
"""Statuses that may be about a text and not about the endpoint."""
TRANSIENT_STATUSES = {408, 409, 423, 425, 429}  # and everything from 500
WRONG_FORMAT = "The embedding endpoint does not answer in OpenAI's format."


class TextRefused(EmbedderMisconfigured):
    """The endpoint has refused a request, perhaps only because of its texts: others may be accepted."""


class OpenAIEmbedder:
    """Texts go in requests of at most 64, one after the other; a question is a request of its own.

    The vectors of one model name on two servers are not assumed to be the same (they may be cut or quantised), so the
    server's host is part of `identity`.
    """

    def __init__(self, base_url: str, model: str, api_key: SecretStr | None = None, *, max_retries: int = 1) -> None:
        self._model = model
        self._client = LazyClient(base_url, api_key, read_seconds=READ_SECONDS, max_retries=max_retries)
        self._vectors = LazyModule("caret.providers.vectors")
        self.identity = f"{model}@{urlsplit(base_url).hostname}"

    def __repr__(self) -> str:
        return f"OpenAIEmbedder({self.identity!r})"

    async def embed_query(self, text: str) -> Vector:
        return (await self._embed([text]))[0]

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector | None]:
        vectors: list[Vector | None] = []
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            try:
                vectors += await self._embed(batch)
            except TextRefused:
                # An endpoint that accepts no text at all is misconfigured, which this request finds out.
                await self._embed([""])
                vectors += await self._halves(batch)
        return vectors

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _halves(self, refused: Sequence[str]) -> list[Vector | None]:
        """The vectors of texts that were refused together; None for those that are refused alone."""
        if len(refused) == 1:
            return [None]
        vectors: list[Vector | None] = []
        middle = len(refused) // 2
        for half in (refused[:middle], refused[middle:]):
            try:
                vectors += await self._embed(half)
            except TextRefused:
                vectors += await self._halves(half)
        return vectors

    async def _embed(self, texts: Sequence[str]) -> list[Vector]:
        # An empty input is refused by OpenAI. `dimensions` is left out because many servers refuse the field, and
        # float is the one encoding that all of them know.
        inputs = [clean(text, MAX_CHARACTERS) or "." for text in texts]
        response = await self._request(inputs)
        vectors = await self._vectors.load()
        try:
            rows: list[Vector] = vectors.from_lists(_rows(response, len(inputs)))
        except (TypeError, ValueError):
            raise EmbedderMisconfigured(WRONG_FORMAT) from None
        return rows

    async def _request(self, inputs: list[str]) -> "CreateEmbeddingResponse":
        client, openai = await self._client.load()
        # `from None` everywhere: the library's own texts may quote a part of the key or the input.
        try:
            return await client.embeddings.create(input=inputs, model=self._model, encoding_format="float")
        except openai.APIConnectionError:
            raise EmbedderUnavailable("The embedding endpoint could not be reached in time.") from None
        except openai.APIStatusError as error:
            raise _refusal(error) from None
        except (openai.APIError, ValueError):
            raise EmbedderMisconfigured(WRONG_FORMAT) from None


def _refusal(error: "APIStatusError") -> EmbedderUnavailable | EmbedderMisconfigured:
    status = error.status_code
    if status in TRANSIENT_STATUSES or status >= 500:
        return EmbedderUnavailable(f"The embedding endpoint answered {status}.", retry_after(error))
    # The machine-readable code helps ("model_not_found"); free text is dropped, it may quote anything.
    code = error.code if isinstance(error.code, str) and re.fullmatch(r"[a-z_]{1,40}", error.code) else "no code"
    kind = TextRefused if status in TEXT_STATUSES else EmbedderMisconfigured
    return kind(f"The embedding endpoint refused the request: status {status}, {code}.")


def _rows(response: "CreateEmbeddingResponse", count: int) -> list[list[float]]:
    """The vectors in the order of the texts."""
    try:
        items = sorted(response.data, key=lambda item: item.index)
        if [item.index for item in items] == list(range(count)):
            return [item.embedding for item in items]
    except (AttributeError, TypeError, ValueError):
        pass  # not the format: the library does not check the answer, so anything may be missing
    raise EmbedderMisconfigured(WRONG_FORMAT)


def build(options: EmbeddingOptions, identity: str | None) -> OpenAIEmbedder | None:
    """The embedder of servers with CARET_EMBEDDING_ settings; by identity, other models on the configured server."""
    if not options.are_set:
        return None
    if not options.model:
        raise ValueError("CARET_EMBEDDING_MODEL is not set: name the embedding model to use with that key or base URL.")
    if not (options.base_url or options.api_key):
        raise ValueError(
            "CARET_EMBEDDING_MODEL is set: set CARET_EMBEDDING_BASE_URL or CARET_EMBEDDING_API_KEY as well."
        )
    base_url, model = options.base_url or ADDRESSES[OPENAI], options.model
    if identity is not None:
        model, _, host = identity.rpartition("@")
        if not model or host != urlsplit(base_url).hostname:
            return None
    return OpenAIEmbedder(base_url, model, options.api_key)
