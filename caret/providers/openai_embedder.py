"""The embedder behind any OpenAI-compatible `/embeddings` endpoint (OpenAI, vLLM, Ollama, llama.cpp, TEI)."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from pydantic import SecretStr

from caret.providers.openai_client import LaterClient
from caret.providers.vectors import clean, padded
from resolvers.core.ports.ai import EmbedderMisconfigured, EmbedderUnavailable, Vector

if TYPE_CHECKING:
    from openai import APIStatusError
    from openai.types import CreateEmbeddingResponse

BATCH = 64
MAX_CHARACTERS = 16_000  # some 4,000 tokens of English: 64 of them stay below OpenAI's 300,000 tokens a request
READ_SECONDS = 30.0
REFUSING = {400, 413, 422}
"""Statuses that may be about a text and not about the endpoint."""
TRANSIENT = {408, 409, 423, 425, 429}  # and everything from 500


class TextRefused(EmbedderMisconfigured):
    """Perhaps only for what it was sent: another text may be taken."""


class OpenAIEmbedder:
    """Texts go in requests of at most 64, one after the other; a question is a request of its own.

    The vectors of one model name on two servers are not taken to be the same (they may be cut or quantised), so the
    server's host is part of `identity`.
    """

    def __init__(self, base_url: str, model: str, api_key: SecretStr | None = None, *, max_retries: int = 1) -> None:
        self._model = model
        self._client = LaterClient(base_url, api_key, read_seconds=READ_SECONDS, max_retries=max_retries)
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
                # Where it takes no text at all the configuration is wrong, and this says so.
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
        return padded(_rows(response, len(inputs)))

    async def _request(self, inputs: list[str]) -> "CreateEmbeddingResponse":
        client = await self._client.get()
        import openai  # noqa: PLC0415 (already imported when there is a client)

        # `from None` everywhere: the library's own texts may quote a part of the key or the input.
        try:
            return await client.embeddings.create(input=inputs, model=self._model, encoding_format="float")
        except openai.APIConnectionError:
            raise EmbedderUnavailable("The embedding endpoint could not be reached in time.") from None
        except openai.APIStatusError as error:
            raise _refusal(error) from None
        except (openai.APIError, ValueError):
            raise EmbedderMisconfigured("The embedding endpoint does not answer in OpenAI's format.") from None


def _refusal(error: "APIStatusError") -> EmbedderUnavailable | EmbedderMisconfigured:
    status = error.status_code
    if status in TRANSIENT or status >= 500:
        return EmbedderUnavailable(f"The embedding endpoint answered {status}.", _retry_after(error))
    # The machine-readable code helps ("model_not_found"); free text is dropped, it may quote anything.
    code = error.code if isinstance(error.code, str) and re.fullmatch(r"[a-z_]{1,40}", error.code) else "no code"
    kind = TextRefused if status in REFUSING else EmbedderMisconfigured
    return kind(f"The embedding endpoint refused the request: status {status}, {code}.")


def _retry_after(error: "APIStatusError") -> float | None:
    """Seconds from `Retry-After`; its date form is rare among model providers and counts as absent."""
    value = error.response.headers.get("retry-after", "")
    return float(value) if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value) else None


def _rows(response: "CreateEmbeddingResponse", count: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """The vectors by their `index`, as an array of shape (count, width)."""
    try:
        items = sorted(response.data, key=lambda item: item.index)
        if [item.index for item in items] == list(range(count)):
            return np.array([item.embedding for item in items], np.float32).reshape(count, -1)
    except (AttributeError, TypeError, ValueError):
        pass  # not the format: the answer is not checked by the library, so anything may be missing
    raise EmbedderMisconfigured("The embedding endpoint does not answer in OpenAI's format.")
