"""Lists by offset, as the notes API has them."""

from typing import Annotated

from pydantic import ConfigDict, Field

from models.base import Draft
from resolvers.core.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

MAX_OFFSET = 2**63 - 1
"""The largest number that Postgres accepts as an offset."""


class PageQuery(Draft):
    """The query parameters of a list: `limit` rows after the first `offset`. Unknown parameters are ignored."""

    model_config = ConfigDict(extra="ignore", strict=False)
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
