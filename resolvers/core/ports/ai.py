"""The ports to language models and embedders; `caret.providers` implements them."""

from collections.abc import Awaitable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Protocol

from typing_extensions import TypeAliasType

if TYPE_CHECKING:  # a start must wait for neither
    import numpy as np
    from numpy.typing import NDArray
    from pydantic_ai.models import Model

Vector = TypeAliasType("Vector", "NDArray[np.float32]")
"""A unit vector of DIMENSIONS numbers. A shorter one is padded with zeros, which does not change any cosine."""

DIMENSIONS = 1536
BUILT_IN_GATEWAY = "built-in"
"""The gateway of the built-in model, which needs no provider."""


class EmbedderUnavailable(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """The embedder can't answer now; the same call may succeed later.

    `retry_after` is in seconds, None if the provider did not say. The message contains no secret and no user's text.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EmbedderMisconfigured(Exception):  # noqa: N818
    """The embedder refuses every such call until someone changes the configuration: retrying does not help.

    The message is for the operator; it contains no secret and no user's text.
    """


class Embedder(Protocol):
    """Turns texts into vectors. It accepts any text: empty, huge (only the start counts), with NUL or lone surrogates.

    Both methods raise EmbedderUnavailable and EmbedderMisconfigured.
    """

    @property
    def identity(self) -> str:
        """The name of the vector space: vectors of different spaces must never be compared."""

    async def embed_query(self, text: str) -> Vector:
        """The vector of a query. It never waits for `embed_passages`."""

    async def embed_passages(self, texts: Sequence[str]) -> Sequence[Vector | None]:
        """One vector per text, in the order of `texts`; None for a text that is refused while others are not."""


class EmbedderSet(Protocol):
    """The embedders that can embed a query, while not all stored vectors are in the same space."""

    def get(self, identity: str) -> Embedder | None:
        """The embedder of that vector space. None if this process has none for it."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One entry of `GET /api/v1/ai/models`. `context_window` is in tokens, input and output together."""

    id: str
    name: str
    provider: str
    gateway: str
    is_free: bool
    is_stealth: bool
    context_window: int
    description: str


class TextListener(Protocol):
    """Receives the next pieces of a text, as many as arrived together."""

    def __call__(self, *pieces: str) -> Awaitable[None]: ...


text_listener: ContextVar[TextListener | None] = ContextVar("speaking", default=None)
"""Receives the text of an answer while a model writes it. Set it before a request to a model, which itself returns the
whole answer. None: the text is needed only as a whole."""


class Models(Protocol):
    """The catalogue of language models."""

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """The models that are offered, best first; never empty."""

    @property
    def default_id(self) -> str:
        """The id of the model that is used if the caller selects none."""

    def model(self, model_id: str) -> "Model":
        """The model, ready for an agent. Raises KeyError if it is not in the catalogue."""

    def chain(self, model_id: str) -> tuple[str, ...]:
        """The model and its fallbacks, in the order to try them. Raises KeyError if it is not in the catalogue."""

    def count_tokens(self, model_id: str, text: str) -> int:
        """An estimate for texts whose usage the provider did not report; quick enough for the event loop."""


def has_generative_model(models: Models) -> bool:
    """Whether the default model writes texts of its own. The built-in model only quotes."""
    return any(card.id == models.default_id and card.gateway != BUILT_IN_GATEWAY for card in models.cards)


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of a note that a search returned. `note` is the note's id, `chunk` the chunk's index in it."""

    title: str
    chunk: int
    note: str
    text: str


def passages_block(passages: Iterable[Passage]) -> str:
    """The passages as they are sent to a model; the built-in model parses this form.

    Users' texts are escaped as in HTML, so that no title or text can close its element or open another.
    """
    return f"<passages>\n{''.join(map(_element, passages))}</passages>"


def _element(p: Passage) -> str:
    opening = f'<passage title="{escape(p.title)}" chunk="{p.chunk}" note="{escape(p.note)}">'
    return f"{opening}\n{escape(p.text, quote=False)}\n</passage>\n"
