"""How a setting is declared: its default, bounds, unit and text in one place, and the kinds of values."""

import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo

PLANS = ("free", "pro", "enterprise")
MIN_SECRET_CHARACTERS = 32
MAX_POINTS = 1_000_000
"""The highest rate limit that can be set: it fits the counters many times over."""


@dataclass(frozen=True)
class Documentation:
    """What docs/settings.md and docs/limits.md say about a setting beyond its text and bounds."""

    area: str
    unit: str
    default_text: str | None
    limits: str
    beyond: str


def setting(
    default: Any,
    text: str,
    *,
    area: str,
    unit: str = "",
    default_text: str | None = None,
    limits: str = "",
    beyond: str = "",
    aliases: tuple[str, ...] = (),
    **bounds: Any,
) -> Any:
    """Declares a setting.

    `default_text` stands in docs/settings.md for a default that is no value to set. `aliases` are variables that other
    programs use for the same thing, and that are read as well. A setting that limits callers appears in docs/limits.md:
    `limits` names what it limits, `beyond` what happens beyond it.
    """
    documentation = Documentation(area, unit, default_text, limits, beyond)
    extra = {"documentation": documentation, "aliases": aliases}
    return Field(default, description=text, json_schema_extra=extra, **bounds)  # type: ignore[arg-type]  # not part of a JSON schema


def documentation_of(field: FieldInfo) -> Documentation:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and isinstance(declared := extra["documentation"], Documentation):
        return declared
    raise TypeError("declare every setting with `setting`")


def bounds_of(field: FieldInfo) -> tuple[float | None, float | None]:
    """The least and the greatest number that can be set."""
    least = next((bound.ge for bound in field.metadata if hasattr(bound, "ge")), None)
    most = next((bound.le for bound in field.metadata if hasattr(bound, "le")), None)
    return least, most


def range_of(field: FieldInfo) -> str:
    """Like "from 1 to 600 seconds"; empty for a setting without bounds."""
    least, most = bounds_of(field)
    unit = f" {documentation_of(field).unit}".rstrip()
    if least is None:
        return ""
    return f"from {least:,} to {most:,}{unit}" if most is not None else f"{least:,}{unit} or more"


def _url(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if url.partition("://")[0] not in schemes:
            raise ValueError(f"must be an address that starts with {schemes[0]}://")
        return url

    return AfterValidator(check)


def _names_a_host(url: str) -> str:
    try:
        address = urlsplit(url)
        has_host = address.hostname is not None and address.port != 0
    except ValueError:
        has_host = False
    if not has_host:
        raise ValueError("must be an address that names a host, and a port where it is not the usual one")
    return url


def _points(value: object) -> object:
    if isinstance(value, dict):
        return value
    pairs = re.findall(r"([a-z]+)=([1-9][0-9]{0,6})", str(value))
    points = {name: int(number) for name, number in pairs if name in PLANS and int(number) <= MAX_POINTS}
    # Written again it is the same text: nothing was skipped between the pairs.
    if ",".join(f"{plan}={number}" for plan, number in points.items()) != value or len(points) != len(PLANS):
        raise ValueError(f"must give each plan a number from 1 to {MAX_POINTS}, like free=60,pro=120,enterprise=300")
    return points


def _model_ids(value: object) -> object:
    if isinstance(value, tuple):
        return value
    ids = tuple(model_id.strip() for model_id in value.split(",")) if isinstance(value, str) else ()
    if not all(ids) or len(set(ids)) != len(ids):
        raise ValueError("must be ids of models with commas between them, each once")
    return ids


def _keys(value: object) -> object:
    if isinstance(value, tuple):
        return value
    keys = tuple(key.strip() for key in value.split(",")) if isinstance(value, str) else ()
    if not all(is_encryption_key(key) for key in keys):
        raise ValueError("must be keys of 32 bytes in URL-safe base64 with commas between them; the first encrypts")
    return keys


def is_encryption_key(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]{43}=", text) is not None


def _is_long(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET_CHARACTERS:
        raise ValueError(f"must have at least {MIN_SECRET_CHARACTERS} characters")
    return secret


DatabaseUrl = Annotated[str, _url("postgresql", "postgres")]
NatsUrl = Annotated[str, _url("nats", "tls")]
WebUrl = Annotated[str, _url("https", "http"), AfterValidator(_names_a_host)]
BucketUrl = Annotated[str, _url("s3"), AfterValidator(_names_a_host)]
PointsByPlan = Annotated[dict[str, int], BeforeValidator(_points)]
ModelIds = Annotated[tuple[str, ...], BeforeValidator(_model_ids)]
SigningSecret = Annotated[SecretStr, AfterValidator(_is_long)]
EncryptionKeys = Annotated[tuple[SecretStr, ...], BeforeValidator(_keys)]
