"""GraphiQL, for browsers that open /graphql: one page and its assets, all served from here (see README.md)."""

import gzip
import hashlib
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # The styles that GraphiQL adds while a dialog is open carry the nonce, which start.js passes to it.
        "style-src 'self' 'nonce-{nonce}'",
        # The style sheet contains its fonts and cursors.
        "font-src data:",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The page can reach no other server, whatever script runs in it."""
HEADERS = {
    "Cache-Control": "no-cache",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
IMMUTABLE = "public, max-age=31536000, immutable"
"""An asset that changes gets another name."""


@dataclass(frozen=True)
class Asset:
    media_type: str
    content: bytes
    gzipped: bytes


@cache
def assets() -> dict[str, Asset]:
    """The assets by the names that they are served by, which contain a digest: `start.0123456789ab.js`."""
    return {
        asset_name(path): Asset(TYPES[path.suffix], content := path.read_bytes(), gzip.compress(content, mtime=0))
        for path in (FOLDER / "assets").iterdir()
    }


def asset_name(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return f"{path.stem}.{digest}{path.suffix}"


@cache
def page() -> str:
    """The page with the addresses of its assets, without its nonce. The addresses are relative, since a proxy may serve
    /graphql below another path."""
    text = (FOLDER / "page.html").read_text()
    for path in (FOLDER / "assets").iterdir():
        text = text.replace(f"{{{path.name}}}", f"graphql/assets/{asset_name(path)}")
    return text


class GraphiQL:
    """Answers browsers with the page. Every other request goes to `graphql`."""

    def __init__(self, graphql: ASGIApp) -> None:
        self.graphql = graphql

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (page_response() if accepts_page(scope) else self.graphql)(scope, receive, send)


def accepts_page(scope: Scope) -> bool:
    """Whether a browser opens the address: it accepts HTML, which a client of the API does not."""
    reads = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
    return reads and "text/html" in Headers(scope=scope).get("accept", "")


def page_response() -> Response:
    nonce = secrets.token_urlsafe(16)
    headers = {**HEADERS, "Content-Security-Policy": POLICY.format(nonce=nonce)}
    return Response(page().replace("{nonce}", nonce), headers=headers, media_type="text/html")


async def get_asset(request: Request) -> Response:
    asset = assets().get(request.path_params["name"])
    if asset is None:
        raise HTTPException(404)
    headers = {"Cache-Control": IMMUTABLE, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.gzipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


def routes() -> list[Route]:
    return [Route("/graphql/assets/{name}", get_asset)]
