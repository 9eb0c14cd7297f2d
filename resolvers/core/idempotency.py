"""Idempotency keys: a create with the same key and the same input makes one row, however often it is sent.

The key's row is written in the transaction of the create, with the id of the row that it creates. A second request
waits in the database for the first one to commit (then it gets that id) or to fail (then it creates the row).
"""

import hashlib
from datetime import timedelta
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from models import IdempotencyKey
from models.base import Record, storable
from models.limits import limit
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input
from resolvers.core.viewer import Viewer

KEY_LIFETIME = timedelta(
    hours=limit(
        24,
        "Time for which an idempotency key stands for the row that it created",
        area="Requests",
        unit="hours",
        beyond="the key can be used anew",
    )
)
MAX_KEY_CHARACTERS = limit(
    255, "An idempotency key", area="Requests", unit="characters", minimum=1, beyond="`BAD_USER_INPUT`, 400"
)
FIELD = "idempotencyKey"


async def claim(
    tx: Transaction, viewer: Viewer, key: str | None, result_id: UUID, *, operation: str, draft: BaseModel
) -> UUID:
    """The id of the row that this create makes: `result_id`, or the row that an earlier create with this key made.

    Keys belong to the caller: two API keys of a workspace may use the same one. Raises BAD_USER_INPUT for a key that is
    empty or too long, UNPROCESSABLE if the key was used with another operation or another input.
    """
    if key is None:
        return result_id
    _check(key)
    fingerprint = hashlib.sha256(f"{operation}\n{draft.model_dump_json()}".encode()).digest()
    identity = {"workspace_id": viewer.workspace_id, "actor_id": viewer.actor_id, "key": key}
    has_identity = [getattr(IdempotencyKey, name) == value for name, value in identity.items()]
    is_expired = col(IdempotencyKey.created_at) < func.now() - KEY_LIFETIME
    row = insert(IdempotencyKey).values(**identity, fingerprint=fingerprint, result_id=result_id)
    inserted = row.on_conflict_do_nothing().returning(col(IdempotencyKey.result_id))
    while (await tx.execute(inserted)).one_or_none() is None:
        earlier = (await tx.execute(select(IdempotencyKey).where(*has_identity, ~is_expired))).one_or_none()
        if earlier is not None:
            return _earlier_result(earlier, fingerprint)
        # The row has expired. The first transaction that deletes it makes room for all that wait.
        await tx.execute(delete(IdempotencyKey).where(*has_identity, is_expired))
    return result_id


def _earlier_result(earlier: Record, fingerprint: bytes) -> UUID:
    if earlier.fingerprint != fingerprint:
        raise Problem(ErrorCode.UNPROCESSABLE, "This idempotency key was used for another request before.", FIELD)
    result_id: UUID = earlier.result_id
    return result_id


def _check(key: str) -> None:
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS:
        raise bad_input(FIELD, f"An idempotency key has 1 to {MAX_KEY_CHARACTERS} characters.")
    try:
        storable(key)
    except ValueError as error:
        raise bad_input(FIELD, f"An idempotency key {error}.") from None


async def delete_expired(ctx: Context) -> int:
    """A chore: deletes the keys whose lifetime is over. Returns how many."""
    async with ctx.transaction() as tx:
        is_expired = col(IdempotencyKey.created_at) < func.now() - KEY_LIFETIME
        return (await tx.execute(delete(IdempotencyKey).where(is_expired))).rowcount
