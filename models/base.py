"""What the tables share: ids, kinds of columns, and the types of texts and ids in inputs."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from sqlalchemy import Column, DateTime, Enum, ForeignKey, Row, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB
from uuid_utils.compat import uuid7

from models.limits import limit

Record = Row[*tuple[Any, ...]]
"""A row of a query's result, with an attribute for each column. It is not bound to a session."""

MAX_TEXT = limit(
    500_000,
    "A long text of a note, such as its summary or its document",
    area="Notes",
    unit="characters",
    beyond="`BAD_USER_INPUT`, 400",
)


def new_id() -> UUID:
    """A new UUIDv7 (RFC 9562), which sorts by creation time. Postgres before 18 has no uuidv7()."""
    return uuid7()


def as_id(text: object) -> UUID | None:
    """The id in a caller's text, or None if it is not a UUID, so that no row can have it."""
    try:
        return text if isinstance(text, UUID) else UUID(str(text))
    except ValueError:
        return None


def key() -> Column[UUID]:
    return Column(Uuid(), primary_key=True, default=new_id)


def reference(target: str, *, ondelete: str = "CASCADE", nullable: bool = False, **kw: Any) -> Column[UUID]:
    return Column(Uuid(), ForeignKey(target, ondelete=ondelete), nullable=nullable, **kw)


def timestamp(*, nullable: bool = False) -> Column[datetime]:
    default = None if nullable else func.now()
    return Column(DateTime(timezone=True), nullable=nullable, server_default=default)


def string(*, nullable: bool = False, default: str | None = None, **kw: Any) -> Column[str]:
    return Column(Text, nullable=nullable, server_default=default, **kw)


def json(*, nullable: bool = True, default: str | None = None) -> Column[Any]:
    # none_as_null: a Python None is SQL NULL; JSON's own null is never stored.
    return Column(JSONB(none_as_null=True), nullable=nullable, server_default=default)


def choice(kind: type[StrEnum], *, constraint: str | None = None, **kw: Any) -> Column[Any]:
    """A text column with a CHECK constraint, which unlike a Postgres enum can be changed inside a transaction.

    `constraint` is the name of the constraint, if it is not that of the enum followed by `_known`.
    """
    values = [member.value for member in kind]
    column_type = Enum(
        kind,
        native_enum=False,
        values_callable=lambda _: values,
        length=40,
        create_constraint=True,
        name=constraint or f"{kind.__name__.lower()}_known",
    )
    return Column(column_type, nullable=False, **kw)


def storable(value: str) -> str:
    """Raises ValueError for what Postgres can't store as text: NUL characters and lone surrogates."""
    if "\x00" in value:
        raise ValueError("must not contain NUL characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must not contain lone surrogates") from None
    return value


def strip_unstorable(value: str) -> str:
    """The text without what `storable` refuses, for texts whose sender can't correct them."""
    if value.isascii():
        return value.replace("\x00", "")
    return value.encode("utf-8", "replace").decode().replace("\x00", "")


def fits_64_bits(number: int | float) -> bool:
    """Whether the number fits 64 bits. JSONB returns a large float as an integer, and has no infinities and no NaN."""
    return abs(number) < 2**63 if isinstance(number, float) else -(2**63) <= number < 2**64


def storable_json(value: Any, depth: int = 0) -> Any:
    """Raises ValueError for JSON that nests deeper than 64 levels, or has a string or number that can't be stored."""
    if depth > 64:
        raise ValueError("must not nest deeper than 64 levels")
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(name)): storable_json(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [storable_json(item, depth + 1) for item in value]
    if isinstance(value, int | float) and not fits_64_bits(value):
        raise ValueError("must not contain numbers beyond 64 bits")
    return value


def in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999 in UTC") from None


# The order of the annotations matters: lengths are checked after white space is removed.
Line = Annotated[str, StringConstraints(max_length=500), AfterValidator(storable)]
Prose = Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(storable)]
Id = Annotated[UUID, Field(strict=False)]
Json = Annotated[Any, AfterValidator(storable_json)]
When = Annotated[AwareDatetime, Field(strict=False), AfterValidator(in_utc)]
Email = Annotated[
    str,
    StringConstraints(max_length=320, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$"),
    AfterValidator(storable),
]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9A-Fa-f]{6}$")]


class Draft(BaseModel):
    """The input of a create or a change: camelCase for callers, no unknown fields, no conversion of values."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)
