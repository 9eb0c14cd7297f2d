"""What an embedder implements, and the settings that it is built from."""

from typing import NamedTuple, Protocol

from pydantic import SecretStr

from resolvers.core.ports.ai import Embedder


class ClosableEmbedder(Embedder, Protocol):
    async def aclose(self) -> None: ...


class EmbeddingOptions(NamedTuple):
    """The settings CARET_EMBEDDING_BASE_URL, CARET_EMBEDDING_API_KEY and CARET_EMBEDDING_MODEL."""

    base_url: str | None = None
    api_key: SecretStr | None = None
    model: str | None = None

    @property
    def are_set(self) -> bool:
        return bool(self.base_url or self.api_key or self.model)


class BuildEmbedder(Protocol):
    """How a module makes its embedder known."""

    def __call__(self, options: EmbeddingOptions, identity: str | None) -> ClosableEmbedder | None:
        """The embedder that the options choose or, with an identity, the one whose vectors have it and that can be
        reached with the options. None when it is not this module's.

        ValueError, with one line for the operator, when the options contradict each other.
        """
