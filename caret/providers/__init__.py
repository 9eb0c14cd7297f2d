"""Language models, embedders and transcribers, built from the settings.

Importing this imports no library of a model: numpy, onnxruntime, openai and pydantic-ai are imported at the first use.
"""

from caret.providers.catalogue import Catalogue
from caret.providers.embedder import EmbeddingOptions
from caret.providers.embedders import Embedders
from caret.providers.minilm import MiniLM
from caret.providers.openai_embedder import OpenAIEmbedder
from caret.providers.openai_transcriber import OpenAITranscriber, build_transcriber

__all__ = [
    "Catalogue",
    "Embedders",
    "EmbeddingOptions",
    "MiniLM",
    "OpenAIEmbedder",
    "OpenAITranscriber",
    "build_transcriber",
]
