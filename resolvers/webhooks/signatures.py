"""The headers that sign what is posted, by which a receiver knows that it comes from this server and is new.

`webhook-signature` is that of Standard Webhooks (standardwebhooks.com): it covers the id, the time and the body, and
holds one signature for each secret in use. `X-Caret-Signature` covers the body alone, by the newest secret.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from standardwebhooks import Webhook as StandardWebhook

from models.base import Record
from resolvers.core.ports.encryption import SecretsVault


def secrets_in_use(vault: SecretsVault, webhook: Record, now: datetime) -> list[str]:
    """The endpoint's secrets, the newest first. Raises ValueError if this server can't decrypt them."""
    secrets = [vault.decrypt(webhook.secret)]
    if webhook.previous_secret is not None and webhook.previous_until is not None and now < webhook.previous_until:
        secrets.append(vault.decrypt(webhook.previous_secret))
    return secrets


def signature_headers(secrets: Sequence[str], event_id: UUID, now: datetime, body: bytes) -> dict[str, str]:
    """The headers of one attempt. The id is the event's, the same for every attempt, so a receiver can skip repeats.

    `body` is UTF-8, as all JSON is: the library signs text.
    """
    sent_at, text = now.astimezone(UTC), body.decode()
    signatures = [StandardWebhook(secret).sign(str(event_id), sent_at, text) for secret in secrets]
    return {
        "webhook-id": str(event_id),
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": " ".join(signatures),
        "X-Caret-Signature": sign_body(secrets[0], body),
    }


def sign_body(secret: str, body: bytes) -> str:
    """`X-Caret-Signature`: lowercase hex of HMAC-SHA256, with the secret's whole text, prefix included, as its key."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
