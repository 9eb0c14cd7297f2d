"""The models that the catalogue knows: models.json, and the operator's own file of the same shape."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from resolvers.core.ports.ai import ModelCard

OPENAI = "openai"
OPENROUTER = "openrouter"
COMPATIBLE = "openai-compatible"
ADDRESSES = {OPENAI: "https://api.openai.com/v1", OPENROUTER: "https://openrouter.ai/api/v1"}
MAX_MODELS_FILE = 1024 * 1024
"""Bytes of the operator's file."""

Text = Annotated[str, Field(min_length=1, max_length=1000)]


class Entry(BaseModel):
    """One model of a file. `gateway` says who is asked; "openai-compatible" is the server of CARET_LLM_BASE_URL."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[^\s,]{1,200}$")]
    name: Text
    provider: Text
    gateway: Literal["openai", "openrouter", "openai-compatible"]
    is_free: bool = False
    is_stealth: bool = False
    context_window: Annotated[int, Field(ge=1, le=100_000_000)]
    description: Annotated[str, Field(max_length=1000)] = ""


ENTRIES = TypeAdapter(list[Entry])


def known(more: Path | None = None) -> tuple[ModelCard, ...]:
    """The cards by rank. An entry of `more` takes the place of one with its id; the others come after.

    ValueError with one line for the operator when `more` can't be used.
    """
    cards = {card.id: card for card in KNOWN}
    if more is not None:
        cards |= {card.id: card for card in _theirs(more)}
    return tuple(cards.values())


def _theirs(path: Path) -> list[ModelCard]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_MODELS_FILE + 1)
    except OSError as error:
        raise _wrong(f"{path} can't be read: {error.strerror or error}") from None
    if len(content) > MAX_MODELS_FILE:
        raise _wrong(f"{path} is larger than {MAX_MODELS_FILE // 1024**2} MiB")
    try:
        entries = ENTRIES.validate_json(content)
    except ValidationError as error:
        raise _wrong(f"{path}: {_complaint(error)}") from None
    ids = [entry.id for entry in entries]
    for number, model_id in enumerate(ids):
        if model_id in ids[:number]:
            raise _wrong(f"{path}: entry {number + 1}: id: {model_id!r} stands there twice")
    return _cards(entries)


def _wrong(what: str) -> ValueError:
    return ValueError(f"CARET_MODELS_FILE: {what}.")


def _complaint(error: ValidationError) -> str:
    """The first thing that is wrong, with the number of the entry and the field."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = [f"entry {part + 1}" if isinstance(part, int) else part for part in first["loc"]]
    return ": ".join([*place, first["msg"]])


def _cards(entries: list[Entry]) -> list[ModelCard]:
    return [ModelCard(**entry.model_dump()) for entry in entries]


# Context windows and ids as in genai-prices 0.2.3 and the providers' pages, November 2026. The order is the rank.
KNOWN = tuple(_cards(ENTRIES.validate_json(Path(__file__).with_name("models.json").read_bytes())))


def gateway_at(base_url: str) -> str:
    """Whose protocol is spoken at an address."""
    hosts = {urlsplit(address).hostname: gateway for gateway, address in ADDRESSES.items()}
    return hosts.get(urlsplit(base_url).hostname, COMPATIBLE)
