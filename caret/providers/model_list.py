"""The known models: models.json, the operator's own file in the same format, and the built-in model."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from models.limits import limit
from resolvers.core.ports.ai import BUILT_IN_GATEWAY, ModelCard

OPENAI = "openai"
OPENROUTER = "openrouter"
COMPATIBLE = "openai-compatible"
ADDRESSES = {OPENAI: "https://api.openai.com/v1", OPENROUTER: "https://openrouter.ai/api/v1"}
MAX_MODELS_FILE_BYTES = limit(
    1024 * 1024, "The file of `CARET_MODELS_FILE`", area="Files of the operator", beyond="stops the start", unit="bytes"
)

EXTRACTIVE = ModelCard(
    id="caret/extractive",
    name="Caret Extractive",
    provider="Caret",
    gateway=BUILT_IN_GATEWAY,
    is_free=True,
    is_stealth=False,
    context_window=32_768,
    description="Quotes the best matching passages of your notes with their titles. It does not write, summarise or "
    "reason, and it needs no network.",
)

Text = Annotated[str, Field(min_length=1, max_length=1000)]


class ModelEntry(BaseModel):
    """One model of a file. The gateway "openai-compatible" is the server at CARET_LLM_BASE_URL."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[^\s,]{1,200}$")]
    name: Text
    provider: Text
    gateway: Literal["openai", "openrouter", "openai-compatible"]
    is_free: bool = False
    is_stealth: bool = False
    context_window: Annotated[int, Field(ge=1, le=100_000_000)]
    description: Annotated[str, Field(max_length=1000)] = ""


ENTRIES = TypeAdapter(list[ModelEntry])


def known_models(more: Path | None = None) -> tuple[ModelCard, ...]:
    """The cards by rank. An entry of `more` replaces one with the same id; the others come after.

    ValueError with one line for the operator when `more` can't be used.
    """
    cards = {card.id: card for card in KNOWN}
    if more is not None:
        cards |= {card.id: card for card in _read(more)}
    return tuple(cards.values())


def _read(path: Path) -> list[ModelCard]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_MODELS_FILE_BYTES + 1)
    except OSError as error:
        raise _error(f"{path} can't be read: {error.strerror or error}") from None
    if len(content) > MAX_MODELS_FILE_BYTES:
        raise _error(f"{path} is larger than {MAX_MODELS_FILE_BYTES // 1024**2} MiB")
    try:
        entries = ENTRIES.validate_json(content)
    except ValidationError as error:
        raise _error(f"{path}: {_first_error(error)}") from None
    ids = [entry.id for entry in entries]
    for number, model_id in enumerate(ids):
        if model_id in ids[:number]:
            raise _error(f"{path}: entry {number + 1}: id: {model_id!r} is used twice")
    return _cards(entries)


def _error(what: str) -> ValueError:
    return ValueError(f"CARET_MODELS_FILE: {what}.")


def _first_error(error: ValidationError) -> str:
    """The first error, with the number of the entry and the field."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = [f"entry {part + 1}" if isinstance(part, int) else part for part in first["loc"]]
    return ": ".join([*path, first["msg"]])


def _cards(entries: list[ModelEntry]) -> list[ModelCard]:
    return [ModelCard(**entry.model_dump()) for entry in entries]


# Context windows and ids as in genai-prices 0.2.3 and the providers' pages, November 2026. The order is the rank.
KNOWN = tuple(_cards(ENTRIES.validate_json(Path(__file__).with_name("models.json").read_bytes())))


def gateway_of(base_url: str) -> str:
    """The gateway at an address."""
    hosts = {urlsplit(address).hostname: gateway for gateway, address in ADDRESSES.items()}
    return hosts.get(urlsplit(base_url).hostname, COMPATIBLE)
