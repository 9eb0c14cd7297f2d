"""The embedder for OpenAI-compatible endpoints, against a server on loopback."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from caret.providers import Embedders, EmbeddingOptions, MiniLM, OpenAIEmbedder
from resolvers.core.ports.ai import DIMENSIONS, EmbedderMisconfigured, EmbedderUnavailable

from .helpers import Answer, FakeProvider, embeddings, failure

KEY = "sk-very-secret"


@pytest_asyncio.fixture
async def embedder(provider: FakeProvider) -> AsyncIterator[OpenAIEmbedder]:
    built = OpenAIEmbedder(provider.url, "tiny", SecretStr(KEY), max_retries=0)
    yield built
    await built.aclose()


def by_number(text: str) -> list[float]:
    """`text 7` points in a direction of its own, and not with unit length."""
    return [3.0 if index == int(text.rsplit(" ", 1)[1]) else 0.0 for index in range(200)]


async def test_batches_are_bounded_and_in_order(provider: FakeProvider, embedder: OpenAIEmbedder) -> None:
    provider.answer = embeddings(by_number, shuffled=True)
    vectors = await embedder.embed_passages([f"text {number}" for number in range(150)])
    assert [len(body["input"]) for _, body in provider.calls] == [64, 64, 22]
    assert [int(vector.argmax()) for vector in vectors if vector is not None] == list(range(150))


async def test_shorter_vectors_are_normalised_and_padded(provider: FakeProvider, embedder: OpenAIEmbedder) -> None:
    provider.answer = embeddings(lambda text: [3.0, 4.0])
    vector = await embedder.embed_query("hello")
    assert vector.shape == (DIMENSIONS,)
    np.testing.assert_allclose(vector[:3], [0.6, 0.8, 0.0])


async def test_the_request_is_one_that_every_server_knows(provider: FakeProvider, embedder: OpenAIEmbedder) -> None:
    provider.answer = embeddings(lambda text: [1.0])
    await embedder.embed_passages(["", "\0", "a\ud800b"])
    headers, body = provider.calls[0]
    assert body == {"input": [".", ".", "a?b"], "model": "tiny", "encoding_format": "float"}
    assert headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("vector", "complaint"), [([1.0] * 1537, "at most 1536"), ([0.0] * 8, "without a direction"), ([], "direction")]
)
async def test_vectors_that_cannot_be_stored_are_refused(
    provider: FakeProvider, embedder: OpenAIEmbedder, vector: list[float], complaint: str
) -> None:
    provider.answer = embeddings(lambda text: vector)
    with pytest.raises(EmbedderMisconfigured, match=complaint):
        await embedder.embed_query("hello")


async def test_a_rate_limit_carries_the_seconds_until_a_retry(provider: FakeProvider, embedder: OpenAIEmbedder) -> None:
    provider.answers = [failure(429, {"retry-after": "7"}), failure(503, {"retry-after": "soon"})]
    with pytest.raises(EmbedderUnavailable) as limited:
        await embedder.embed_query("hello")
    assert limited.value.retry_after == 7
    with pytest.raises(EmbedderUnavailable) as broken:
        await embedder.embed_query("hello")
    assert broken.value.retry_after is None


async def test_a_refusal_is_a_configuration_error_that_quotes_nothing(
    provider: FakeProvider, embedder: OpenAIEmbedder
) -> None:
    provider.answer = failure(401, message=f"Incorrect API key provided: {KEY}", code="invalid_api_key")
    with pytest.raises(EmbedderMisconfigured, match="status 401, invalid_api_key") as refused:
        await embedder.embed_query("hello")
    assert KEY not in str(refused.value)
    assert KEY not in repr(embedder)
    assert refused.value.__suppress_context__


def refusing(*words: str, status: int = 400) -> Answer:
    """Refuses every request with one of these words in it."""
    taken = embeddings(by_number)

    def answer(body: dict[str, Any]) -> Response:
        inputs = [text if " " in text else "text 199" for text in body["input"]]
        if any(word in text.split() for text in body["input"] for word in words):
            return JSONResponse({"error": {"message": "too long: secret", "code": "bad"}}, status)
        return taken({**body, "input": inputs})

    return answer


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_text_affects_only_itself(
    provider: FakeProvider, embedder: OpenAIEmbedder, status: int
) -> None:
    provider.answer = refusing("7", "70", "71", status=status)
    vectors = await embedder.embed_passages([f"text {number}" for number in range(80)])
    assert [number for number, vector in enumerate(vectors) if vector is None] == [7, 70, 71]
    assert all(vector is None or int(vector.argmax()) == number for number, vector in enumerate(vectors))
    # The first batch, the question whether anything is taken, and two halves for each level above the text.
    assert [len(body["input"]) for _, body in provider.calls[:15]] == [
        64,
        1,
        32,
        16,
        8,
        4,
        4,
        2,
        2,
        1,
        1,
        8,
        16,
        32,
        16,
    ]
    assert provider.calls[1][1]["input"] == ["."]
    provider.calls.clear()
    assert await embedder.embed_passages(["text 7"]) == [None]
    assert [body["input"] for _, body in provider.calls] == [["text 7"], ["."]]


async def test_an_endpoint_that_takes_no_text_is_a_configuration_error(
    provider: FakeProvider, embedder: OpenAIEmbedder
) -> None:
    provider.answer = failure(400, message="no such model: secret", code="model_not_found")
    with pytest.raises(EmbedderMisconfigured, match="status 400, model_not_found") as refused:
        await embedder.embed_passages([f"text {number}" for number in range(64)])
    assert (len(provider.calls), "secret" in str(refused.value)) == (2, False)
    with pytest.raises(EmbedderMisconfigured):
        await embedder.embed_query("hello")


async def test_what_ends_while_a_refused_text_is_looked_for(provider: FakeProvider, embedder: OpenAIEmbedder) -> None:
    provider.answers = [failure(400), embeddings(lambda text: [1.0]), failure(429, {"retry-after": "7"})]
    with pytest.raises(EmbedderUnavailable) as limited:
        await embedder.embed_passages(["text 1", "text 2"])
    assert limited.value.retry_after == 7


@pytest.mark.parametrize(
    "answer",
    [
        Response("<html>hello</html>", media_type="text/html"),
        JSONResponse({"data": []}),
        JSONResponse({"data": [{"index": 1, "embedding": [1.0]}]}),
        JSONResponse({"data": [{"index": 0}]}),
        JSONResponse([1]),
    ],
)
async def test_what_is_not_the_format_is_a_configuration_error(
    provider: FakeProvider, embedder: OpenAIEmbedder, answer: Response
) -> None:
    provider.answer = lambda body: answer
    with pytest.raises(EmbedderMisconfigured, match=r"format|direction"):
        await embedder.embed_query("hello")


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    embedder = OpenAIEmbedder(f"http://127.0.0.1:{port}/v1", "tiny", max_retries=0)
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed_query("hello")
    await embedder.aclose()


async def test_which_embedder_the_settings_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-someone-else")
    local = Embedders(EmbeddingOptions()).current
    assert isinstance(local, MiniLM)
    await local.aclose()
    remote = Embedders(EmbeddingOptions("http://gpu.internal:8000/v1", None, "bge")).current
    assert isinstance(remote, OpenAIEmbedder)
    assert remote.identity == "bge@gpu.internal"
    assert (await remote._client.load())[0].api_key == "none"
    await remote.aclose()
    openai = Embedders(EmbeddingOptions(None, SecretStr(KEY), "text-embedding-3-small")).current
    assert openai.identity == "text-embedding-3-small@api.openai.com"
    await openai.aclose()
    with pytest.raises(ValueError, match="CARET_EMBEDDING_MODEL"):
        Embedders(EmbeddingOptions("http://gpu.internal:8000/v1"))
    with pytest.raises(ValueError, match="CARET_EMBEDDING_BASE_URL"):
        Embedders(EmbeddingOptions(model="bge"))


async def test_which_other_embedders_are_available() -> None:
    local = Embedders(EmbeddingOptions())
    assert local.get(MiniLM.identity) is local.current
    assert local.get("bge@gpu.internal") is None
    await local.aclose()
    remote = Embedders(EmbeddingOptions("http://gpu.internal:8000/v1", SecretStr(KEY), "bge"))
    assert remote.get("bge@gpu.internal") is remote.current
    old = remote.get("old@model@gpu.internal")
    assert isinstance(old, OpenAIEmbedder)
    assert (old.identity, old is remote.get("old@model@gpu.internal")) == ("old@model@gpu.internal", True)
    assert isinstance(remote.get(MiniLM.identity), MiniLM)
    # A key is sent to no host but its own.
    for identity in ("bge@elsewhere.internal", "@gpu.internal", "gpu.internal", ""):
        assert remote.get(identity) is None
    await remote.aclose()
    openai = Embedders(EmbeddingOptions(None, SecretStr(KEY), "text-embedding-3-small"))
    assert isinstance(openai.get("text-embedding-3-large@api.openai.com"), OpenAIEmbedder)
    await openai.aclose()
