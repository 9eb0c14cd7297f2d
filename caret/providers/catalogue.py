"""Which language models this deployment offers, and how each is reached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pydantic import SecretStr

from caret.providers.extractive import CARD as EXTRACTIVE
from caret.providers.extractive import extractive_model
from caret.providers.model_list import ADDRESSES, COMPATIBLE, OPENAI, OPENROUTER, gateway_at, known
from caret.providers.openai_client import checked_url
from resolvers.core.ports.ai import BUILT_IN_GATEWAY, ModelCard

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from caret.providers.streaming_client import SpokenClient

SILENCE = 60.0
"""Seconds without a word after which a provider counts as gone."""
UNKNOWN_WINDOW = 32_768
"""Tokens, for a model that no file knows."""
BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Place:
    """Where models are asked."""

    base_url: str
    api_key: SecretStr | None


class Catalogue:
    """The models of every configured gateway, and last the built-in one, which is always there.

    * `llm_base_url` and `llm_model`: that model, first in the list and the default. A key is optional (vLLM, Ollama).
    * `openrouter_api_key`, `openai_api_key`: that gateway's known models. `openai_base_url` replaces OpenAI's address,
      for a proxy.
    * `models_file`: more known models; those of "openai-compatible" are asked at `llm_base_url`.
    * The default is the configured model, else the first offered. `llm_model` without a base URL chooses it by id.
    * `llm_fallbacks`: the models to try, in this order, in the place of one that fails.
    * `llm_silence`: seconds without a word after which a provider counts as gone.

    The cards are known at once. A model is built when it is first asked for, because the libraries behind it take
    seconds to import. ValueError with one line for the operator when the arguments contradict each other.
    """

    def __init__(
        self,
        *,
        llm_base_url: str | None = None,
        llm_api_key: SecretStr | None = None,
        llm_model: str | None = None,
        llm_fallbacks: Sequence[str] = (),
        llm_silence: float = SILENCE,
        models_file: Path | None = None,
        openrouter_api_key: SecretStr | None = None,
        openai_api_key: SecretStr | None = None,
        openai_base_url: str | None = None,
    ) -> None:
        self._silence = llm_silence
        self._fallbacks = tuple(llm_fallbacks)
        self._cards: dict[str, ModelCard] = {}
        self._places: dict[str, Place] = {}
        self._models: dict[str, Model] = {}
        self._clients: dict[Place, SpokenClient] = {}
        self._building = Lock()
        cards = known(models_file)
        if llm_base_url:
            if not llm_model:
                raise ValueError("CARET_LLM_BASE_URL is set but CARET_LLM_MODEL is not: name the model to use there.")
            gateway = gateway_at(llm_base_url)
            theirs = [replace(card, gateway=gateway) for card in cards if card.gateway == COMPATIBLE]
            self._offer([_card(cards, llm_model, gateway), *theirs], Place(llm_base_url, llm_api_key))
        if openrouter_api_key:
            self._offer(_of(cards, OPENROUTER), Place(ADDRESSES[OPENROUTER], openrouter_api_key))
        if openai_api_key:
            self._offer(_of(cards, OPENAI), Place(openai_base_url or ADDRESSES[OPENAI], openai_api_key))
        self._cards.setdefault(EXTRACTIVE.id, EXTRACTIVE)
        self._check(llm_model)
        self.cards: tuple[ModelCard, ...] = tuple(self._cards.values())
        self.default_id: str = llm_model or self.cards[0].id

    def _offer(self, cards: Iterable[ModelCard], place: Place) -> None:
        checked_url(place.base_url)
        for card in cards:
            if card.id not in self._cards:
                self._cards[card.id] = card
                self._places[card.id] = place

    def _check(self, llm_model: str | None) -> None:
        if llm_model and llm_model not in self._cards:
            raise ValueError(
                f"CARET_LLM_MODEL is {llm_model!r}, which no configured gateway offers: set CARET_LLM_BASE_URL as well."
            )
        for model_id in self._fallbacks:
            if model_id not in self._cards:
                raise ValueError(f"CARET_LLM_FALLBACKS names {model_id!r}, which no configured gateway offers.")

    def chain(self, model_id: str) -> tuple[str, ...]:
        """The model, then those to try in its place. Who asks the built-in one asks nobody outside."""
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
            return extractive_model()
        place, gateways = self._places[model_id], import_module("caret.providers.gateways")
        if place not in self._clients:
            self._clients[place] = gateways.connected(place.base_url, place.api_key, self._silence)
        model: Model = gateways.model(model_id, gateway_at(place.base_url), self._clients[place])
        return model

    def preload(self) -> None:
        """Imports and builds what the default model needs. Blocks for seconds: for a thread, once there is time."""
        for model_id in self.chain(self.default_id):
            self.model(model_id)

    def count_tokens(self, model_id: str, text: str) -> int:  # noqa: ARG002 (no tokenizer of theirs is at hand offline)
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
            # The same weights on a server of one's own are the same model through another gateway, at another price.
            same = card.gateway in {gateway, COMPATIBLE}
            return replace(card, gateway=gateway) if same else replace(card, gateway=gateway, is_free=False)
    vendor, slash, _ = model_id.partition("/")
    return ModelCard(
        id=model_id,
        name=model_id,
        provider=vendor if slash else "Custom",
        gateway=gateway,
        is_free=False,
        is_stealth=False,
        context_window=UNKNOWN_WINDOW,
        description="The model configured for this server.",
    )
