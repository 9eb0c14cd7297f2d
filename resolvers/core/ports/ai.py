"""What the resolvers ask of language models and embedders; `caret.providers` builds them."""

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
"""DIMENSIONS numbers of unit length; a shorter one is padded with zeros, which leaves every cosine as it is."""

DIMENSIONS = 1536
BUILT_IN_GATEWAY = "built-in"
"""The gateway of the model that needs no provider."""


class EmbedderUnavailable(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """The embedder can't answer now; the same call may succeed later.

    `retry_after` is in seconds, None when the provider named no time. The text holds no secret and no user's text.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EmbedderMisconfigured(Exception):  # noqa: N818
    """The embedder will refuse every such call until someone changes the configuration: retrying is no use.

    The text is for the operator; it holds no secret and no user's text.
    """


class Embedder(Protocol):
    """Turns texts into vectors. Any text is accepted: empty, huge (the start counts), with NUL or lone surrogates.

    Both methods raise EmbedderUnavailable and EmbedderMisconfigured.
    """

    @property
    def identity(self) -> str:
        """Names the vector space: vectors of different identities must never be compared."""

    async def embed_query(self, text: str) -> Vector:
        """Never waits behind `embed_passages`."""

    async def embed_passages(self, texts: Sequence[str]) -> Sequence[Vector | None]:
        """One vector per text, in the order of `texts`; None for a text that is refused while others are not."""


class Embedders(Protocol):
    """The embedders that questions can be put to, while not all vectors are of the same."""

    def of(self, identity: str) -> Embedder | None:
        """The embedder of that identity, None where this process can't have it."""


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
    """Hears the next pieces of a text, as many as came together."""

    def __call__(self, *pieces: str) -> Awaitable[None]: ...


text_listener: ContextVar[TextListener | None] = ContextVar("speaking", default=None)
"""Who hears the text of an answer while a model makes it, piece by piece, as it comes. Whoever asks a model sets it;
the request itself returns the whole answer. None: nobody wants to hear it before it is complete."""


class Models(Protocol):
    """The catalogue of language models."""

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """What is offered, best first; never empty."""

    @property
    def default_id(self) -> str:
        """The id of one of `cards`, used when the caller names no model."""

    def model(self, model_id: str) -> "Model":
        """The model itself, ready for an agent. KeyError when the catalogue doesn't offer it."""

    def chain(self, model_id: str) -> tuple[str, ...]:
        """The model, then those to try in its place, each once. KeyError when the catalogue doesn't offer it."""

    def count_tokens(self, model_id: str, text: str) -> int:
        """An estimate for texts whose usage the provider didn't report; quick enough for the event loop."""


def has_generative_model(models: Models) -> bool:
    """Whether the default model writes texts of its own: the built-in one only quotes."""
    return any(card.id == models.default_id and card.gateway != BUILT_IN_GATEWAY for card in models.cards)


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of a note that retrieval found. `note` is the note's id, `chunk` the chunk's index in it."""

    title: str
    chunk: int
    note: str
    text: str


def passages_block(passages: Iterable[Passage]) -> str:
    """The passages as a model is shown them; the built-in model reads this very form back.

    Everything a user wrote is escaped as in HTML, so no title or text can end its element or open another.
    """
    return f"<passages>\n{''.join(map(_element, passages))}</passages>"


def _element(p: Passage) -> str:
    opening = f'<passage title="{escape(p.title)}" chunk="{p.chunk}" note="{escape(p.note)}">'
    return f"{opening}\n{escape(p.text, quote=False)}\n</passage>\n"
