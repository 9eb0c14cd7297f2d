"""What either edge answers about one thing, in one form, so that a test can ask both the same."""

from dataclasses import dataclass
from typing import Any

from tests.support.clients import Caller

CODES = {"invalid_parameter": "BAD_USER_INPUT", "resource_not_found": "NOT_FOUND"}


@dataclass(frozen=True)
class Told:
    """The thing that an edge answered (of a delete its id), or the code of a refusal and the field that it names."""

    value: Any = None
    code: str | None = None
    field: str | None = None

    @property
    def thing(self) -> Any:
        assert self.code is None, self
        return self.value


async def mutated(caller: Caller, query: str, **variables: Any) -> Told:
    answer = await caller.graphql(query, **variables)
    if "errors" in answer:
        extensions = answer["errors"][0]["extensions"]
        return Told(code=extensions["code"], field=extensions.get("field"))
    [value] = answer["data"].values()
    return Told(value)


async def asked(
    caller: Caller, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Told:
    """A request that writes, whose answer has the one thing that it is about."""
    response = await caller.http.request(method, path, json=body, headers=headers)
    answer = response.json()
    assert response.status_code < 500, answer
    if response.status_code >= 400:
        code = answer["code"]
        return Told(code=CODES.get(code, code.upper()), field=answer["error"].get("param"))
    assert response.status_code == (201 if method == "POST" else 200)
    if method == "DELETE":
        assert set(answer) == {"success", "message"}
        return Told(path.rpartition("/")[2])
    [value] = answer.values()
    return Told(value)
