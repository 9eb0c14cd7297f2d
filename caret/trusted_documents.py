"""What may run at this deployment's GraphQL endpoint, from its settings."""

import hashlib
from pathlib import Path

import orjson
from graphql import GraphQLError, NoSchemaIntrospectionCustomRule, parse, specified_rules, validate

from caret.settings import Settings, SettingsError
from schema import schema
from schema.execution.limits import check_document, check_source
from schema.execution.persisted_documents import PersistedDocuments
from schema.execution.request import Options

MAX_FILE = 16 * 1024 * 1024
"""Bytes of the file of trusted documents."""
HASHED = "sha256:"


def options(settings: Settings) -> Options:
    """Raises SettingsError where the trusted documents can't be used."""
    path = settings.trusted_documents
    listed = None if path is None else trusted(path, introspection=settings.introspection)
    return Options(settings.introspection, PersistedDocuments(listed))


def trusted(path: Path, *, introspection: bool = True) -> dict[str, str]:
    """The documents by their ids, and each by its hash as well, as `sha256:…`. All of them can run."""
    found = _read(path)
    for ident, text in found.items():
        _check(path, ident, text, introspection=introspection)
    return {**{hashed(text): text for text in found.values()}, **found}


def hashed(text: str) -> str:
    return HASHED + hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _wrong(f"{path} can't be read: {error.strerror or error}") from None
    if len(content) > MAX_FILE:
        raise _wrong(f"{path} is larger than {MAX_FILE // 1024**2} MiB")
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _wrong(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise _wrong(f'{path} must be a JSON object of documents by their ids, like {{"notes": "query {{ … }}"}}')
    return found


def _check(path: Path, ident: str, text: str, *, introspection: bool) -> None:
    where = f"document {ident[:100]!r} in {path}"
    if ident.startswith(HASHED) and ident != hashed(text):
        raise _wrong(f"{where} has another hash: {hashed(text)}")
    rules = specified_rules if introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
    try:
        check_source(text)
        document = parse(text)
        check_document(document)
        errors = validate(schema._schema, document, rules)
    except GraphQLError as error:
        errors = [error]
    if errors:
        raise _wrong(f"{where}: {errors[0].message.rstrip('.')}")


def _wrong(what: str) -> SettingsError:
    return SettingsError(f"CARET_TRUSTED_DOCUMENTS: {what}{'' if what.endswith('?') else '.'}")
