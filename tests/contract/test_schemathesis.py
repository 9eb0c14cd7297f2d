"""Valid and invalid requests generated from the OpenAPI document: every response must be one that it describes."""

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
from tests.support.sizes import size

CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)
CONFIG: dict[str, Any] = {
    "generation": {
        "deterministic": True,
        "max-examples": size(2, 10),
        "database": "none",
        "with-security-parameters": False,
    },
    "phases": {
        # Values just outside their limits are in the tables of tests/rest; here they are generated at random.
        "coverage": {"unexpected-methods": ["PUT"], "generation": {"mode": "positive"}},
        "stateful": {"enabled": False},
    },
    "checks": {
        "enabled": False,
        # 503 is documented where a service may be missing; 500 must never happen.
        "not_a_server_error": {"enabled": True, "expected-statuses": ["2XX", "3XX", "4XX", "503"]},
        **{name: {"enabled": True} for name in CHECKS},
    },
}
LONGEST = 600
"""The length of generated texts, in characters."""
OTHER_WORDS = {"embedding": "note", "document": "note"}


@pytest.fixture(scope="module")
async def own(server: RunningServer, database: AsyncEngine) -> AsyncIterator[dict[str, dict[str, str]]]:
    """Ids of a workspace that only this test uses: those for DELETE requests, and those for all others."""
    tenant = await make_tenant(server, database)
    caller = await tenant.key()
    doomed, others = [await create_samples(caller, tenant, title) for title in ("Doomed", "Kept")]
    yield {"DELETE": doomed, "": others, "credential": {"Authorization": f"Bearer {caller.credential}"}}
    await caller.close()


def shortened(part: Any) -> Any:
    """The document with short texts only: embedding half a million characters takes a minute."""
    if isinstance(part, dict):
        return {name: min(value, LONGEST) if name == "maxLength" else shortened(value) for name, value in part.items()}
    return [shortened(one) for one in part] if isinstance(part, list) else part


# The document of the running server (test_openapi checks that they are equal), available before it starts.
api = schemathesis.openapi.from_dict(
    shortened(document(rest_compat.routes())), config=SchemathesisConfig.from_dict(CONFIG)
)


@schemathesis.serializer("audio/*")
def audio(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.soak
@api.parametrize()
def test_every_response_is_documented(
    case: "schemathesis.Case[Any]", server: RunningServer, own: dict[str, dict[str, str]]
) -> None:
    if case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE:
        with_own_ids(case, own.get(case.method, own[""]))
    case.call_and_validate(base_url=server.url, headers=own["credential"])


def with_own_ids(case: "schemathesis.Case[Any]", own: dict[str, str]) -> None:
    """Replaces generated ids by ids of rows that exist."""
    if owner := re.search(r"(\w+)/\{id\}", case.path):
        case.path_parameters["id"] = own.get(kind_of(singular(owner[1])), case.path_parameters["id"])
    for values in (case.query, case.body):
        if not isinstance(values, dict):
            continue
        for name in list(values):
            kind = kind_of(re.sub(r"(Id|_id)s?$", "", name))
            if kind in own and name != kind:
                values[name] = [own[kind]] if name.endswith("s") else own[kind]


def kind_of(word: str) -> str:
    return OTHER_WORDS.get(word, word)
