"""Documents that a client names instead of sending them.

By default these are Apollo's automatic persisted queries: a client that has sent a text together with its hash may
later send the hash alone. The texts are kept in this process; another process answers PERSISTED_QUERY_NOT_FOUND, and
the client sends the text again. With a list of trusted documents, only the documents on it are executed.
"""

import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from cachetools import LRUCache

from models.limits import limit
from resolvers.core.errors import Problem, bad_input
from schema.execution.error_codes import ProtocolErrorCode
from schema.execution.limits import LIMITS
from schema.execution.operation import OperationRequest

MAX_PERSISTED = limit(
    1_000,
    "Automatic persisted queries that a process keeps",
    area="GraphQL",
    beyond="the least recently used ones must be sent again",
)
MAX_PERSISTED_MIB = limit(
    4,
    "Text of all automatic persisted queries that a process keeps",
    area="GraphQL",
    beyond="the least recently used ones must be sent again",
    unit="MiB",
)
HASH: Final = "extensions.persistedQuery.sha256Hash"


class PersistedDocuments:
    def __init__(self, trusted: Mapping[str, str] | None = None) -> None:
        """`trusted` maps ids to documents. If an id is `sha256:` and a hash, clients may send the hash alone."""
        self.trusted = trusted
        self._texts: LRUCache[str, str] = LRUCache(MAX_PERSISTED_MIB * 1024**2, getsizeof=_size)

    def text_of(self, operation: OperationRequest) -> str:
        """The text of the operation's document. Raises a Problem if it is unknown, or must not be sent."""
        digest = _digest(operation.extensions)
        if self.trusted is not None:
            return _trusted_text(self.trusted, operation, digest)
        if operation.query is None:
            return self._stored_text(operation.document_id or f"sha256:{digest}")
        if digest is not None and len(operation.query) <= LIMITS.max_length and not _matches(operation.query, digest):
            raise bad_input(HASH, "The hash is not the SHA-256 of the query.")
        return operation.query

    def store(self, operation: OperationRequest) -> None:
        """Stores a text that came with its hash. Call it only once the document has been found valid."""
        digest = _digest(operation.extensions)
        if self.trusted is not None or digest is None or operation.query is None:
            return
        # ValueError: the text is larger than the whole cache.
        with suppress(ValueError):
            self._texts[digest] = operation.query
        if len(self._texts) > MAX_PERSISTED:
            self._texts.popitem()

    def _stored_text(self, document_id: str) -> str:
        text = self._texts.get(document_id.removeprefix("sha256:"))
        if text is None:
            # Apollo's clients compare with exactly this message.
            raise Problem(ProtocolErrorCode.PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound")
        return text


def _trusted_text(trusted: Mapping[str, str], operation: OperationRequest, digest: str | None) -> str:
    # The codes are those of Apollo's router and of GraphQL Yoga.
    if operation.query is not None:
        message = "Only trusted documents are accepted: send a document's id, without its text."
        raise Problem(ProtocolErrorCode.PERSISTED_QUERY_ID_REQUIRED, message, "query")
    document_id = operation.document_id or f"sha256:{digest}"
    text = trusted.get(document_id)
    if text is None:
        message = f"No trusted document has the id {document_id[:100]!r}."
        raise Problem(ProtocolErrorCode.PERSISTED_QUERY_NOT_IN_LIST, message)
    return text


def _digest(extensions: Mapping[str, Any]) -> str | None:
    """The hash in an operation's extensions, in lower case; None if there is none."""
    extension = extensions.get("persistedQuery")
    if extension is None:
        return None
    if not isinstance(extension, dict):
        raise bad_input("extensions.persistedQuery", "This must be a JSON object.")
    if type(extension.get("version")) is not int or extension["version"] != 1:
        raise bad_input("extensions.persistedQuery.version", "The supported version of persisted queries is 1.")
    digest = extension.get("sha256Hash")
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdefABCDEF"):
        raise bad_input(HASH, "This must be a SHA-256, as 64 hexadecimal digits.")
    return digest.lower()


def _matches(text: str, digest: str) -> bool:
    return hmac.compare_digest(hashlib.sha256(_encode(text)).hexdigest(), digest)


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _size(text: str) -> int:
    return len(_encode(text))
