"""Creates that may be repeated: the same key with the same input makes one thing, however often and at once it comes.

The key's row is written in the transaction of the create, with the id of what it will have made. Whoever comes second
waits in the database for the first to commit (then it gets that id) or to fail (then it creates).
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
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem, bad_input
from resolvers.core.viewer import Viewer

KEPT = timedelta(hours=24)
"""How long a key stands for what it made; later it is free again."""
LONGEST = 255
"""Characters of a key."""
FIELD = "idempotencyKey"


async def claim(
    tx: Transaction, viewer: Viewer, key: str | None, result_id: UUID, *, operation: str, draft: BaseModel
) -> UUID:
    """The id of what this create makes: `result_id`, or what an earlier call with this key has made.

    Keys are the caller's own: another key of the workspace has other ones. Raises BAD_USER_INPUT for a key that is
    empty or too long, UNPROCESSABLE where it came with another operation or another input before.
    """
    if key is None:
        return result_id
    _check(key)
    fingerprint = hashlib.sha256(f"{operation}\n{draft.model_dump_json()}".encode()).digest()
    place = {"workspace_id": viewer.workspace_id, "actor_id": viewer.actor_id, "key": key}
    mine = [getattr(IdempotencyKey, name) == value for name, value in place.items()]
    old = col(IdempotencyKey.created_at) < func.now() - KEPT
    row = insert(IdempotencyKey).values(**place, fingerprint=fingerprint, result_id=result_id)
    taken = row.on_conflict_do_nothing().returning(col(IdempotencyKey.result_id))
    while (await tx.execute(taken)).one_or_none() is None:
        earlier = (await tx.execute(select(IdempotencyKey).where(*mine, ~old))).one_or_none()
        if earlier is not None:
            return _made(earlier, fingerprint)
        # It has grown too old; whoever removes it first makes room for all that wait.
        await tx.execute(delete(IdempotencyKey).where(*mine, old))
    return result_id


def _made(earlier: Record, fingerprint: bytes) -> UUID:
    if earlier.fingerprint != fingerprint:
        raise Problem(ErrorCode.UNPROCESSABLE, "This idempotency key was used for another request before.", FIELD)
    made: UUID = earlier.result_id
    return made


def _check(key: str) -> None:
    if not 1 <= len(key) <= LONGEST:
        raise bad_input(FIELD, f"An idempotency key has 1 to {LONGEST} characters.")
    try:
        storable(key)
    except ValueError as error:
        raise bad_input(FIELD, f"An idempotency key {error}.") from None


async def forget_old(ctx: Context) -> int:
    """A chore: removes the keys that no longer stand for anything. Returns how many it removed."""
    async with ctx.transaction() as tx:
        done = await tx.execute(delete(IdempotencyKey).where(col(IdempotencyKey.created_at) < func.now() - KEPT))
        return done.rowcount
