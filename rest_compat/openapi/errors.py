"""The errors of the OpenAPI document: the statuses that an operation may answer, by rule, and their bodies."""

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
from rest_compat.errors import PROTOCOL_STATUSES, STATUSES_AND_NAMES, RestError
from rest_compat.notes_api import ERROR_TYPES, V1
from rest_compat.openapi.headers import ERROR_HEADERS, RATE, REQUEST_ID, response_headers
from rest_compat.openapi.schemas import SchemaRegistry
from rest_compat.operations import Operation
from rest_compat.request import METHODS_WITH_BODY
from rest_compat.routing import ApiFamily

Json = dict[str, Any]

ONLY_GRAPHQL = {ErrorCode.QUERY_TOO_COMPLEX, ErrorCode.CURSOR_EXPIRED}
CODES = PROTOCOL_STATUSES | {
    name: status for code, (status, name) in STATUSES_AND_NAMES.items() if code not in ONLY_GRAPHQL
}
"""The status of each code in `/v1`."""

CodeName = Annotated[str, Field(json_schema_extra={"enum": sorted(CODES)})]
TypeName = Annotated[str, Field(json_schema_extra={"enum": sorted({*ERROR_TYPES.values(), "invalid_request_error"})})]

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
"""An example of the message of each status."""


class ErrorBody(TypedDict):
    code: CodeName
    message: str
    type: TypeName
    param: NotRequired[str]
    retry_after: NotRequired[Annotated[int, Field(ge=0)]]


class Error(TypedDict):
    """The documented error, and beside it what the npm client reads. `errors` has a message for each invalid field."""

    error: ErrorBody
    message: str
    code: CodeName
    errors: NotRequired[dict[str, str]]


class Detail(TypedDict):
    """One error in the input. `loc` is its location: `["body", "items", 0]`. `input` is the value, cut short."""

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
class FamilyErrors:
    """What the errors of an API family have in common. `prefix` begins the names of its responses in the document."""

    prefix: str
    credentials: tuple[str, ...]
    derive_statuses: Callable[[str, str, Operation], Iterator[int]]

    def body(self, status: int) -> type:
        """The shape of an error's body."""
        if self.prefix == "V1":
            return Error
        return AiInvalid if status == 422 else AiError

    def status(self, v1_status: int) -> int:
        """The status in this family: `/api/v1/ai` answers 422 where `/v1` answers 400."""
        return 422 if v1_status == 400 and self.prefix == "Ai" else v1_status

    def response_name(self, status: int) -> str:
        return f"{self.prefix}Error{status}"

    def example(self, family: ApiFamily, status: int) -> Any:
        """An error as the family renders it."""
        code = self.codes(status)[0]
        retry_after = 20 if status == 429 else None
        error = RestError(CODES[code], code, EXAMPLES[status], retry_after=retry_after)
        return orjson.loads(bytes(family.render_error(error).body))

    def codes(self, status: int) -> list[str]:
        """The codes with a status."""
        by_status: defaultdict[int, list[str]] = defaultdict(list)
        for code, v1_status in CODES.items():
            by_status[self.status(v1_status)].append(code)
        return by_status[status]


def _v1_statuses(method: str, path: str, operation: Operation) -> Iterator[int]:
    # 400 is also for an invalid X-Workspace-Id, and a key may lack the scope for any operation.
    yield from (400, 401, 403, 429, 500)
    if "{" in path:
        yield 404
    if operation.body is not None:
        yield 409
    if method in METHODS_WITH_BODY:
        yield from (413, 415)
    if operation.body is not None or operation.is_idempotent or _has_range(operation.query):
        yield 422


def _ai_statuses(method: str, path: str, operation: Operation) -> Iterator[int]:
    yield from (401, 403, 429, 500)
    if "{" in path or has_id(operation.body) or has_id(operation.query):
        yield 404
    if "{" in path and operation.body is not None:
        yield 409
    if method in METHODS_WITH_BODY:
        yield 413
    # A request with a body may send invalid JSON, also where no body is expected.
    if method in METHODS_WITH_BODY or operation.query is not None:
        yield 422


def _public_statuses(_method: str, _path: str, operation: Operation) -> Iterator[int]:
    yield 500
    if operation.query is not None or operation.body is not None:
        yield 400


def has_id(model: type[BaseModel] | None) -> bool:
    """Whether an input contains an id, of which there may be no row."""
    return model is not None and any(UUID in _types_of(field.annotation) for field in model.model_fields.values())


def _types_of(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _types_of(part)


def _has_range(query: type[BaseModel] | None) -> bool:
    """Whether a query has a range of dates, whose end may be before its beginning."""
    return query is not None and {"created_from", "created_to"} <= query.model_fields.keys()


FAMILIES = [
    (V1, FamilyErrors("V1", ("bearer", "apiKey"), _v1_statuses)),
    (AI, FamilyErrors("Ai", ("bearer",), _ai_statuses)),
]


def errors_of(family: ApiFamily) -> FamilyErrors:
    """The errors of a family. One that renders errors like V1 or AI, but reads calls differently, is public."""
    original, errors = next((one, errors) for one, errors in FAMILIES if one.render_error is family.render_error)
    is_public = family.read_call is not original.read_call
    return replace(errors, credentials=(), derive_statuses=_public_statuses) if is_public else errors


def error_statuses(errors: FamilyErrors, method: str, path: str, operation: Operation) -> list[int]:
    """The statuses of the errors that an operation may answer, in order."""
    statuses = {*errors.derive_statuses(method, path, operation), *operation.more_errors}
    return sorted({errors.status(status) for status in statuses})


def error_response(errors: FamilyErrors, family: ApiFamily, status: int, schemas: SchemaRegistry) -> tuple[str, Json]:
    """The name and the Response Object of an error, with an example in the family's form."""
    rate = {} if status == 401 else RATE
    content = {
        "schema": schemas.reference(errors.body(status), "serialization"),
        "example": errors.example(family, status),
    }
    return errors.response_name(status), {
        "description": " or ".join(f"`{code}`" for code in errors.codes(status)),
        "headers": response_headers(ERROR_HEADERS.get(status, {}), rate, REQUEST_ID),
        "content": {"application/json": content},
    }
