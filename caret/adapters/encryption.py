"""Secrets at rest: what the database holds of them nobody reads without a key of the settings."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr


class FernetVault:
    """Fernet (AES-128-CBC and HMAC-SHA256) with several keys: the first encrypts, each opens what it has sealed."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = MultiFernet([Fernet(key.get_secret_value()) for key in keys])

    def encrypt(self, text: str) -> bytes:
        return self._keys.encrypt(text.encode())

    def decrypt(self, sealed: bytes) -> str:
        try:
            return self._keys.decrypt(sealed).decode()
        except InvalidToken:
            raise ValueError("no key of CARET_ENCRYPTION_KEYS opens this secret") from None
