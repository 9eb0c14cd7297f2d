"""The GraphQL documents that the operator trusts, and the other options of the endpoint, from the settings."""

import hashlib
from pathlib import Path

import orjson
from graphql import GraphQLError, NoSchemaIntrospectionCustomRule, parse, specified_rules, validate

from caret.settings import Settings, SettingsError
from models.limits import limit
from schema import schema
from schema.execution.limits import check_document, check_source
from schema.execution.persisted_documents import PersistedDocuments
from schema.execution.request import Options

MAX_FILE_BYTES = limit(
    16 * 1024 * 1024,
    "The file of trusted documents",
    area="Files of the operator",
    beyond="stops the start",
    unit="bytes",
)
HASH_PREFIX = "sha256:"


def options(settings: Settings) -> Options:
    """Raises SettingsError when the trusted documents can't be used."""
    path = settings.trusted_documents
    documents_by_id = None if path is None else trusted(path, introspection=settings.introspection)
    return Options(settings.introspection, PersistedDocuments(documents_by_id))


def trusted(path: Path, *, introspection: bool = True) -> dict[str, str]:
    """The documents by their ids, and each by its hash as well, as `sha256:…`. All of them are valid."""
    documents = _read(path)
    for document_id, text in documents.items():
        _check(path, document_id, text, introspection=introspection)
    return {**{hash_of(text): text for text in documents.values()}, **documents}


def hash_of(text: str) -> str:
    return HASH_PREFIX + hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _error(f"{path} can't be read: {error.strerror or error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise _error(f"{path} is larger than {MAX_FILE_BYTES // 1024**2} MiB")
    try:
        documents = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _error(f"{path} is not JSON: {error}") from None
    if not isinstance(documents, dict) or not all(isinstance(text, str) for text in documents.values()):
        raise _error(f'{path} must be a JSON object of documents by their ids, like {{"notes": "query {{ … }}"}}')
    return documents


def _check(path: Path, document_id: str, text: str, *, introspection: bool) -> None:
    where = f"document {document_id[:100]!r} in {path}"
    if document_id.startswith(HASH_PREFIX) and document_id != hash_of(text):
        raise _error(f"{where} has another hash: {hash_of(text)}")
    rules = specified_rules if introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
    try:
        check_source(text)
        document = parse(text)
        check_document(document)
        errors = validate(schema._schema, document, rules)
    except GraphQLError as error:
        errors = [error]
    if errors:
        raise _error(f"{where}: {errors[0].message.rstrip('.')}")


def _error(what: str) -> SettingsError:
    return SettingsError(f"CARET_TRUSTED_DOCUMENTS: {what}{'' if what.endswith('?') else '.'}")
