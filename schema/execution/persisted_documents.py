"""Documents that a client names instead of sending them.

By default Apollo's automatic persisted queries: whoever sends a text with its hash may later send the hash alone. They
are kept in this process; a client that meets another one is told PERSISTED_QUERY_NOT_FOUND and sends the text again.
With a list of trusted documents only what is on it runs.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from resolvers.core.errors import ErrorCode, Problem, bad_input
from schema.execution.limits import LIMITS
from schema.transports.requests import Operation

MAX_PERSISTED: Final = 1_000
MAX_PERSISTED_BYTES: Final = 4 * 1024 * 1024
"""How many automatic persisted queries a process keeps, and how much text in all; the least used go first."""
HASH = "extensions.persistedQuery.sha256Hash"


class Persisted:
    def __init__(self, trusted: Mapping[str, str] | None = None) -> None:
        """`trusted`: documents by id; where the id is `sha256:` and a hash, clients may send the hash alone."""
        self.trusted = trusted
        self._kept: dict[str, str] = {}
        self._bytes = 0

    def find(self, operation: Operation) -> str:
        """The text of the operation's document. Raises a Problem where it is not known, or must not be sent."""
        digest = _digest(operation.extensions)
        if self.trusted is not None:
            return self._on_list(self.trusted, operation, digest)
        if operation.query is None:
            return self._known(operation.document_id or f"sha256:{digest}")
        if digest is not None and len(operation.query) <= LIMITS.max_length and not _matches(operation.query, digest):
            raise bad_input(HASH, "The hash is not the SHA-256 of the query.")
        return operation.query

    def keep(self, operation: Operation) -> None:
        """Remembers the text that came with its hash. Call it once the document is known to be valid."""
        digest = _digest(operation.extensions)
        if self.trusted is not None or digest is None or operation.query is None:
            return
        self._forget(digest)
        self._kept[digest] = operation.query
        self._bytes += _size(operation.query)
        while len(self._kept) > MAX_PERSISTED or self._bytes > MAX_PERSISTED_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, digest: str) -> None:
        self._bytes -= _size(self._kept.pop(digest, ""))

    def _known(self, ident: str) -> str:
        digest = ident.removeprefix("sha256:")
        text = self._kept.pop(digest, None)
        if text is None:
            # Apollo's clients look for these very words.
            raise Problem(ErrorCode.PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound")
        self._kept[digest] = text
        return text

    @staticmethod
    def _on_list(trusted: Mapping[str, str], operation: Operation, digest: str | None) -> str:
        # The codes are those of Apollo's router and of GraphQL Yoga.
        if operation.query is not None:
            text = "Only trusted documents run here: send the id of one, without a text."
            raise Problem(ErrorCode.PERSISTED_QUERY_ID_REQUIRED, text, "query")
        ident = operation.document_id or f"sha256:{digest}"
        found = trusted.get(ident)
        if found is None:
            raise Problem(ErrorCode.PERSISTED_QUERY_NOT_IN_LIST, f"No trusted document has the id {ident[:100]!r}.")
        return found


def _digest(extensions: Mapping[str, Any]) -> str | None:
    """The hash in an operation's extensions, in lower case; None where there is none."""
    given = extensions.get("persistedQuery")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise bad_input("extensions.persistedQuery", "This must be a JSON object.")
    if type(given.get("version")) is not int or given["version"] != 1:
        raise bad_input("extensions.persistedQuery.version", "The version of persisted queries here is 1.")
    digest = given.get("sha256Hash")
    if not isinstance(digest, str) or len(digest) != 64 or set(digest) - set("0123456789abcdefABCDEF"):
        raise bad_input(HASH, "This must be a SHA-256, as 64 hexadecimal digits.")
    return digest.lower()


def _matches(text: str, digest: str) -> bool:
    return hmac.compare_digest(hashlib.sha256(_encoded(text)).hexdigest(), digest)


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _size(text: str) -> int:
    return len(_encoded(text))
