"""The HTTP client for webhooks. It posts to addresses that callers chose, and trusts neither them nor what they send.

It connects to the public internet alone, for a bounded time, and reads a bounded response. It uses httpcore2, the
network layer of httpx2, without httpx2 itself: that would store cookies, read proxies and credentials from the
environment and decompress responses.
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

from models.base import strip_unstorable
from models.limits import limit
from resolvers.core.errors import Problem
from resolvers.core.failures import report_failure
from resolvers.core.ports.webhook_client import MAX_STORED_RESPONSE_BYTES, EndpointResponse, EndpointUnreachable
from resolvers.webhooks import url_policy
from resolvers.webhooks.url_policy import Address

CONNECT_TIMEOUT_SECONDS = limit(
    5.0,
    "The connection to a webhook endpoint, and the TLS handshake on it",
    area="Webhooks",
    unit="seconds each",
    beyond="tried again",
)
RESPONSE_TIMEOUT_SECONDS = limit(
    10.0, "The response of a webhook endpoint", area="Webhooks", unit="seconds", beyond="tried again"
)
BODY_GRACE_SECONDS = 0.5
"""How much longer than the timeout a post may take, so that a body cut off at the timeout is still returned."""
ACKNOWLEDGE_TIMEOUT_SECONDS = limit(
    15.0,
    "The TCP acknowledgement of what a webhook endpoint is sent",
    area="Webhooks",
    unit="seconds",
    beyond="the connection is closed, and the delivery tried again",
)
IDLE_SECONDS = 4.0
"""How long an idle connection is kept open for the next post. Some servers close theirs after 5 seconds."""
MAX_CONNECTIONS = 64
MAX_ADDRESSES_TRIED = 4
"""Of the addresses that one name resolves to."""
MAX_RESPONSE_BYTES = limit(
    65_536, "A webhook response's body, as it is read", area="Webhooks", unit="bytes", beyond="cut"
)
MIN_CHUNK_COST_BYTES = 64
"""The least that a chunk of a response counts of MAX_RESPONSE_BYTES: tiny chunks cost as much to read."""
READ_BYTES = 4_096
"""What is read from a connection before all other tasks have their turn."""
MAX_UNREQUESTED_BYTES = limit(
    262_144,
    "What a webhook endpoint sends since it was last sent anything",
    area="Webhooks",
    unit="bytes",
    beyond="the connection is closed, and the delivery tried again",
)
STATUSES = range(100, 600)
ADDRESS_REFUSED = "The address is not known, or not one of the public internet."
"""One text for both, so that it does not reveal which names exist in the server's network."""
CONNECTION_LOST = "The connection was lost before there was an answer, or it was not HTTP."

NETWORK_ERRORS = (TimeoutError, httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, OSError)

ResolveHost = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Returns all addresses of a host. Raises OSError."""


class AddressNotPublic(Exception):  # noqa: N818 (says what is the matter, as Problem does)
    """The host resolves to an address that the server must not connect to."""


class HostResolver:
    """The system's resolver, run in threads that nothing else waits for: a name server may take its time.

    Simultaneous lookups of the same host share one thread, so a name whose server never answers occupies only one.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_CONNECTIONS, "resolver")
        self._lookups: dict[tuple[str, int], asyncio.Future[Sequence[Address]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        key = host.lower(), port
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, _resolve_host, *key)
            self._lookups[key] = lookup
            lookup.add_done_callback(lambda done: self._forget(key, done))
        # A cancelled caller must not cancel the lookup for the others.
        return await asyncio.shield(lookup)

    def _forget(self, key: tuple[str, int], done: asyncio.Future[Sequence[Address]]) -> None:
        del self._lookups[key]
        if not done.cancelled():
            # Retrieved because all callers may be gone: asyncio would warn of an exception that nobody retrieved.
            done.exception()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _socket_options() -> list[httpcore2.SOCKET_OPTION]:
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        return [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1_000 * ACKNOWLEDGE_TIMEOUT_SECONDS))]
    return []


def _resolve_host(host: str, port: int) -> Sequence[Address]:
    results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(address[0]) for *_, address in results))


class BoundedStream(httpcore2.AsyncNetworkStream):
    """A connection that can't keep the event loop busy.

    It reads little at a time and lets other tasks run in between, and it ends the connection if the other side sends
    far more than any response has.
    """

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self._unrequested_bytes = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 (its base's)
        # The pause comes before the read: a task cancelled after it would lose bytes of a shared connection.
        await asyncio.sleep(0)
        data = await self._inner.read(min(max_bytes, READ_BYTES), timeout)
        self._unrequested_bytes += len(data)
        if self._unrequested_bytes > MAX_UNREQUESTED_BYTES:
            raise httpcore2.ReadError
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 (its base's)
        if buffer:
            self._unrequested_bytes = 0
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
    """Resolves a name once, checks every address of it, and connects to one of exactly these."""

    def __init__(self, resolve: ResolveHost, inner: httpcore2.AsyncNetworkBackend, *, allow_local: bool) -> None:
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
                addresses = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None
        # One address that is not public makes the whole name suspect.
        allowed = (url_policy.can_connect_to(each, allow_local=self._allow_local) for each in addresses)
        if not addresses or not all(allowed):
            raise AddressNotPublic
        tried = [str(address) for address in addresses[:MAX_ADDRESSES_TRIED]]
        share = None if timeout is None else timeout / len(tried)
        for address in tried[:-1]:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return BoundedStream(await self._inner.connect_tcp(address, port, share, local_address, socket_options))
        return BoundedStream(await self._inner.connect_tcp(tried[-1], port, share, local_address, socket_options))


class HttpWebhookClient:
    """A WebhookClient. Connections are kept open and shared, with HTTP/2 if the endpoint speaks it."""

    def __init__(
        self,
        network: httpcore2.AsyncNetworkBackend,
        *,
        allow_local: bool,
        trusted: ssl.SSLContext | None = None,
        timeout_seconds: float = RESPONSE_TIMEOUT_SECONDS,
    ) -> None:
        self._network = network
        self._allow_local = allow_local
        self._trusted = trusted
        self._timeout_seconds = timeout_seconds

    @cached_property
    def _pool(self) -> httpcore2.AsyncConnectionPool:
        # Built for the first post: reading the machine's certificates takes a tenth of a second.
        return httpcore2.AsyncConnectionPool(
            ssl_context=self._trusted or httpcore2.default_ssl_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            http2=True,
            socket_options=_socket_options(),
            network_backend=self._network,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> EndpointResponse:
        try:
            # Checked at every post: a URL that was allowed when it was entered may be forbidden now.
            url_policy.check_url(url, allow_local=self._allow_local)
            async with asyncio.timeout(self._timeout_seconds + BODY_GRACE_SECONDS):
                return await self._post(url, headers, body)
        except (Problem, AddressNotPublic):
            raise EndpointUnreachable(ADDRESS_REFUSED) from None
        except httpcore2.ConnectTimeout:
            message = f"There was no connection within {CONNECT_TIMEOUT_SECONDS:.0f} seconds."
            raise EndpointUnreachable(message) from None
        except (TimeoutError, httpcore2.TimeoutException):
            message = f"There was no answer within {self._timeout_seconds:.0f} seconds."
            raise EndpointUnreachable(message) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            raise EndpointUnreachable(_safe_message(error)) from None

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> EndpointResponse:
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        sent = {"Host": urlsplit(url).netloc, "Content-Length": str(len(body)), **headers}
        encoded = [(name.encode(), value.encode()) for name, value in sent.items()]
        # There is no read timeout: over HTTP/2 that of one post would end all others on its connection.
        timeouts = {"connect": CONNECT_TIMEOUT_SECONDS, "write": self._timeout_seconds, "pool": self._timeout_seconds}
        result = None
        try:
            streaming = self._pool.stream("POST", url, headers=encoded, content=body, extensions={"timeout": timeouts})
            async with streaming as response:
                if response.status not in STATUSES:
                    raise EndpointUnreachable(CONNECTION_LOST)
                stored = await _read_beginning(response, deadline)
                result = EndpointResponse(response.status, _read_headers(response.headers), stored)
        except Exception as error:
            # A response that was received stays one, even if closing its connection fails.
            if result is None:
                raise
            if not isinstance(error, NETWORK_ERRORS):
                report_failure("webhook.close_failed", error)
        return result

    async def close(self) -> None:
        await self._pool.aclose()


async def _read_beginning(response: httpcore2.Response, deadline: float) -> str:
    """As much of the body as is stored and arrives in time. The status was received, so no error here is a failure."""
    stored, read = b"", 0
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in response.aiter_stream():
                stored += chunk[: MAX_STORED_RESPONSE_BYTES - len(stored)]
                read += max(len(chunk), MIN_CHUNK_COST_BYTES)
                if read >= MAX_RESPONSE_BYTES:
                    break
                await asyncio.sleep(0)
    except NETWORK_ERRORS:
        pass
    except Exception as error:  # noqa: BLE001 (errors of the HTTP/2 library come through here)
        report_failure("webhook.body_not_read", error)
    return strip_unstorable(stored.decode("utf-8", "ignore"))


def _read_headers(received: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """As many headers as fit, `Retry-After` first, as it has an effect; repeated ones are joined by commas."""
    headers: dict[str, str] = {}
    room = MAX_STORED_RESPONSE_BYTES
    for name, value in sorted(received, key=lambda header: header[0].lower() != b"retry-after"):
        if len(name) + len(value) > room:
            continue
        room -= len(name) + len(value)
        key, text = strip_unstorable(name.decode("latin-1").lower()), strip_unstorable(value.decode("latin-1"))
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _safe_message(error: Exception) -> str:
    """What the endpoint's owner may read of an error. Its own text names addresses."""
    if isinstance(error, socket.gaierror):
        return ADDRESS_REFUSED
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate was not accepted: {strip_unstorable(cause.verify_message)}"
        if isinstance(cause, ssl.SSLError):
            return "The TLS handshake failed."
    if isinstance(error, httpcore2.ConnectError):
        return "No connection could be made."
    return CONNECTION_LOST


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
