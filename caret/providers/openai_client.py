"""The HTTP client for anything that speaks OpenAI's protocol, the same for chat, embeddings and transcripts."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS = 5.0
Client = TypeVar("Client", bound="AsyncOpenAI")


def checked(base_url: str) -> str:
    """ValueError when `base_url` is no http(s) address."""
    address = urlsplit(base_url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ValueError("The base URL of a model provider must start with http:// or https:// and name a host.")
    return base_url


def openai_client(
    kind: type[Client],
    base_url: str,
    api_key: SecretStr | None,
    *,
    read_seconds: float,
    max_retries: int,
    **more: Any,
) -> Client:
    """A client for `base_url`; `read_seconds` is the longest silence, between two chunks of a stream too."""
    import openai  # noqa: PLC0415 (over a second, and none of it for who uses no provider)

    client = kind(
        base_url=checked(base_url),
        # Never empty: the library would send the environment's OPENAI_API_KEY to this address instead.
        api_key=api_key.get_secret_value() if api_key and api_key.get_secret_value() else "none",
        timeout=openai.Timeout(read_seconds, connect=CONNECT_SECONDS),
        max_retries=max_retries,
        **more,
    )
    # The library also reads these from the environment; caret.settings is the only one that may.
    client.organization = client.project = client.admin_api_key = None
    return client


class LaterClient:
    """A client that is built, and its library imported, in a thread at the first use: a start must not wait for it.

    ValueError when `base_url` is no http(s) address.
    """

    def __init__(self, base_url: str, api_key: SecretStr | None, *, read_seconds: float, max_retries: int) -> None:
        self._base_url = checked(base_url)
        self._api_key = api_key
        self._read_seconds = read_seconds
        self._max_retries = max_retries
        self._client: AsyncOpenAI | None = None

    async def get(self) -> "AsyncOpenAI":
        if self._client is not None:
            return self._client
        openai = await asyncio.to_thread(import_module, "openai")
        return self._built(openai.AsyncOpenAI)

    def _built(self, kind: "type[AsyncOpenAI]") -> "AsyncOpenAI":
        # Several may have waited for the library; the first of them builds.
        if self._client is None:
            self._client = openai_client(
                kind, self._base_url, self._api_key, read_seconds=self._read_seconds, max_retries=self._max_retries
            )
        return self._client

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()
