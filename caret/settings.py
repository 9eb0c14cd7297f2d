"""The only reader of the environment."""

import os
import re
import secrets
from base64 import urlsafe_b64encode
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from caret.embedded.folder import create_private

DEMO_EMAIL = "demo@caret.example"
"""The address of the demo workspace's person."""


class SettingsError(Exception):
    """One clear line about a wrong setting."""


def _address(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if url.partition("://")[0] not in schemes:
            raise ValueError(f"must be an address that starts with {schemes[0]}://")
        return url

    return AfterValidator(check)


def _host(url: str) -> str:
    try:
        found = urlsplit(url)
        named = found.hostname is not None and found.port != 0
    except ValueError:
        named = False
    if not named:
        raise ValueError("must be an address that names a host, and a port where it is not the usual one")
    return url


MOST_POINTS = 1_000_000
"""The highest rate limit that can be set: it fits the counters many times over."""
MOST_REPLIES = 100_000
MOST_TOKENS = 1_000_000_000_000
MOST_CONNECTIONS = 100_000
MOST_DAYS = 36_500
MOST_GRACE = 300
"""The highest of the other limits that can be set; the grace in seconds."""
LEAST_CHUNK, MOST_CHUNK = 128, 8_192
"""Between which the characters of a chunk can be set; it may repeat at most half of them."""
EF_SEARCH = 400
"""Chunks that a search keeps in view while it follows the index of meanings: more find more, and take longer."""
RATE_LIMITS = "free=60,pro=120,enterprise=300"
"""The same defaults as `resolvers.core.rate_limit`; importing it here would cost each command half a second."""
PLANS = ("free", "pro", "enterprise")


def _points(text: object) -> dict[str, int]:
    given = re.findall(r"([a-z]+)=([1-9][0-9]{0,6})", str(text))
    points = {name: int(number) for name, number in given if name in PLANS and int(number) <= MOST_POINTS}
    # Written again it is the same text: nothing was passed over between what was found.
    if ",".join(f"{plan}={number}" for plan, number in points.items()) != text or len(points) != len(PLANS):
        raise ValueError(f"must give each plan a number from 1 to {MOST_POINTS}, like {RATE_LIMITS}")
    return points


def _names(text: object) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if isinstance(text, str) else ()
    if not all(names) or len(set(names)) != len(names):
        raise ValueError("must be ids of models with commas between them, each once")
    return names


def _keys(text: object) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in text.split(",")) if isinstance(text, str) else ()
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{43}=", key) for key in keys):
        raise ValueError("must be keys of 32 bytes in URL-safe base64 with commas between them; the first encrypts")
    return keys


Database = Annotated[str, _address("postgresql", "postgres")]
Nats = Annotated[str, _address("nats", "tls")]
Web = Annotated[str, _address("https", "http"), AfterValidator(_host)]
Bucket = Annotated[str, _address("s3"), AfterValidator(_host)]


def also(*names: str) -> AliasChoices:
    """The setting's own name, or one that other programs use for the same thing."""
    return AliasChoices(*names)


class Settings(BaseSettings):
    """Every setting; the README has them as a table. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="CARET_", env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    data_dir: Path = Path(".caret")
    database_url: Database | None = None
    nats_url: Nats | None = None
    jwt_secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    jwks_url: Web | None = None
    jwt_audience: str = "authenticated"
    jwt_issuer: str | None = None
    llm_base_url: Web | None = None
    llm_api_key: SecretStr | None = None
    llm_model: str | None = None
    llm_fallbacks: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    llm_silence: Annotated[float, Field(ge=1, le=600)] = 60.0
    models_file: Path | None = None
    embedding_base_url: Web | None = None
    embedding_api_key: SecretStr | None = None
    embedding_model: str | None = None
    openai_api_key: SecretStr | None = Field(None, validation_alias=also("CARET_OPENAI_API_KEY", "OPENAI_API_KEY"))
    openai_base_url: Web | None = Field(None, validation_alias=also("CARET_OPENAI_BASE_URL", "OPENAI_BASE_URL"))
    openrouter_api_key: SecretStr | None = Field(
        None, validation_alias=also("CARET_OPENROUTER_API_KEY", "OPENROUTER_API_KEY")
    )
    transcriber_base_url: Web | None = None
    transcriber_api_key: SecretStr | None = None
    transcriber_model: str | None = None
    storage_url: Bucket | None = None
    storage_endpoint: Web | None = None
    storage_region: str = "us-east-1"
    storage_access_key_id: str | None = None
    storage_secret_access_key: SecretStr | None = None
    public_url: Web | None = None
    webhooks_allow_local: bool = False
    encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_keys)] = ()
    introspection: bool = True
    trusted_documents: Path | None = None
    rate_limits: Annotated[dict[str, int], NoDecode, BeforeValidator(_points)] = Field(
        RATE_LIMITS  # type: ignore[arg-type]  # read like what is set
    )
    replies_per_user: Annotated[int, Field(ge=1, le=MOST_REPLIES)] = 20
    replies_per_workspace: Annotated[int, Field(ge=1, le=MOST_REPLIES)] = 200
    tokens_per_minute: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 1_000_000
    follower_patience: Annotated[float, Field(ge=1, le=600)] = 30.0
    connections_per_caller: Annotated[int, Field(ge=1, le=MOST_CONNECTIONS)] = 100
    event_retention_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = 30
    shutdown_grace: Annotated[float, Field(ge=0, le=MOST_GRACE)] = 3.0
    chunk_size: Annotated[int, Field(ge=LEAST_CHUNK, le=MOST_CHUNK)] = 512
    chunk_overlap: Annotated[int, Field(ge=0)] = 64
    hnsw_ef_search: Annotated[int, Field(ge=10, le=1000)] = EF_SEARCH
    graphiql: bool = True
    demo: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def load(cls) -> "Settings":
        """The settings of this process. Raises SettingsError with one line for the first that is wrong."""
        _refuse_unknown(cls)
        try:
            return cls()
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[0]
            message = wrong["msg"].removeprefix("Value error, ")
            # What is wrong with several settings together names them itself.
            name = str(wrong["loc"][0]) if wrong["loc"] else ""
            shown = name if name.isupper() else f"CARET_{name.upper()}"
            raise SettingsError(f"{shown}: {message}." if name else message) from None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Says at once what the providers would say as well, but only when a process builds them."""
        if self.llm_base_url and not self.llm_model:
            raise ValueError("CARET_LLM_BASE_URL is set but CARET_LLM_MODEL is not: name the model to use there.")
        somewhere = self.embedding_base_url or self.embedding_api_key
        if somewhere and not self.embedding_model:
            raise ValueError("CARET_EMBEDDING_MODEL is not set: name the embedding model to use there.")
        if self.embedding_model and not somewhere:
            raise ValueError(
                "CARET_EMBEDDING_MODEL is set: set CARET_EMBEDDING_BASE_URL or CARET_EMBEDDING_API_KEY as well."
            )
        return self

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.chunk_overlap > self.chunk_size // 2:
            raise ValueError(f"CARET_CHUNK_OVERLAP: at most half of CARET_CHUNK_SIZE, here {self.chunk_size // 2}.")
        return self

    @model_validator(mode="after")
    def _complete_audio(self) -> Self:
        somewhere = self.transcriber_base_url or self.transcriber_api_key
        if somewhere and not self.transcriber_model:
            raise ValueError("CARET_TRANSCRIBER_MODEL is not set: name the transcription model to use there.")
        if self.transcriber_model and not somewhere:
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
        """The HS256 secret. Where neither it nor a JWKS address is set, one is made and kept in the data folder."""
        if self.jwt_secret is not None or self.jwks_url is not None:
            return self.jwt_secret
        return self._kept("jwt_secret", secrets.token_urlsafe(48))

    @cached_property
    def vault_keys(self) -> tuple[SecretStr, ...]:
        """The keys that secrets are encrypted with. Where none is set, one is made and kept in the data folder."""
        if self.encryption_keys:
            return self.encryption_keys
        kept = self._kept("encryption_key", urlsafe_b64encode(secrets.token_bytes(32)).decode())
        try:
            _keys(kept.get_secret_value())
        except ValueError:
            raise SettingsError(f"CARET_DATA_DIR: {self.data_dir / 'encryption_key'} holds no key.") from None
        return (kept,)

    def _kept(self, name: str, fresh: str) -> SecretStr:
        """The secret in that file of the data folder, which is made of a fresh one on the first start."""
        path = self.data_dir / name
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                os.close(create_private(path, fresh))
            return SecretStr(path.read_text().strip())
        except OSError as error:
            raise SettingsError(f"CARET_DATA_DIR: {path} can't be kept there: {error.strerror}.") from None

    @property
    def demo_file(self) -> Path:
        """Where the demo workspace's key is kept (0600), beside the other secrets of a machine that tries Caret out."""
        return self.data_dir / "demo.json"

    def environment(self, **addresses: str) -> dict[str, str]:
        """The environment for a child process with the same settings and the addresses of what was started for it."""
        secret = self.signing_secret
        made = {} if secret is None else {"CARET_JWT_SECRET": secret.get_secret_value()}
        made["CARET_ENCRYPTION_KEYS"] = ",".join(key.get_secret_value() for key in self.vault_keys)
        return {**os.environ, **made, **addresses}


def _refuse_unknown(kind: type[Settings]) -> None:
    known = {f"CARET_{name.upper()}" for name in kind.model_fields}
    for name in sorted(os.environ):
        if name.startswith("CARET_") and name not in known and not name.startswith("CARET_TEST_"):
            raise SettingsError(f"{name}: there is no such setting.")
