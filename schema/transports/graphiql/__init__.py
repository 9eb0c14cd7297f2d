"""GraphiQL, for who opens /graphql in a browser: one page and its assets, all served from here (see README.md)."""

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
        # What GraphiQL adds to the page while a dialog is open has the nonce, which start.js hands it.
        "style-src 'self' 'nonce-{nonce}'",
        # Its style sheet brings its fonts and cursors along.
        "font-src data:",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Whatever the page is made to do, it reaches no other server."""
HEADERS = {
    "Cache-Control": "no-cache",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FOR_EVER = "public, max-age=31536000, immutable"
"""An asset that changes gets another name."""


@dataclass(frozen=True)
class Asset:
    """`packed`: the content by gzip."""

    kind: str
    content: bytes
    packed: bytes


@cache
def assets() -> dict[str, Asset]:
    """By the name that each is served by, which has a digest of its content: `start.0123456789ab.js`."""
    return {
        served_as(path): Asset(TYPES[path.suffix], content := path.read_bytes(), gzip.compress(content, mtime=0))
        for path in (FOLDER / "assets").iterdir()
    }


def served_as(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return f"{path.stem}.{digest}{path.suffix}"


@cache
def page() -> str:
    """The page with the addresses of its assets, and without its nonce. They are relative: a proxy may serve /graphql
    below another path."""
    text = (FOLDER / "page.html").read_text()
    for path in (FOLDER / "assets").iterdir():
        text = text.replace(f"{{{path.name}}}", f"graphql/assets/{served_as(path)}")
    return text


class GraphiQL:
    """Answers who asks for HTML with the page; everybody else gets what is behind."""

    def __init__(self, behind: ASGIApp) -> None:
        self.behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (shown() if is_wanted(scope) else self.behind)(scope, receive, send)


def is_wanted(scope: Scope) -> bool:
    """A browser that opens an address asks for HTML; a client of the API does not."""
    reads = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
    return reads and "text/html" in Headers(scope=scope).get("accept", "")


def shown() -> Response:
    nonce = secrets.token_urlsafe(16)
    headers = {**HEADERS, "Content-Security-Policy": POLICY.format(nonce=nonce)}
    return Response(page().replace("{nonce}", nonce), headers=headers, media_type="text/html")


async def asset(request: Request) -> Response:
    found = assets().get(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=found.kind)
    return Response(found.content, headers=headers, media_type=found.kind)


def routes() -> list[Route]:
    return [Route("/graphql/assets/{name}", asset)]
