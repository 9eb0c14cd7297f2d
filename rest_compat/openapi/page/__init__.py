"""`/openapi.json`, and `/docs`: a page to browse it, which loads nothing from outside."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from rest_compat.openapi.document import document
from rest_compat.operations import tagged

HERE = Path(__file__).parent
VIEWER = "rapidoc-9.3.8.min.js"
"""RapiDoc as npm has it (LICENSE.txt is beside it). Browsers keep it for a year: its name has the version in it."""
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # The viewer's own styles stand in its elements.
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
SAFE = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


@cache
def kept(name: str) -> bytes:
    return (HERE / name).read_bytes()


async def page(_request: Request) -> Response:
    return Response(kept("page.html"), media_type="text/html", headers={**SAFE, "Cache-Control": "no-cache"})


async def viewer(_request: Request) -> Response:
    headers = {**SAFE, "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(kept(VIEWER), media_type="text/javascript", headers=headers)


def routes(api: Sequence[BaseRoute]) -> list[BaseRoute]:
    """The document of `api`, and the page for it."""

    @cache
    def told() -> bytes:
        return orjson.dumps(document(api))

    async def openapi(request: Request) -> Response:
        return tagged(request, told(), 200, None)

    return [Route("/openapi.json", openapi), Route("/docs", page), Route(f"/docs/{VIEWER}", viewer)]
