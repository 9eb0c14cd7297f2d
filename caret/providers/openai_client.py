"""The HTTP client for anything that speaks OpenAI's protocol: the same for chat, embeddings and transcripts."""

import re
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from caret.lazy import LazyModule

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS = 5.0
Client = TypeVar("Client", bound="AsyncOpenAI")


def checked_url(base_url: str) -> str:
    """The same URL; ValueError when it is no http(s) address."""
    address = urlsplit(base_url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ValueError("The base URL of a model provider must start with http:// or https:// and name a host.")
    return base_url


def create_client(
    openai: ModuleType,
    kind: type[Client],
    base_url: str,
    api_key: SecretStr | None,
    *,
    read_seconds: float,
    max_retries: int,
    **more: Any,
) -> Client:
    """A client for `base_url`. `openai` is the library; `read_seconds` is the longest silence, between two chunks of a
    stream too."""
    client = kind(
        base_url=checked_url(base_url),
        # Never empty: the library would send the environment's OPENAI_API_KEY to this address instead.
        api_key=api_key.get_secret_value() if api_key and api_key.get_secret_value() else "none",
        timeout=openai.Timeout(read_seconds, connect=CONNECT_SECONDS),
        max_retries=max_retries,
        **more,
    )
    # The library also reads these from the environment; caret.settings is the only one that may.
    client.organization = client.project = client.admin_api_key = None
    return client


class LazyClient:
    """A client whose library is imported in a thread at the first use: a start must not wait over a second for it.

    ValueError when `base_url` is no http(s) address. Close it with `aclose()`.
    """

    def __init__(self, base_url: str, api_key: SecretStr | None, *, read_seconds: float, max_retries: int) -> None:
        self._base_url = checked_url(base_url)
        self._api_key = api_key
        self._read_seconds = read_seconds
        self._max_retries = max_retries
        self._library = LazyModule("openai")
        self._client: AsyncOpenAI | None = None

    async def load(self) -> tuple["AsyncOpenAI", ModuleType]:
        """The client, and the library with the classes of its errors."""
        openai = await self._library.load()
        # Several may have waited for the library; the first of them creates the client.
        if self._client is None:
            self._client = create_client(
                openai,
                openai.AsyncOpenAI,
                self._base_url,
                self._api_key,
                read_seconds=self._read_seconds,
                max_retries=self._max_retries,
            )
        return self._client, openai

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()


def retry_after(error: Any) -> float | None:
    """Seconds from the header `Retry-After` of an APIStatusError. Its date form is rare among model providers and
    counts as absent."""
    value = error.response.headers.get("retry-after", "")
    return float(value) if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", value) else None
