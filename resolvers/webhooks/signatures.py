"""Both signatures of what is posted, by which a receiver knows that it is of us and is new.

`webhook-signature` is that of Standard Webhooks (standardwebhooks.com): it covers the id, the time and the body, and
has one signature for each secret that is in use. `X-Caret-Signature` covers the body alone, by the newest secret.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from models.base import Record
from resolvers.core.context import SecretsVault

PREFIX = "whsec_"


def secrets_of(vault: SecretsVault, webhook: Record, now: datetime) -> list[str]:
    """The secrets in use, the newest first. Raises ValueError where this server can't open them."""
    secrets = [vault.decrypt(webhook.secret)]
    if webhook.previous_secret is not None and webhook.previous_until is not None and now < webhook.previous_until:
        secrets.append(vault.decrypt(webhook.previous_secret))
    return secrets


def headers(secrets: Sequence[str], event_id: UUID, now: datetime, body: bytes) -> dict[str, str]:
    """What proves the body. The id is the event's: the same on every attempt, so that it can be told from a new one."""
    told, moment = str(event_id), str(int(now.timestamp()))
    signed = f"{told}.{moment}.".encode() + body
    return {
        "webhook-id": told,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(f"v1,{standard(secret, signed)}" for secret in secrets),
        "X-Caret-Signature": plain(secrets[0], body),
    }


def standard(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def plain(secret: str, body: bytes) -> str:
    """Its key is the secret as it is written, with its prefix."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
