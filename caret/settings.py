"""Every setting of a process: its default, bounds, unit and text. docs/settings.md is generated from this file."""

import os
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr, model_validator

from caret import stored_secrets
from caret.environment import EnvironmentSettings, SettingsError
from caret.setting_types import (
    BucketUrl,
    DatabaseUrl,
    EncryptionKeys,
    ModelIds,
    NatsUrl,
    PointsByPlan,
    SigningSecret,
    WebUrl,
    setting,
)

__all__ = ["DEMO_EMAIL", "Settings", "SettingsError"]

SERVER = "Server"
SERVICES = "Services"
ACCESS = "Access tokens and secrets"
MODELS = "Language models"
SEARCH = "Search"
AUDIO = "Audio"
LIMITS = "Limits and timeouts"
GRAPHQL = "GraphQL"
WEBHOOKS = "Webhooks"
"""The areas of docs/settings.md."""

DEMO_EMAIL = "demo@caret.example"
"""The address of the demo workspace's user."""


class Settings(EnvironmentSettings):
    """The variables of the environment that start with `CARET_`; an unknown one stops the start."""

    host: str = setting("127.0.0.1", "The address to listen on.", area=SERVER)
    port: int = setting(8080, "The port to listen on. `0` picks a free one.", area=SERVER, ge=0, le=65535)
    data_dir: Path = setting(
        Path(".caret"),
        "The folder of the embedded servers' data, of audio and of generated secrets.",
        area=SERVER,
    )
    public_url: WebUrl | None = setting(
        None,
        "The address at which callers reach this server. `presignedUrl` and `audioUrl` begin with it.",
        area=SERVER,
        default_text="the address of the request",
    )
    demo: bool = setting(True, "`0`: an empty database gets no demo workspace.", area=SERVER)
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "The least important messages that are logged.", area=SERVER
    )
    database_url: DatabaseUrl | None = setting(
        None,
        "`postgresql://…`: a Postgres 16 or newer with pgvector 0.8 or newer.",
        area=SERVICES,
        default_text="an embedded Postgres",
    )
    nats_url: NatsUrl | None = setting(
        None,
        "`nats://…`: a NATS server or cluster with JetStream, whose `max_payload` is 4 MB or more.",
        area=SERVICES,
        default_text="an embedded NATS",
    )
    jwt_secret: SigningSecret | None = setting(
        None,
        "The HS256 secret of users' access tokens, 32 characters or more.",
        area=ACCESS,
        default_text="generated, and stored in the data folder",
    )
    jwks_url: WebUrl | None = setting(None, "The address of the token issuer's keys (ES256, RS256).", area=ACCESS)
    jwt_audience: str = setting("authenticated", "The `aud` that a token must have.", area=ACCESS)
    jwt_issuer: str | None = setting(None, "The `iss` that a token must have.", area=ACCESS, default_text="any")
    encryption_keys: EncryptionKeys = setting(
        (),
        "Keys for secrets at rest (those of webhooks), with commas between them: 32 bytes each, in URL-safe base64. "
        "The first encrypts, and each decrypts what it has encrypted. Without its key a secret is lost.",
        area=ACCESS,
        default_text="generated, and stored in the data folder",
    )
    llm_base_url: WebUrl | None = setting(
        None,
        "The address of an OpenAI-compatible chat server (vLLM, Ollama, llama.cpp, …). Needs `CARET_LLM_MODEL`.",
        area=MODELS,
        default_text="the built-in extractive model",
    )
    llm_api_key: SecretStr | None = setting(None, "The key for that server.", area=MODELS)
    llm_model: str | None = setting(
        None,
        "The default model: one on that server, or the id of any model that is offered.",
        area=MODELS,
        default_text="the first model that is offered",
    )
    llm_fallbacks: ModelIds = setting(
        (),
        "Ids of models, with commas between them, that are tried in this order when a model fails (see "
        "[Agents](agents.md#when-a-model-fails)).",
        area=MODELS,
    )
    llm_silence: float = setting(
        60.0,
        "A model provider that sends nothing for so long has failed.",
        area=MODELS,
        unit="seconds",
        limits="Silence of a model provider",
        beyond="the next model is tried",
        ge=1,
        le=600,
    )
    models_file: Path | None = setting(
        None, "A JSON file with more models (see [Agents](agents.md#models)).", area=MODELS
    )
    openai_api_key: SecretStr | None = setting(
        None,
        "The key for OpenAI, whose models are then offered.",
        area=MODELS,
        aliases=("OPENAI_API_KEY",),
    )
    openai_base_url: WebUrl | None = setting(
        None,
        "Another address for OpenAI, for a proxy.",
        area=MODELS,
        default_text="OpenAI's own",
        aliases=("OPENAI_BASE_URL",),
    )
    openrouter_api_key: SecretStr | None = setting(
        None,
        "The key for OpenRouter, whose models are then offered.",
        area=MODELS,
        aliases=("OPENROUTER_API_KEY",),
    )
    embedding_base_url: WebUrl | None = setting(
        None,
        "The address of an OpenAI-compatible embeddings server. Needs `CARET_EMBEDDING_MODEL`.",
        area=SEARCH,
        default_text="the local MiniLM; with a key, OpenAI",
    )
    embedding_api_key: SecretStr | None = setting(None, "The key for that server.", area=SEARCH)
    embedding_model: str | None = setting(
        None, "The embedding model, whose vectors may have up to 1,536 dimensions.", area=SEARCH
    )
    chunk_size: int = setting(
        512,
        "The length of a chunk. A note is divided again when it is next indexed; `caret reindex` does it for all.",
        area=SEARCH,
        unit="characters",
        ge=128,
        le=8_192,
    )
    chunk_overlap: int = setting(
        64,
        "How much of the chunk before it a chunk repeats, at most half of `CARET_CHUNK_SIZE`.",
        area=SEARCH,
        unit="characters",
        ge=0,
    )
    hnsw_ef_search: int = setting(
        400,
        "How many chunks a semantic search considers at a time in a large workspace. More miss less, and take longer.",
        area=SEARCH,
        unit="chunks",
        ge=10,
        le=1_000,
    )
    transcriber_base_url: WebUrl | None = setting(
        None,
        "The address of an OpenAI-compatible transcription server. Needs `CARET_TRANSCRIBER_MODEL`.",
        area=AUDIO,
        default_text="none; with a key, OpenAI",
    )
    transcriber_api_key: SecretStr | None = setting(None, "The key for that server.", area=AUDIO)
    transcriber_model: str | None = setting(None, "The transcription model.", area=AUDIO)
    storage_url: BucketUrl | None = setting(
        None,
        "`s3://bucket/prefix`: the bucket in which audio is stored.",
        area=AUDIO,
        default_text="`audio` in the data folder",
    )
    storage_endpoint: WebUrl | None = setting(
        None, "The address of an S3-compatible service.", area=AUDIO, default_text="AWS"
    )
    storage_region: str = setting("us-east-1", "The region of the bucket.", area=AUDIO)
    storage_access_key_id: str | None = setting(None, "The bucket's credentials, with the next one.", area=AUDIO)
    storage_secret_access_key: SecretStr | None = setting(None, "See `CARET_STORAGE_ACCESS_KEY_ID`.", area=AUDIO)
    webhooks_allow_local: bool = setting(
        False,
        "`1`: webhooks may be sent with http, and to this machine. For development and tests.",
        area=WEBHOOKS,
    )
    graphiql: bool = setting(True, "`0`: browsers find no GraphiQL at `/graphql`.", area=GRAPHQL)
    introspection: bool = setting(
        True,
        "`0`: `__schema` and `__type` are refused (`BAD_USER_INPUT`), and errors suggest no names. GraphiQL then "
        "knows no schema.",
        area=GRAPHQL,
    )
    trusted_documents: Path | None = setting(
        None,
        "A JSON file of GraphQL documents by id: no other document is executed (see "
        "[GraphQL](graphql.md#persisted-queries)).",
        area=GRAPHQL,
    )
    rate_limits: PointsByPlan = setting(
        {"free": 60, "pro": 120, "enterprise": 300},
        "Points that one caller may spend in 60 seconds, by plan, each from 1 to 1,000,000 (see [Rate "
        "limits](rate-limits.md)).",
        area=LIMITS,
        default_text="`free=60,pro=120,enterprise=300`",
        limits="Points of one caller in 60 seconds: free, pro, enterprise plan",
        beyond="`RATE_LIMITED`, 429",
    )
    connections_per_caller: int = setting(
        100,
        "WebSockets and streams that one key or user may have open with one process.",
        area=LIMITS,
        unit="connections",
        limits="Connections of one caller (WebSockets and streams) with one process",
        beyond="close 4429; `RATE_LIMITED`, 429",
        ge=1,
        le=100_000,
    )
    replies_per_user: int = setting(
        20,
        "Replies of one user that may run at once in a workspace. A workspace's keys count as one user.",
        area=LIMITS,
        unit="replies",
        limits="Replies of one user that run at once",
        beyond="`RATE_LIMITED`, 429",
        ge=1,
        le=100_000,
    )
    replies_per_workspace: int = setting(
        200,
        "Replies that may run at once in a workspace.",
        area=LIMITS,
        unit="replies",
        limits="Replies of a workspace that run at once",
        beyond="`RATE_LIMITED`, 429",
        ge=1,
        le=100_000,
    )
    tokens_per_minute: int = setting(
        1_000_000,
        "Tokens that the replies of a workspace may use in 60 seconds, counted when a reply ends; beyond it no "
        "reply begins. `0`: no limit.",
        area=LIMITS,
        unit="tokens",
        limits="Tokens of a workspace's replies in 60 seconds",
        beyond="`RATE_LIMITED`, 429",
        ge=0,
        le=1_000_000_000_000,
    )
    event_retention_days: int = setting(
        30,
        "How long the event log keeps an event (see [Live](live.md#cursors-never-a-gap)).",
        area=LIMITS,
        unit="days",
        limits="How long events are kept",
        beyond="`CURSOR_EXPIRED`, 410",
        ge=1,
        le=36_500,
    )
    follower_patience: float = setting(
        30.0,
        "A connection whose client reads nothing for so long, while there is something to send, is closed.",
        area=LIMITS,
        unit="seconds",
        limits="How long a client may read nothing",
        beyond="close 1013; an SSE response is cut off",
        ge=1,
        le=600,
    )
    shutdown_grace: float = setting(
        3.0,
        "How long running replies may finish when the server stops; then each ends with its terminal event.",
        area=LIMITS,
        unit="seconds",
        ge=0,
        le=300,
    )

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        """The providers would refuse the same, but only when a process builds them."""
        if self.llm_base_url and not self.llm_model:
            raise ValueError("CARET_LLM_BASE_URL is set but CARET_LLM_MODEL is not: name the model to use there.")
        has_embedding_server = self.embedding_base_url or self.embedding_api_key
        if has_embedding_server and not self.embedding_model:
            raise ValueError("CARET_EMBEDDING_MODEL is not set: name the embedding model to use there.")
        if self.embedding_model and not has_embedding_server:
            raise ValueError(
                "CARET_EMBEDDING_MODEL is set: set CARET_EMBEDDING_BASE_URL or CARET_EMBEDDING_API_KEY as well."
            )
        return self

    @model_validator(mode="after")
    def _check_chunk_overlap(self) -> Self:
        if self.chunk_overlap > self.chunk_size // 2:
            raise ValueError(f"CARET_CHUNK_OVERLAP: at most half of CARET_CHUNK_SIZE, here {self.chunk_size // 2}.")
        return self

    @model_validator(mode="after")
    def _check_audio(self) -> Self:
        has_transcription_server = self.transcriber_base_url or self.transcriber_api_key
        if has_transcription_server and not self.transcriber_model:
            raise ValueError("CARET_TRANSCRIBER_MODEL is not set: name the transcription model to use there.")
        if self.transcriber_model and not has_transcription_server:
            raise ValueError(
                "CARET_TRANSCRIBER_MODEL is set: set CARET_TRANSCRIBER_BASE_URL or CARET_TRANSCRIBER_API_KEY as well."
            )
        keys = (self.storage_access_key_id, self.storage_secret_access_key)
        if self.storage_url and None in keys:
            raise ValueError(
                "CARET_STORAGE_URL is set: set CARET_STORAGE_ACCESS_KEY_ID and CARET_STORAGE_SECRET_ACCESS_KEY as well."
            )
        if not self.storage_url and (any(keys) or "storage_region" in self.model_fields_set or self.storage_endpoint):
            raise ValueError("CARET_STORAGE_URL is not set: name the bucket, as s3://bucket/prefix.")
        return self

    @cached_property
    def signing_secret(self) -> SecretStr | None:
        """The HS256 secret, a generated one where neither it nor a JWKS address is set."""
        if self.jwt_secret is not None or self.jwks_url is not None:
            return self.jwt_secret
        return stored_secrets.signing_secret(self.data_dir)

    @cached_property
    def vault_keys(self) -> tuple[SecretStr, ...]:
        """The keys that secrets at rest are encrypted with, a generated one where none is set."""
        return self.encryption_keys or (stored_secrets.encryption_key(self.data_dir),)

    @property
    def demo_file(self) -> Path:
        """The file (0600) with the demo workspace's key, beside the generated secrets."""
        return self.data_dir / "demo.json"

    def environment(self, **addresses: str) -> dict[str, str]:
        """The environment of a child process with the same settings, and the addresses of the embedded servers."""
        secret = self.signing_secret
        generated = {} if secret is None else {"CARET_JWT_SECRET": secret.get_secret_value()}
        generated["CARET_ENCRYPTION_KEYS"] = ",".join(key.get_secret_value() for key in self.vault_keys)
        return {**os.environ, **generated, **addresses}
