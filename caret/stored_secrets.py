"""Secrets that are created on the first start and stored in the data folder with mode 0600."""

import os
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path

from pydantic import SecretStr

from caret.embedded.folder import create_private
from caret.environment import SettingsError
from caret.setting_types import is_encryption_key


def signing_secret(folder: Path) -> SecretStr:
    """The HS256 secret of access tokens."""
    return _stored(folder / "jwt_secret", secrets.token_urlsafe(48))


def encryption_key(folder: Path) -> SecretStr:
    """The key of secrets at rest: 32 bytes in URL-safe base64."""
    path = folder / "encryption_key"
    key = _stored(path, urlsafe_b64encode(secrets.token_bytes(32)).decode())
    if not is_encryption_key(key.get_secret_value()):
        raise SettingsError(f"CARET_DATA_DIR: {path} contains no key.")
    return key


def _stored(path: Path, fresh: str) -> SecretStr:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.close(create_private(path, fresh))
        return SecretStr(path.read_text().strip())
    except OSError as error:
        raise SettingsError(f"CARET_DATA_DIR: {path} can't be stored there: {error.strerror}.") from None
