"""Which language models this deployment offers, and how each is reached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pydantic import SecretStr

from caret.providers.model_list import ADDRESSES, COMPATIBLE, EXTRACTIVE, OPENAI, OPENROUTER, gateway_of, known_models
from caret.providers.openai_client import checked_url
from caret.settings import Settings
from resolvers.core.ports.ai import BUILT_IN_GATEWAY, ModelCard

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from caret.providers.streaming_client import StreamingClient

SILENCE_SECONDS: float = Settings.model_fields["llm_silence"].default
"""A provider that sends nothing for so long has failed."""
UNKNOWN_CONTEXT_WINDOW = 32_768
"""Tokens, for a model that is in no list."""
BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Endpoint:
    """The address of a gateway, and the key for it."""

    base_url: str
    api_key: SecretStr | None


class Catalogue:
    """The models of every configured gateway, and last the built-in one, which is always there.

    * `llm_base_url` and `llm_model`: that model, first in the list and the default. A key is optional (vLLM, Ollama).
    * `openrouter_api_key`, `openai_api_key`: that gateway's known models. `openai_base_url` replaces OpenAI's address,
      for a proxy.
    * `models_file`: more known models; those of "openai-compatible" are on the server at `llm_base_url`.
    * The default is the configured model, else the first offered. `llm_model` without a base URL chooses it by id.
    * `llm_fallbacks`: the models to try, in this order, when one fails.
    * `llm_silence`: a provider that sends nothing for so many seconds has failed.

    The cards are there at once. A model is built at its first use, because its libraries take seconds to import.
    ValueError with one line for the operator when the arguments contradict each other.
    """

    def __init__(
        self,
        *,
        llm_base_url: str | None = None,
        llm_api_key: SecretStr | None = None,
        llm_model: str | None = None,
        llm_fallbacks: Sequence[str] = (),
        llm_silence: float = SILENCE_SECONDS,
        models_file: Path | None = None,
        openrouter_api_key: SecretStr | None = None,
        openai_api_key: SecretStr | None = None,
        openai_base_url: str | None = None,
    ) -> None:
        self._silence = llm_silence
        self._fallbacks = tuple(llm_fallbacks)
        self._cards: dict[str, ModelCard] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._models: dict[str, Model] = {}
        self._clients: dict[Endpoint, StreamingClient] = {}
        self._building = Lock()
        cards = known_models(models_file)
        if llm_base_url:
            if not llm_model:
                raise ValueError("CARET_LLM_BASE_URL is set but CARET_LLM_MODEL is not: name the model to use there.")
            gateway = gateway_of(llm_base_url)
            on_server = [replace(card, gateway=gateway) for card in cards if card.gateway == COMPATIBLE]
            self._offer([_card(cards, llm_model, gateway), *on_server], Endpoint(llm_base_url, llm_api_key))
        if openrouter_api_key:
            self._offer(_of(cards, OPENROUTER), Endpoint(ADDRESSES[OPENROUTER], openrouter_api_key))
        if openai_api_key:
            self._offer(_of(cards, OPENAI), Endpoint(openai_base_url or ADDRESSES[OPENAI], openai_api_key))
        self._cards.setdefault(EXTRACTIVE.id, EXTRACTIVE)
        self._check(llm_model)
        self.cards: tuple[ModelCard, ...] = tuple(self._cards.values())
        self.default_id: str = llm_model or self.cards[0].id

    def _offer(self, cards: Iterable[ModelCard], endpoint: Endpoint) -> None:
        checked_url(endpoint.base_url)
        for card in cards:
            if card.id not in self._cards:
                self._cards[card.id] = card
                self._endpoints[card.id] = endpoint

    def _check(self, llm_model: str | None) -> None:
        if llm_model and llm_model not in self._cards:
            raise ValueError(
                f"CARET_LLM_MODEL is {llm_model!r}, which no configured gateway offers: set CARET_LLM_BASE_URL as well."
            )
        for model_id in self._fallbacks:
            if model_id not in self._cards:
                raise ValueError(f"CARET_LLM_FALLBACKS names {model_id!r}, which no configured gateway offers.")

    def chain(self, model_id: str) -> tuple[str, ...]:
        """The model, then those to try when it fails. A request to the built-in model never goes to another server."""
        if self._cards[model_id].gateway == BUILT_IN_GATEWAY:
            return (model_id,)
        return tuple(dict.fromkeys((model_id, *self._fallbacks)))

    def model(self, model_id: str) -> "Model":
        with self._building:
            if model_id not in self._models:
                self._models[model_id] = self._build(model_id)
            return self._models[model_id]

    def _build(self, model_id: str) -> "Model":
        card = self._cards[model_id]
        if card is EXTRACTIVE:
            extractive: Model = import_module("caret.providers.extractive").create_model()
            return extractive
        endpoint, gateways = self._endpoints[model_id], import_module("caret.providers.gateways")
        if endpoint not in self._clients:
            self._clients[endpoint] = gateways.create_streaming_client(
                endpoint.base_url, endpoint.api_key, self._silence
            )
        model: Model = gateways.create_model(model_id, gateway_of(endpoint.base_url), self._clients[endpoint])
        return model

    def preload(self) -> None:
        """Imports and builds what the default model needs. It blocks for seconds: run it in a thread."""
        for model_id in self.chain(self.default_id):
            self.model(model_id)

    def count_tokens(self, model_id: str, text: str) -> int:  # noqa: ARG002 (providers' tokenizers need the network)
        """UTF-8 bytes / 4, rounded up: within about a quarter of the common tokenizers for European and CJK text."""
        return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.close()


def _of(cards: Iterable[ModelCard], gateway: str) -> list[ModelCard]:
    return [card for card in cards if card.gateway == gateway]


def _card(cards: Iterable[ModelCard], model_id: str, gateway: str) -> ModelCard:
    """The card of the configured model."""
    for card in cards:
        if card.id == model_id:
            # The same weights on another server are the same model through another gateway, at another price.
            is_same_price = card.gateway in {gateway, COMPATIBLE}
            return replace(card, gateway=gateway) if is_same_price else replace(card, gateway=gateway, is_free=False)
    vendor, slash, _ = model_id.partition("/")
    return ModelCard(
        id=model_id,
        name=model_id,
        provider=vendor if slash else "Custom",
        gateway=gateway,
        is_free=False,
        is_stealth=False,
        context_window=UNKNOWN_CONTEXT_WINDOW,
        description="The model configured for this server.",
    )
