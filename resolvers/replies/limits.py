"""The limits of replies: how many run at once, and how many tokens a workspace spends in a minute.

Both are counted in the rows of `messages` under a lock of the workspace, so they are exact for any number of processes.
A running reply is never stopped for its tokens: a workspace exceeds its limit by the replies that were running when it
reached the limit.
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

WINDOW_SECONDS = 60
"""Time for which the tokens of a reply count, from its end."""
RETRY_SECONDS = 5
"""The time to wait while too many replies run: nobody knows when one of them ends."""
NO_LIMIT_TOKENS = 2**62

_WORKSPACE_ID = bindparam("workspace_id", type_=Uuid())
# Literals, where other statements have parameters: with a parameter Postgres can't choose the partial index.
_WINDOW: ColumnElement[Any] = literal_column(f"interval '{WINDOW_SECONDS} seconds'")


def _literal(value: StrEnum) -> ColumnElement[Any]:
    return literal_column(f"'{value}'")


def _seconds_until_tokens() -> ScalarSelect[Any]:
    """The seconds until the workspace has tokens again; null if it has some.

    For each reply of the window, the tokens from it to the newest are added up. The newest reply whose sum reaches the
    limit must leave the window first.
    """
    # The statement's own time, because the transaction may have waited for its locks.
    remaining = col(Message.updated_at) + _WINDOW - func.statement_timestamp()
    usage: Any = col(Message.usage)
    reported = usage["input_tokens"].as_integer() + usage["output_tokens"].as_integer()
    tokens = func.sum(func.coalesce(reported, col(Message.token_count)))
    since = tokens.over(order_by=(col(Message.updated_at).desc(), col(Message.id).desc()))
    counted = (
        select(remaining.label("remaining"), since.label("since"))
        .where(
            col(Message.workspace_id) == _WORKSPACE_ID,
            col(Message.role) == _literal(MessageRole.ASSISTANT),
            col(Message.token_count).is_not(None),
            col(Message.updated_at) > func.statement_timestamp() - _WINDOW,
        )
        .subquery("counted")
    )
    seconds = cast(func.ceil(extract("epoch", func.max(counted.c.remaining))), Integer)
    return select(seconds).where(counted.c.since >= bindparam("tokens", type_=BigInteger)).scalar_subquery()


_CURRENT_USE = (
    select(
        func.count().label("running"),
        func.count().filter(col(Conversation.user_id) == bindparam("user_id", type_=Uuid())).label("running_of_user"),
        _seconds_until_tokens().label("seconds_until_tokens"),
    )
    .select_from(Message)
    .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
    .where(col(Message.workspace_id) == _WORKSPACE_ID, col(Message.state) == _literal(MessageState.STREAMING))
)


async def check_limits(ctx: Context, tx: Transaction, conversation: Record) -> None:
    """Raises RATE_LIMITED for a reply beyond the limits. No other reply starts until the transaction ends."""
    limits = ctx.limits
    await acquire_lock(tx, "replies", conversation.workspace_id)
    parameters = {
        "workspace_id": conversation.workspace_id,
        "user_id": conversation.user_id,
        "tokens": limits.tokens_per_minute or NO_LIMIT_TOKENS,
    }
    use = (await tx.execute(_CURRENT_USE, parameters)).one()
    if use.running_of_user >= limits.replies_per_user:
        text = f"A user may have {limits.replies_per_user:,} replies running at once."
        raise _rate_limited(text, RETRY_SECONDS)
    if use.running >= limits.replies_per_workspace:
        text = f"A workspace may have {limits.replies_per_workspace:,} replies running at once."
        raise _rate_limited(text, RETRY_SECONDS)
    if use.seconds_until_tokens is not None:
        text = f"A workspace may spend {limits.tokens_per_minute:,} tokens in {WINDOW_SECONDS} seconds."
        raise _rate_limited(text, max(use.seconds_until_tokens, 1))


def _rate_limited(text: str, seconds: int) -> Problem:
    return Problem(ErrorCode.RATE_LIMITED, f"{text} Try again in {seconds} seconds.", retry_after=seconds)
