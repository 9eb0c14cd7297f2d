"""The HTTP client for anything that speaks OpenAI's protocol, the same for chat and for embeddings."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS = 5.0


def openai_client(base_url: str, api_key: SecretStr | None, *, read_seconds: float, max_retries: int) -> "AsyncOpenAI":
    """A client for `base_url`; `read_seconds` is the longest silence, between two chunks of a stream too.

    ValueError when `base_url` is no http(s) address.
    """
    import openai  # noqa: PLC0415 (over a second, and none of it for who uses no provider)

    address = urlsplit(base_url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ValueError("The base URL of a model provider must start with http:// or https:// and name a host.")
    client = openai.AsyncOpenAI(
        base_url=base_url,
        # Never empty: the library would send the environment's OPENAI_API_KEY to this address instead.
        api_key=api_key.get_secret_value() if api_key and api_key.get_secret_value() else "none",
        timeout=openai.Timeout(read_seconds, connect=CONNECT_SECONDS),
        max_retries=max_retries,
    )
    # The library also reads these from the environment; caret.settings is the only one that may.
    client.organization = client.project = client.admin_api_key = None
    return client
