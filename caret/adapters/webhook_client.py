"""Posts to addresses that strangers chose: to the public internet alone, for a bounded time, reading a bounded answer.

It is httpx2's own network layer, httpcore2, without the client above it: that would keep cookies, read proxies and
credentials from the environment and unpack what it is sent, none of which is wanted here.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpcore2

from models.base import mended
from resolvers.core.errors import Problem
from resolvers.core.ports.webhook_client import MAX_STORED_RESPONSE_BYTES, EndpointUnreachable, WebhookResponse
from resolvers.webhooks import url_policy
from resolvers.webhooks.url_policy import Address

CONNECT = 5.0
"""Seconds for a connection, and as many for the handshake of TLS on it."""
PATIENCE = 10.0
"""Seconds for an answer."""
GRACE = 0.5
"""Seconds more for an answer whose body is cut at the end of PATIENCE to be taken in."""
UNACKNOWLEDGED = 15.0
"""Seconds after which a connection whose other side is gone, so that it acknowledges nothing, is given up."""
IDLE = 4.0
"""Seconds that a connection is kept open for the next post: less than servers do, of which some close it after 5."""
CONNECTIONS = 64
MOST_TRIED = 4
"""Of the addresses of one name."""
MOST_READ = 65_536
"""Bytes of an answer that are read, so that its connection can be used again."""
LEAST_COUNTED = 64
"""Bytes that a chunk of an answer counts at the least: tiny ones cost as much to read."""
READ_AT_ONCE = 4_096
"""Bytes that are read of a connection before everybody else has their turn."""
MOST_UNASKED = 262_144
"""Bytes that the other side of a connection may send since something was last sent to it."""
STATUSES = range(100, 600)
INSIDE = "The address is not known, or not one of the public internet."
"""One text for both: it tells nobody which names there are inside."""
LOST = "The connection was lost before there was an answer, or it was not HTTP."

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""All addresses of a host. Raises OSError."""


class AddressNotPublic(Exception):  # noqa: N818 (a host that is inside)
    """An address that must not be connected to."""


class HostResolver:
    """The system's own, in threads that nothing else waits for: a name server may take its time.

    All who ask for the same at once share one thread: a name whose server never answers holds no more.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(CONNECTIONS, "resolver")
        self._asked: dict[tuple[str, int], asyncio.Future[Sequence[Address]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        place = host.lower(), port
        asked = self._asked.get(place)
        if asked is None:
            asked = asyncio.get_running_loop().run_in_executor(self._threads, _resolve, *place)
            self._asked[place] = asked
            asked.add_done_callback(lambda done: self._forget(place, done))
        # Who gives up takes the answer from nobody else.
        return await asyncio.shield(asked)

    def _forget(self, place: tuple[str, int], done: asyncio.Future[Sequence[Address]]) -> None:
        del self._asked[place]
        if not done.cancelled():
            # Looked at, as everybody may have given up: asyncio would complain.
            done.exception()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _options() -> list[httpcore2.SOCKET_OPTION]:
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        return [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1_000 * UNACKNOWLEDGED))]
    return []


def _resolve(host: str, port: int) -> Sequence[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(address[0]) for *_, address in found))


class BoundedStream(httpcore2.AsyncNetworkStream):
    """A connection whose other side keeps nobody busy: what it sends is read little by little, with everybody else's
    turn in between, and ends the connection where it is far more than answers are."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self._unasked = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 (its base's)
        # Before the read: who is cancelled must not have taken bytes that others of the connection wait for.
        await asyncio.sleep(0)
        data = await self._inner.read(min(max_bytes, READ_AT_ONCE), timeout)
        self._unasked += len(data)
        if self._unasked > MOST_UNASKED:
            raise httpcore2.ReadError
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 (its base's)
        if buffer:
            self._unasked = 0
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (its base's)
    ) -> httpcore2.AsyncNetworkStream:
        return BoundedStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class PublicNetworkBackend(httpcore2.AsyncNetworkBackend):
    """Resolves a name once, looks at every address of it, and connects to one of just these."""

    def __init__(self, resolve: Resolve, inner: httpcore2.AsyncNetworkBackend, *, allow_local: bool) -> None:
        self._resolve = resolve
        self._inner = inner
        self._allow_local = allow_local

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (its base's)
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None
        # One address inside makes the name suspect: whom would the next answer lead to?
        if not found or not all(url_policy.may_connect(each, allow_local=self._allow_local) for each in found):
            raise AddressNotPublic
        tried = [str(address) for address in found[:MOST_TRIED]]
        share = None if timeout is None else timeout / len(tried)
        for address in tried[:-1]:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return BoundedStream(await self._inner.connect_tcp(address, port, share, local_address, socket_options))
        return BoundedStream(await self._inner.connect_tcp(tried[-1], port, share, local_address, socket_options))


class HttpWebhookClient:
    """A Poster. Connections are kept and shared, with HTTP/2 where the other side speaks it."""

    def __init__(
        self,
        network: httpcore2.AsyncNetworkBackend,
        *,
        allow_local: bool,
        trusted: ssl.SSLContext | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._network = network
        self._allow_local = allow_local
        self._trusted = trusted
        self._patience = patience

    @cached_property
    def _pool(self) -> httpcore2.AsyncConnectionPool:
        # Made when there is something to post: to read the machine's certificates takes a tenth of a second.
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._trusted or httpcore2.default_ssl_context(),
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS,
            keepalive_expiry=IDLE,
            http2=True,
            socket_options=_options(),
            network_backend=self._network,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookResponse:
        try:
            # Again at every post: what was allowed when it was entered may be forbidden since.
            url_policy.refuse(url, allow_local=self._allow_local)
            async with asyncio.timeout(self._patience + GRACE):
                return await self._post(url, headers, body)
        except (Problem, AddressNotPublic):
            raise EndpointUnreachable(INSIDE) from None
        except httpcore2.ConnectTimeout:
            raise EndpointUnreachable(f"There was no connection within {CONNECT:.0f} seconds.") from None
        except (TimeoutError, httpcore2.TimeoutException):
            raise EndpointUnreachable(f"There was no answer within {self._patience:.0f} seconds.") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise EndpointUnreachable(_told(error)) from None

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookResponse:
        until = asyncio.get_running_loop().time() + self._patience
        sent = {"Host": urlsplit(url).netloc, "Content-Length": str(len(body)), **headers}
        names = [(name.encode(), value.encode()) for name, value in sent.items()]
        # None for reads: over HTTP/2 that of one post would end all others of its connection.
        limits = {"connect": CONNECT, "write": self._patience, "pool": self._patience}
        answer = None
        try:
            sending = self._pool.stream("POST", url, headers=names, content=body, extensions={"timeout": limits})
            async with sending as got:
                if got.status not in STATUSES:
                    raise EndpointUnreachable(LOST)
                answer = WebhookResponse(got.status, _headers(got.headers), await _beginning(got, until))
        except Exception:
            # Not even the end of its connection takes an answer back.
            if answer is None:
                raise
        return answer

    async def close(self) -> None:
        await self._pool.aclose()


async def _beginning(answer: httpcore2.Response, until: float) -> str:
    """What there is of the body by then. The status has come, so nothing that befalls its body is a failure."""
    kept, read = b"", 0
    with suppress(Exception):
        async with asyncio.timeout_at(until):
            async for chunk in answer.aiter_stream():
                kept += chunk[: MAX_STORED_RESPONSE_BYTES - len(kept)]
                read += max(len(chunk), LEAST_COUNTED)
                if read >= MOST_READ:
                    break
                await asyncio.sleep(0)
    return mended(kept.decode("utf-8", "ignore"))


def _headers(given: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """As many as fit, what is acted upon before all others; those of one name in one line."""
    kept: dict[str, str] = {}
    room = MAX_STORED_RESPONSE_BYTES
    for name, value in sorted(given, key=lambda header: header[0].lower() != b"retry-after"):
        if len(name) + len(value) > room:
            continue
        room -= len(name) + len(value)
        told, text = mended(name.decode("latin-1").lower()), mended(value.decode("latin-1"))
        kept[told] = f"{kept[told]}, {text}" if told in kept else text
    return kept


def _told(error: Exception) -> str:
    """What a receiver may know of it, which is not the text of the error: that names addresses."""
    if isinstance(error, socket.gaierror):
        return INSIDE
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate was not accepted: {mended(cause.verify_message)}"
        if isinstance(cause, ssl.SSLError):
            return "The TLS handshake failed."
    if isinstance(error, httpcore2.ConnectError):
        return "No connection could be made."
    return LOST


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
