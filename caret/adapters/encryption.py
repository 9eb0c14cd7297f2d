"""Secrets at rest: the database contains them encrypted with keys of the settings."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr


class FernetVault:
    """Fernet (AES-128-CBC and HMAC-SHA256). The first key encrypts, each decrypts what it has encrypted."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = MultiFernet([Fernet(key.get_secret_value()) for key in keys])

    def encrypt(self, text: str) -> bytes:
        return self._keys.encrypt(text.encode())

    def decrypt(self, encrypted: bytes) -> str:
        try:
            return self._keys.decrypt(encrypted).decode()
        except InvalidToken:
            raise ValueError("no key of CARET_ENCRYPTION_KEYS decrypts this secret") from None
