"""Language models, embedders and transcribers, built from plain settings.

Importing this costs a numpy and a pydantic; onnxruntime, openai and pydantic-ai are imported by what is built.
"""

from pydantic import SecretStr

from caret.providers.catalogue import Catalogue
from caret.providers.embedders import Embedders
from caret.providers.minilm import MiniLM
from caret.providers.model_list import ADDRESSES, OPENAI
from caret.providers.openai_embedder import OpenAIEmbedder
from caret.providers.openai_transcriber import OpenAITranscriber

__all__ = [
    "Catalogue",
    "Embedders",
    "MiniLM",
    "OpenAIEmbedder",
    "OpenAITranscriber",
    "build_embedder",
    "build_embedders",
    "build_models",
    "build_transcriber",
]


def build_embedder(
    *, base_url: str | None = None, api_key: SecretStr | None = None, model: str | None = None
) -> MiniLM | OpenAIEmbedder:
    """An OpenAI-compatible embedder when a server or a key is named, else the local one.

    ValueError with one line for the operator when only a part is named. Close it with `aclose()`.
    """
    if not (base_url or api_key or model):
        return MiniLM()
    if not model:
        raise ValueError("CARET_EMBEDDING_MODEL is not set: name the embedding model to use with that key or base URL.")
    if not (base_url or api_key):
        raise ValueError(
            "CARET_EMBEDDING_MODEL is set: set CARET_EMBEDDING_BASE_URL or CARET_EMBEDDING_API_KEY as well."
        )
    return OpenAIEmbedder(base_url or ADDRESSES[OPENAI], model, api_key)


def build_embedders(
    *, base_url: str | None = None, api_key: SecretStr | None = None, model: str | None = None
) -> Embedders:
    """The embedder of `build_embedder`, and those whose vectors may still be there. Close them with `aclose()`."""
    current = build_embedder(base_url=base_url, api_key=api_key, model=model)
    return Embedders(current, (base_url or ADDRESSES[OPENAI]) if model else None, api_key)


build_models = Catalogue
"""The catalogue of language models from the arguments that `Catalogue` documents. Close it with `aclose()`."""


def build_transcriber(
    *, base_url: str | None = None, api_key: SecretStr | None = None, model: str | None = None
) -> OpenAITranscriber | None:
    """An OpenAI-compatible transcriber when a model, and a server or a key, are named, else None.

    There is no local one. Close it with `aclose()`.
    """
    if not model or not (base_url or api_key):
        return None
    return OpenAITranscriber(base_url or ADDRESSES[OPENAI], model, api_key)
