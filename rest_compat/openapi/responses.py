"""How an operation may answer beside its success: the statuses, told by rule from what it is, and the bodies."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, NotRequired
from uuid import UUID

import orjson
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from resolvers.core.errors import ErrorCode
from rest_compat.ai_api import AI
from rest_compat.api import Family
from rest_compat.errors import Refusal, name_of
from rest_compat.notes_api import TYPES, V1
from rest_compat.operations import Operation
from rest_compat.request import WRITING

ONLY_GRAPHQL = {
    ErrorCode.QUERY_TOO_COMPLEX,
    ErrorCode.CURSOR_EXPIRED,
    ErrorCode.NOT_ACCEPTABLE,
    ErrorCode.PERSISTED_QUERY_NOT_FOUND,
    ErrorCode.PERSISTED_QUERY_ID_REQUIRED,
    ErrorCode.PERSISTED_QUERY_NOT_IN_LIST,
}
CODES = {"missing_api_key": 401} | {name_of(code): code.status for code in ErrorCode if code not in ONLY_GRAPHQL}
"""The status that each code usually comes under."""

CodeName = Annotated[str, Field(json_schema_extra={"enum": sorted(CODES)})]
TypeName = Annotated[str, Field(json_schema_extra={"enum": sorted({*TYPES.values(), "invalid_request_error"})})]

EXAMPLES = {
    400: "limit: Input should be less than or equal to 100.",
    401: "Authentication is required: send Authorization: Bearer <key or token>.",
    403: "You do not have access to this note.",
    404: "Note 01a20124-c9f9-75a0-9567-2669e2176ef5 not found.",
    409: "The note is at revision 7, not 6.",
    413: "The request body is larger than 4194304 bytes.",
    415: "The body must be application/json.",
    422: "Unknown tag 01a20124-c9f9-75a0-9567-2669e2176ef5.",
    429: "Too many requests.",
    500: "Internal server error. Quote request id 01a20124-c9f4-773f-ae14-b551aa6eba8b.",
    503: "The embedding provider is unavailable.",
}
"""What a refusal may say."""


class Fault(TypedDict):
    code: CodeName
    message: str
    type: TypeName
    param: NotRequired[str]
    retry_after: NotRequired[Annotated[int, Field(ge=0)]]


class Error(TypedDict):
    """The documented error, and beside it what the npm client reads: `errors` has a text for each bad field."""

    error: Fault
    message: str
    code: CodeName
    errors: NotRequired[dict[str, str]]


class Detail(TypedDict):
    """One thing wrong with the input. `loc` is where: `["body", "items", 0]`; `input` what stood there, cut short."""

    type: str
    loc: list[str | int]
    msg: str
    input: Any


class AiError(TypedDict):
    detail: str
    error: str
    code: CodeName


class AiInvalid(TypedDict):
    detail: list[Detail]
    error: str
    code: CodeName


@dataclass(frozen=True, slots=True)
class Manner:
    """What a family's operations have in common. `name` begins the names of what is its own in the document."""

    name: str
    credentials: tuple[str, ...]
    refusals: Callable[[str, str, Operation], Iterator[int]]

    def error(self, status: int) -> type:
        """The shape of a refusal's body."""
        if self.name == "V1":
            return Error
        return AiInvalid if status == 422 else AiError

    def status(self, usual: int) -> int:
        """`/api/v1/ai` says 422 where others say 400."""
        return 422 if usual == 400 and self.name == "Ai" else usual

    def response(self, status: int) -> str:
        """The name of that refusal in the document."""
        return f"{self.name}Error{status}"

    def example(self, family: Family, status: int) -> Any:
        """Such a refusal as the family tells it."""
        usual = CODES[self.codes(status)[0]]
        wait = 20 if status == 429 else None
        refusal = Refusal(usual, self.codes(status)[0], EXAMPLES[status], retry_after=wait)
        return orjson.loads(bytes(family.refuse(refusal).body))

    def codes(self, status: int) -> list[str]:
        """The codes that come under a status."""
        told: defaultdict[int, list[str]] = defaultdict(list)
        for name, usual in CODES.items():
            told[self.status(usual)].append(name)
        return told[status]


def _v1(method: str, path: str, operation: Operation) -> Iterator[int]:
    # 400 also for a bad X-Workspace-Id; a key may lack the scope for anything.
    yield from (400, 401, 403, 429, 500)
    if "{" in path:
        yield 404
    if operation.body is not None:
        yield 409
    if method in WRITING:
        yield from (413, 415)
    if operation.body is not None or operation.once or _has_range(operation.query):
        yield 422


def _ai(method: str, path: str, operation: Operation) -> Iterator[int]:
    yield from (401, 403, 429, 500)
    if "{" in path or names_rows(operation.body) or names_rows(operation.query):
        yield 404
    if "{" in path and operation.body is not None:
        yield 409
    if method in WRITING:
        yield 413
    # Who writes may send what is no JSON, also where none is wanted.
    if method in WRITING or operation.query is not None:
        yield 422


def _public(_method: str, _path: str, operation: Operation) -> Iterator[int]:
    yield 500
    if operation.query is not None or operation.body is not None:
        yield 400


def names_rows(model: type[BaseModel] | None) -> bool:
    """Whether an input holds an id, which may be of nothing."""
    return model is not None and any(UUID in _within(field.annotation) for field in model.model_fields.values())


def _within(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _within(part)


def _has_range(query: type[BaseModel] | None) -> bool:
    """Whether a query has two dates, which may be the wrong way round."""
    return query is not None and {"created_from", "created_to"} <= query.model_fields.keys()


MANNERS = [(V1, Manner("V1", ("bearer", "apiKey"), _v1)), (AI, Manner("Ai", ("bearer",), _ai))]


def manner_of(family: Family) -> Manner:
    """The manner of a family; who refuses as one of the two but lets callers in otherwise, lets in anyone."""
    usual, manner = next((usual, manner) for usual, manner in MANNERS if usual.refuse is family.refuse)
    return manner if family.enter is usual.enter else replace(manner, credentials=(), refusals=_public)


def refusals(manner: Manner, method: str, path: str, operation: Operation) -> list[int]:
    """The statuses under which this operation may refuse, in order."""
    told = {*manner.refusals(method, path, operation), *operation.refuses}
    return sorted({manner.status(status) for status in told})
