"""Which language models this deployment offers, and how each is reached."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from caret.providers.extractive import CARD as EXTRACTIVE
from caret.providers.extractive import extractive_model
from caret.providers.openai_client import openai_client
from resolvers.intelligence import ModelCard

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from pydantic_ai.models import Model

# Context windows and ids as in genai-prices 0.2.3 and the providers' pages, November 2026. The order is the rank.
KNOWN = tuple(ModelCard(**card) for card in json.loads(Path(__file__).with_name("models.json").read_bytes()))

OPENAI = "openai"
OPENROUTER = "openrouter"
COMPATIBLE = "openai-compatible"
ADDRESSES = {OPENAI: "https://api.openai.com/v1", OPENROUTER: "https://openrouter.ai/api/v1"}

READ_SECONDS = 60.0  # the longest silence between two chunks
MAX_RETRIES = 1  # of requests that failed before their first byte
UNKNOWN_WINDOW = 32_768  # tokens, for a model that neither models.json nor pydantic-ai knows
BYTES_PER_TOKEN = 4


class Catalogue:
    """The models of every configured gateway, and last the built-in one, which is always there.

    * `llm_base_url` and `llm_model`: that model, first in the list and the default. A key is optional (vLLM, Ollama).
    * `openrouter_api_key`, `openai_api_key`: that gateway's models of models.json. `openai_base_url` replaces OpenAI's
      address, for a proxy.
    * The default is the configured model, else the first offered. `llm_model` without a base URL chooses it by id.

    ValueError with one line for the operator when the arguments contradict each other.
    """

    def __init__(
        self,
        *,
        llm_base_url: str | None = None,
        llm_api_key: SecretStr | None = None,
        llm_model: str | None = None,
        openrouter_api_key: SecretStr | None = None,
        openai_api_key: SecretStr | None = None,
        openai_base_url: str | None = None,
    ) -> None:
        self._models: dict[str, tuple[ModelCard, Model]] = {}
        self._clients: list[AsyncOpenAI] = []
        if llm_base_url:
            if not llm_model:
                raise ValueError("CARET_LLM_BASE_URL is set but CARET_LLM_MODEL is not: name the model to use there.")
            self._offer([_card(llm_model, llm_base_url)], llm_base_url, llm_api_key)
        if openrouter_api_key:
            self._offer(_of_gateway(OPENROUTER), ADDRESSES[OPENROUTER], openrouter_api_key)
        if openai_api_key:
            self._offer(_of_gateway(OPENAI), openai_base_url or ADDRESSES[OPENAI], openai_api_key)
        self._models.setdefault(EXTRACTIVE.id, (EXTRACTIVE, extractive_model()))
        if llm_model and llm_model not in self._models:
            raise ValueError(
                f"CARET_LLM_MODEL is {llm_model!r}, which no configured gateway offers: set CARET_LLM_BASE_URL as well."
            )
        self.cards: tuple[ModelCard, ...] = tuple(card for card, _ in self._models.values())
        self.default_id: str = llm_model or self.cards[0].id

    def model(self, model_id: str) -> "Model":
        return self._models[model_id][1]

    def count_tokens(self, model_id: str, text: str) -> int:  # noqa: ARG002 (no tokenizer of theirs is at hand offline)
        """UTF-8 bytes / 4, rounded up: within about a quarter of the common tokenizers for European and CJK text."""
        return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)

    async def aclose(self) -> None:
        for client in self._clients:
            await client.close()

    def _offer(self, cards: Iterable[ModelCard], base_url: str, api_key: SecretStr | None) -> None:
        client = openai_client(base_url, api_key, read_seconds=READ_SECONDS, max_retries=MAX_RETRIES)
        self._clients.append(client)
        for card in cards:
            model = _model(card.id, _gateway(base_url), client)
            window = card.context_window or model.context_window or UNKNOWN_WINDOW
            self._models.setdefault(card.id, (replace(card, context_window=window), model))


def _of_gateway(gateway: str) -> list[ModelCard]:
    return [card for card in KNOWN if card.gateway == gateway]


def _gateway(base_url: str) -> str:
    hosts = {urlsplit(address).hostname: gateway for gateway, address in ADDRESSES.items()}
    return hosts.get(urlsplit(base_url).hostname, COMPATIBLE)


def _card(model_id: str, base_url: str) -> ModelCard:
    """The card of the configured model; `context_window` 0 when models.json doesn't know it."""
    gateway = _gateway(base_url)
    for card in KNOWN:
        if card.id == model_id:
            # The same weights on a server of one's own are the same model through another gateway, at another price.
            return card if card.gateway == gateway else replace(card, gateway=gateway, is_free=False)
    vendor, slash, _ = model_id.partition("/")
    return ModelCard(
        id=model_id,
        name=model_id,
        provider=vendor if slash else "Custom",
        gateway=gateway,
        is_free=False,
        is_stealth=False,
        context_window=0,
        description="The model configured for this server.",
    )


def _model(model_id: str, gateway: str, client: "AsyncOpenAI") -> "Model":
    from pydantic_ai.models import openai as models  # noqa: PLC0415 (over a second to import)
    from pydantic_ai.profiles.openai import OpenAIModelProfile  # noqa: PLC0415
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415
    from pydantic_ai.providers.openrouter import OpenRouterProvider  # noqa: PLC0415

    if gateway == OPENAI:
        # Since GPT-5.4, OpenAI's Chat Completions refuse tools for a model that reasons; Responses take both.
        # Notes are private: nothing is stored there.
        settings = models.OpenAIResponsesModelSettings(openai_store=False)
        return models.OpenAIResponsesModel(model_id, provider=OpenAIProvider(openai_client=client), settings=settings)
    if gateway == OPENROUTER:
        return models.OpenAIChatModel(model_id, provider=OpenRouterProvider(openai_client=client))
    # Many compatible servers know only the older of the two names of the limit.
    profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)
    provider = OpenAICompatibleProvider(COMPATIBLE, openai_client=client, profile=profile)
    return models.OpenAIChatModel(model_id, provider=provider)
