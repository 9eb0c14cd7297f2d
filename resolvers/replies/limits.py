"""How many replies may run at once, and how many tokens a workspace may spend in a minute.

Both are counted in the rows of `messages` under a lock of the workspace: exact for any number of processes. What runs
is never stopped for what it spends, so a workspace goes beyond its tokens by what was running when it reached them.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    ScalarSelect,
    Uuid,
    bindparam,
    cast,
    extract,
    func,
    literal_column,
    select,
)
from sqlmodel import col

from models import Conversation, Message
from models.base import Record
from models.conversation import MessageRole, MessageState
from resolvers.core.context import Context
from resolvers.core.database import Transaction
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.locks import acquire_lock

WINDOW = 60
"""Seconds for which the tokens of a reply count, from its end."""
RETRY = 5
"""Seconds after which to ask again while too many replies run: nobody knows when one of them ends."""
UNLIMITED = 2**62

_WORKSPACE = bindparam("workspace_id", type_=Uuid())
# Parts of the statement, where parameters are the usual: of those Postgres can't tell beforehand which index will do.
_WINDOW: ColumnElement[Any] = literal_column(f"interval '{WINDOW} seconds'")


def _known(value: StrEnum) -> ColumnElement[Any]:
    return literal_column(f"'{value}'")


def _wait() -> ScalarSelect[Any]:
    """Seconds until the workspace has tokens again; null when it has some.

    Each reply of the window with what was spent from its end on: the last that had the whole limit after it and in it
    must leave the window first.
    """
    # The statement's clock: the transaction may have waited for its locks.
    left = col(Message.updated_at) + _WINDOW - func.statement_timestamp()
    usage: Any = col(Message.usage)
    reported = usage["input_tokens"].as_integer() + usage["output_tokens"].as_integer()
    spent = func.sum(func.coalesce(reported, col(Message.token_count)))
    since = spent.over(order_by=(col(Message.updated_at).desc(), col(Message.id).desc()))
    counted = (
        select(left.label("left"), since.label("since"))
        .where(
            col(Message.workspace_id) == _WORKSPACE,
            col(Message.role) == _known(MessageRole.ASSISTANT),
            col(Message.token_count).is_not(None),
            col(Message.updated_at) > func.statement_timestamp() - _WINDOW,
        )
        .subquery("counted")
    )
    seconds = cast(func.ceil(extract("epoch", func.max(counted.c.left))), Integer)
    return select(seconds).where(counted.c.since >= bindparam("tokens", type_=BigInteger)).scalar_subquery()


_STANDING = (
    select(
        func.count().label("running"),
        func.count().filter(col(Conversation.user_id) == bindparam("user_id", type_=Uuid())).label("own"),
        _wait().label("wait"),
    )
    .select_from(Message)
    .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
    .where(col(Message.workspace_id) == _WORKSPACE, col(Message.state) == _known(MessageState.STREAMING))
)


async def make_room(ctx: Context, tx: Transaction, conversation: Record) -> None:
    """Refuses a reply beyond the limits with RATE_LIMITED. Until the transaction ends no other can slip in."""
    limits = ctx.limits
    await acquire_lock(tx, "replies", conversation.workspace_id)
    asker = {"workspace_id": conversation.workspace_id, "user_id": conversation.user_id}
    row = (await tx.execute(_STANDING, {**asker, "tokens": limits.tokens_per_minute or UNLIMITED})).one()
    if row.own >= limits.replies_per_user:
        raise _limited(f"A user may have {limits.replies_per_user:,} replies running at once.", RETRY)
    if row.running >= limits.replies_per_workspace:
        raise _limited(f"A workspace may have {limits.replies_per_workspace:,} replies running at once.", RETRY)
    if row.wait is not None:
        text = f"A workspace may spend {limits.tokens_per_minute:,} tokens in {WINDOW} seconds."
        raise _limited(text, max(row.wait, 1))


def _limited(text: str, seconds: int) -> Problem:
    return Problem(ErrorCode.RATE_LIMITED, f"{text} Try again in {seconds} seconds.", retry_after=seconds)
