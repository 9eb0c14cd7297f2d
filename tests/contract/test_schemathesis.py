"""Requests made up from the OpenAPI document, right and wrong ones: no answer may be one that it does not tell."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from sqlalchemy.ext.asyncio import AsyncEngine

import rest_compat
from rest_compat.openapi.document import document
from tests.conftest import make_tenant
from tests.support.samples import create_samples
from tests.support.secrets import singular
from tests.support.servers import RunningServer

CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)
CONFIG: dict[str, Any] = {
    "generation": {"deterministic": True, "max-examples": 4, "database": "none", "with-security-parameters": False},
    "phases": {
        # What is wrong by a little is in the tables of tests/rest; here it is only made up at random.
        "coverage": {"unexpected-methods": ["PUT"], "generation": {"mode": "positive"}},
        "stateful": {"enabled": False},
    },
    "checks": {
        "enabled": False,
        # A part that is not there (503) is told where it can be missing; a fault (500) must never be.
        "not_a_server_error": {"enabled": True, "expected-statuses": ["2XX", "3XX", "4XX", "503"]},
        **{name: {"enabled": True} for name in CHECKS},
    },
}
LONGEST = 600
"""Characters of the texts that are made up."""
OTHER_WORDS = {"embedding": "note", "document": "note"}


@pytest.fixture(scope="module")
async def own(server: RunningServer, database: AsyncEngine) -> AsyncIterator[dict[str, dict[str, str]]]:
    """Things of a workspace that only this test has: those that are deleted, and all others."""
    tenant = await make_tenant(server, database)
    caller = await tenant.key()
    doomed, others = [await create_samples(caller, tenant, title) for title in ("Doomed", "Kept")]
    yield {"DELETE": doomed, "": others, "credential": {"Authorization": f"Bearer {caller.credential}"}}
    await caller.close()


def shortened(part: Any) -> Any:
    """The document with short texts only: to embed half a million characters takes a minute, for each of them."""
    if isinstance(part, dict):
        return {name: min(value, LONGEST) if name == "maxLength" else shortened(value) for name, value in part.items()}
    return [shortened(one) for one in part] if isinstance(part, list) else part


# What the running server tells (test_openapi holds that it is the same), known before there is one.
api = schemathesis.openapi.from_dict(
    shortened(document(rest_compat.routes())), config=SchemathesisConfig.from_dict(CONFIG)
)


@schemathesis.serializer("audio/*")
def audio(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@api.parametrize()
def test_every_answer_is_told(
    case: "schemathesis.Case[Any]", server: RunningServer, own: dict[str, dict[str, str]]
) -> None:
    if case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE:
        with_own_ids(case, own.get(case.method, own[""]))
    case.call_and_validate(base_url=server.url, headers=own["credential"])


def with_own_ids(case: "schemathesis.Case[Any]", own: dict[str, str]) -> None:
    """Puts the ids of things that there are in the places of made-up ones."""
    if owner := re.search(r"(\w+)/\{id\}", case.path):
        case.path_parameters["id"] = own.get(kind_of(singular(owner[1])), case.path_parameters["id"])
    for place in (case.query, case.body):
        if not isinstance(place, dict):
            continue
        for name in list(place):
            kind = kind_of(re.sub(r"(Id|_id)s?$", "", name))
            if kind in own and name != kind:
                place[name] = [own[kind]] if name.endswith("s") else own[kind]


def kind_of(word: str) -> str:
    return OTHER_WORDS.get(word, word)
