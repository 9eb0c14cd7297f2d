"""`/openapi.json`, and `/docs`, a page to browse it that loads nothing from other servers."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from rest_compat.openapi.document import document
from rest_compat.operations import response_with_etag

HERE = Path(__file__).parent
VIEWER = "rapidoc-9.3.8.min.js"
"""RapiDoc as published on npm (see LICENSE.txt). Browsers cache it for a year: a new version has a new name."""
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # The viewer sets styles on its elements.
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
SAFE = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


@cache
def read_asset(name: str) -> bytes:
    return (HERE / name).read_bytes()


async def page(_request: Request) -> Response:
    return Response(read_asset("page.html"), media_type="text/html", headers={**SAFE, "Cache-Control": "no-cache"})


async def viewer(_request: Request) -> Response:
    headers = {**SAFE, "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(read_asset(VIEWER), media_type="text/javascript", headers=headers)


def routes(api: Sequence[BaseRoute]) -> list[BaseRoute]:
    """The routes of the document of `api` and of the page."""

    @cache
    def serialized_document() -> bytes:
        return orjson.dumps(document(api))

    async def openapi(request: Request) -> Response:
        return response_with_etag(request, serialized_document(), 200, None)

    return [Route("/openapi.json", openapi), Route("/docs", page), Route(f"/docs/{VIEWER}", viewer)]
