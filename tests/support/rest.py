"""The response of either edge about one resource, in one form, so that a test can compare both edges."""

from dataclasses import dataclass
from typing import Any

from tests.support.clients import Caller

CODES = {"invalid_parameter": "BAD_USER_INPUT", "resource_not_found": "NOT_FOUND"}


@dataclass(frozen=True)
class EdgeResult:
    """The resource in a response (of a delete its id), or the code of an error and the field that it names."""

    value: Any = None
    code: str | None = None
    field: str | None = None

    @property
    def thing(self) -> Any:
        assert self.code is None, self
        return self.value


async def send_mutation(caller: Caller, query: str, **variables: Any) -> EdgeResult:
    answer = await caller.graphql(query, **variables)
    if "errors" in answer:
        extensions = answer["errors"][0]["extensions"]
        return EdgeResult(code=extensions["code"], field=extensions.get("field"))
    [value] = answer["data"].values()
    return EdgeResult(value)


async def send_rest(
    caller: Caller, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> EdgeResult:
    """Sends a request that writes. Its response contains one resource."""
    response = await caller.http.request(method, path, json=body, headers=headers)
    answer = response.json()
    assert response.status_code < 500, answer
    if response.status_code >= 400:
        code = answer["code"]
        return EdgeResult(code=CODES.get(code, code.upper()), field=answer["error"].get("param"))
    assert response.status_code == (201 if method == "POST" else 200)
    if method == "DELETE":
        assert set(answer) == {"success", "message"}
        return EdgeResult(path.rpartition("/")[2])
    [value] = answer.values()
    return EdgeResult(value)
