"""GraphiQL at /graphql: what is served, and a real browser that runs it with the network closed."""

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from schema.transports import graphiql
from tests.conftest import Services, Tenant
from tests.support.clients import Caller
from tests.support.npm import NEEDS_NODE, Node
from tests.support.servers import RunningServer, running_server

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
VENDORED = {
    "graphiql.min.css": "30487e07635d312a63f647b140d37740a73c53332b0975bf4b1fe985ca6ec885",
    "graphiql.min.js": "867226ba8af5ce7949903fc53932f78dac9f4bfc6cc8da0fd3869b8bc6c5256b",
    "graphql-ws.min.js": "deb8cd1b4feadd52ae0365a4df8a89847f2904c2a8cbdac8756b8d962c0cb8e4",
    "react-dom.min.js": "35f4f974f4b2bcd44da73963347f8952e341f83909e4498227d4e26b98f66f0d",
    "react.min.js": "d949f1c3687aedadcedac85261865f29b17cd273997e7f6b2bfc53b2f9d4c4dd",
}
"""As the npm registry has them."""

# The first test that needs the packages of npm may have to install them.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def anybody(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    caller = Caller(server, "")
    yield caller.http
    await caller.close()


@NEEDS_NODE
async def test_a_browser_runs_a_subscription_with_the_network_closed(
    tenant: Tenant, scripts: Path, tmp_path: Path
) -> None:
    key, picture, url = await tenant.key(), tmp_path / "graphiql.png", tenant.server.url
    environment = {
        "CARET_URL": url,
        "CARET_KEY": key.credential,
        "CARET_PNG": str(picture),
        "TMPDIR": str(scripts / "browser"),
    }
    node = await Node.start(scripts, "graphiql.mjs", **environment)
    try:
        assert await node.json_line() == {
            "keyStored": [True, False],
            "errors": [],
            "origins": [url],
            "reached": False,
            "refused": True,
            "network": "net::ERR_NAME_NOT_RESOLVED",
        }
        assert await node.lines() == []
    finally:
        await node.stop()
    assert picture.read_bytes().startswith(b"\x89PNG")


async def test_it_is_for_browsers_alone(anybody: httpx.AsyncClient) -> None:
    page = await anybody.get("/graphql", headers=BROWSER)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-cache"
    assert "Accept" in page.headers["Vary"]
    assert (await anybody.head("/graphql", headers=BROWSER)).headers["Content-Type"] == page.headers["Content-Type"]
    query = await anybody.get("/graphql", params={"query": "{ __typename }"})
    assert query.json() == {"data": {"__typename": "Query"}}
    posted = await anybody.post("/graphql", json={"query": "{ __typename }"}, headers=BROWSER | {"Accept": "*/*"})
    assert posted.json() == {"data": {"__typename": "Query"}}


async def test_the_page_names_nothing_from_outside(anybody: httpx.AsyncClient) -> None:
    page = await anybody.get("/graphql", headers=BROWSER)
    assert "//" not in page.text
    [nonce] = re.findall(r'nonce="([\w-]{22})"', page.text)
    assert page.headers["Content-Security-Policy"] == (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; font-src data:; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert nonce not in (await anybody.get("/graphql", headers=BROWSER)).text
    assert not re.search(r"<script(?! defer src=)|\son\w+=|style=", page.text)


async def test_every_asset_is_there_for_ever(anybody: httpx.AsyncClient) -> None:
    page = await anybody.get("/graphql", headers=BROWSER)
    named = re.findall(r'(?:src|href)="(graphql/assets/[^"]+)"', page.text)
    assert len(named) == len(graphiql.assets()) == len(VENDORED) + 2
    for name in named:
        packed = await anybody.get(f"/{name}", headers={"Accept-Encoding": "br, gzip"})
        plain = await anybody.get(f"/{name}", headers={"Accept-Encoding": "identity"})
        assert packed.headers["Content-Encoding"] == "gzip", name
        assert "Content-Encoding" not in plain.headers, name
        assert packed.content == plain.content, name
        assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable", name
        assert hashlib.sha256(plain.content).hexdigest()[:12] in name
        assert plain.headers["Content-Type"].partition(";")[0] in {"text/javascript", "text/css"}, name
    for unknown in ("start.js", "start.000000000000.js", "..%2Fpage.html", "README.md"):
        assert (await anybody.get(f"/graphql/assets/{unknown}")).status_code == 404, unknown


def test_what_is_not_ours_is_as_npm_has_it() -> None:
    folder = graphiql.FOLDER / "assets"
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in VENDORED} == VENDORED


def test_it_can_be_switched_off(services: Services) -> None:
    with (
        running_server(**services.settings, graphiql="0") as plain,
        httpx.Client(base_url=plain.url) as http,
    ):
        assert "text/html" not in http.get("/graphql", headers=BROWSER).headers.get("Content-Type", "")
        for name in graphiql.assets():
            assert http.get(f"/graphql/assets/{name}").status_code == 404
