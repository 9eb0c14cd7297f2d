"""The port to the encryption of stored secrets; `caret.adapters.encryption` implements it."""

from typing import Protocol


class SecretsVault(Protocol):
    """Encrypts secrets that the server must be able to read again, such as those that sign webhooks."""

    def encrypt(self, text: str) -> bytes: ...

    def decrypt(self, sealed: bytes) -> str:
        """Raises ValueError if none of the configured keys decrypts it."""
