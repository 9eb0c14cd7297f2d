"""No way inside: none of these hostile addresses is connected to, however it is written or resolved."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import httpcore2
import pytest

from caret.adapters.webhook_client import (
    ADDRESS_REFUSED,
    MAX_UNREQUESTED_BYTES,
    READ_BYTES,
    AddressNotPublic,
    BoundedStream,
    HostResolver,
    HttpWebhookClient,
    PublicNetworkBackend,
)
from resolvers.core.errors import ErrorCode, Problem
from resolvers.core.ports.webhook_client import EndpointResponse, EndpointUnreachable
from resolvers.webhooks import url_policy
from resolvers.webhooks.url_policy import Address
from tests.support.receiver import Receiver, answer

URLS = """
http://127.0.0.1:{port}/
http://example.com/
https://127.0.0.1:{port}/
https://127.0.0.1/
https://127.1:{port}/
https://127.0.1:{port}/
https://0:{port}/
https://0.0.0.0:{port}/
https://2130706433:{port}/
https://0x7f000001:{port}/
https://0x7f.0.0.1:{port}/
https://0X7F.1:{port}/
https://017700000001:{port}/
https://0177.0.0.1:{port}/
https://00000177.0.0.1:{port}/
https://127.0.0.1.:{port}/
https://127.000.000.001:{port}/
https://[::1]:{port}/
https://[::]:{port}/
https://[0:0:0:0:0:0:0:1]:{port}/
https://[0000:0000::0001]:{port}/
https://[::ffff:127.0.0.1]:{port}/
https://[::ffff:7f00:1]:{port}/
https://[0:0:0:0:0:ffff:127.0.0.1]:{port}/
https://[::127.0.0.1]:{port}/
https://[64:ff9b::127.0.0.1]:{port}/
https://[64:ff9b::a9fe:a9fe]/
https://[64:ff9b:1::7f00:1]/
https://[2002:7f00:1::]/
https://[2002:a9fe:a9fe::1]/
https://[2001:0:7f00:1::1]/
https://[2001:db8::1]/
https://[fe80::1]:{port}/
https://[fe80::1%25lo]:{port}/
https://[fe80::1%lo]:{port}/
https://[::1%25lo]:{port}/
https://[fc00::1]/
https://[fd00:ec2::254]/latest/meta-data/
https://[fec0::1]/
https://[ff02::1]/
https://[100::1]/
https://10.0.0.1/
https://172.16.0.1/
https://172.31.255.255/
https://192.168.1.1/
https://100.64.0.1/
https://100.100.100.200/
https://168.63.129.16/
https://169.254.169.254/latest/meta-data/
https://169.254.169.253/
https://2852039166/latest/meta-data/
https://0xa9fea9fe/latest/meta-data/
https://0251.0376.0251.0376/latest/meta-data/
https://192.0.0.192/
https://192.0.2.1/
https://198.18.0.1/
https://203.0.113.1/
https://224.0.0.1/
https://239.255.255.250/
https://240.0.0.1/
https://255.255.255.255/
https://localhost:{port}/
https://LOCALHOST:{port}/
https://localhost.:{port}/
https://x.localhost:{port}/
https://ip6-localhost:{port}/
https://metadata/computeMetadata/v1/
https://metadata.google.internal/computeMetadata/v1/
https://instance-data.ec2.internal/
https://printer.local/
https://router.lan/
https://intranet/
https://user:password@127.0.0.1:{port}/
https://user@example.com/
https://example.com@127.0.0.1:{port}/
https://127.0.0.1:{port}@example.com/
https://example.com:443@127.0.0.1:{port}/
https://127.0.0.1:{port}#@example.com/
https://example.com\\@127.0.0.1:{port}/
https://127.0.0.1:{port}\\@example.com/
https://127.0.0.1:{port}\\.example.com/
https://127.0.0.1%00.example.com:{port}/
https://%31%32%37.0.0.1:{port}/
https://127.0.0.1%2f@example.com/
https://１２７.０.０.１:{port}/
https://127。0。0。1:{port}/
https://①②⑦.⓪.⓪.①:{port}/
https://ⓛocalhost:{port}/
https://locaⅼhost:{port}/
https://١٢٧.0.0.1:{port}/
https://127.0.0.1:{port} .example.com/
https:// 127.0.0.1:{port}/
https:///127.0.0.1:{port}/
https:127.0.0.1:{port}/
https:/127.0.0.1:{port}/
https://[127.0.0.1]:{port}/
https://[8.8.8.8]/
https://[::ffff:127.0.0.1:{port}/
https://127.0.0.1]:{port}/
https://example.com:0/
https://example.com:22/
https://example.com:25/
https://example.com:65536/
https://example.com:99999999999/
https://example.com:-1/
https://example.com:+443/
https://example.com:4_43/
https://example.com:０４４３/
https://example.com:0443/
https://example.com:/
https://example.com:443:{port}/
https://.example.com/
https://example..com/
https://-example.com/
https://
https://:{port}/
//127.0.0.1:{port}/
ftp://127.0.0.1:{port}/
file:///etc/passwd
gopher://127.0.0.1:{port}/_x
unix:///run/postgres
javascript:alert(1)
""".strip().splitlines()
CONTROLS = [
    "https://127.0.0.1:{port}/\n",
    "\thttps://127.0.0.1:{port}/",
    "https://127.0.0.1\r\nx: y:{port}/",
    "\x00",
    "",
]

HOSTS = [
    "127.0.0.1",
    "127.1",
    "0",
    "0.0.0.0",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "fe80::1%lo",
    "64:ff9b::127.0.0.1",
    "2002:7f00:1::",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "fd00:ec2::254",
    "fc00::1",
    "ff02::1",
    "224.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
]
"""For the second check alone, as if the first let them all pass. Read by this machine's own resolver."""

PUBLIC, ALSO_PUBLIC = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
RESOLVED = [
    ["127.0.0.1"],
    ["::1"],
    ["10.1.2.3"],
    ["169.254.169.254"],
    ["::ffff:169.254.169.254"],
    ["64:ff9b::a00:1"],
    ["fd00:ec2::254"],
    [PUBLIC, "127.0.0.1"],
    ["127.0.0.1", PUBLIC],
    [ALSO_PUBLIC, PUBLIC, "192.168.0.1"],
    ["0.0.0.0"],
    ["fe80::1%1"],
    [],
]


@dataclass
class Network(httpcore2.AsyncNetworkBackend):
    """Notes what is connected to. Only this machine is: the tests post to nobody else."""

    connected: list[str] = field(default_factory=list)
    real: httpcore2.AsyncNetworkBackend = field(default_factory=httpcore2.AnyIOBackend)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (its base's)
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.connected.append(host)
        if not ip_address(host).is_loopback:
            raise httpcore2.ConnectError
        return await self.real.connect_tcp(host, port, timeout, local_address, socket_options)


class Names:
    """A name server that answers differently each time; the last answer stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.lookups: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.lookups.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(text) for text in addresses]


@asynccontextmanager
async def outbound(
    network: httpcore2.AsyncNetworkBackend, *, allow_local: bool = False
) -> AsyncIterator[HttpWebhookClient]:
    webhook_client = HttpWebhookClient(network, allow_local=allow_local, timeout_seconds=2)
    yield webhook_client
    await webhook_client.close()


@pytest.fixture
async def trap() -> AsyncIterator[Receiver]:
    """Listens on this machine, and would notice."""
    listening = Receiver()
    await listening.start()
    yield listening
    await listening.stop()


@pytest.fixture(scope="module")
async def resolver() -> AsyncIterator[HostResolver]:
    real = HostResolver()
    yield real
    real.close()


async def post(webhook_client: HttpWebhookClient, url: str) -> EndpointResponse:
    return await webhook_client.post(url, {"Content-Type": "application/json"}, b"{}")


@pytest.mark.parametrize("template", URLS + CONTROLS)
async def test_hostile_urls(trap: Receiver, resolver: HostResolver, template: str) -> None:
    url, network = template.replace("{port}", str(trap.port)), Network()
    with pytest.raises(Problem) as caught:
        url_policy.check_url(url, allow_local=False)
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_USER_INPUT, "url")
    async with outbound(PublicNetworkBackend(resolver, network, allow_local=False)) as webhook_client:
        with pytest.raises(EndpointUnreachable, match=ADDRESS_REFUSED):
            await post(webhook_client, url)
    assert (network.connected, trap.connections) == ([], 0)


@pytest.mark.parametrize("host", HOSTS)
async def test_hosts_at_the_moment_of_the_connection(trap: Receiver, resolver: HostResolver, host: str) -> None:
    network = Network()
    with pytest.raises((AddressNotPublic, OSError)):
        await PublicNetworkBackend(resolver, network, allow_local=False).connect_tcp(host, trap.port, 5)
    assert (network.connected, trap.connections) == ([], 0)


@pytest.mark.parametrize("addresses", RESOLVED)
async def test_names_that_lead_inside(trap: Receiver, addresses: list[str]) -> None:
    network = Network()
    async with outbound(PublicNetworkBackend(Names(addresses), network, allow_local=False)) as webhook_client:
        with pytest.raises(EndpointUnreachable, match=ADDRESS_REFUSED):
            await post(webhook_client, f"https://rebound.example.com:{trap.port}/")
    assert (network.connected, trap.connections) == ([], 0)


async def test_names_that_change_between_check_and_connect(trap: Receiver) -> None:
    """The name is asked for once, and what was checked is what is connected to."""
    network, names = Network(), Names([PUBLIC, ALSO_PUBLIC], ["127.0.0.1"])
    async with outbound(PublicNetworkBackend(names, network, allow_local=False)) as webhook_client:
        with pytest.raises(EndpointUnreachable, match="No connection could be made"):
            await post(webhook_client, f"https://rebound.example.com:{trap.port}/")
        assert names.lookups == ["rebound.example.com"]
        assert network.connected == [PUBLIC, ALSO_PUBLIC]
        with pytest.raises(EndpointUnreachable, match=ADDRESS_REFUSED):
            await post(webhook_client, f"https://rebound.example.com:{trap.port}/")
    assert network.connected == [PUBLIC, ALSO_PUBLIC]
    assert trap.connections == 0


async def test_what_is_inside_and_what_is_nowhere_look_the_same(trap: Receiver) -> None:
    async def nobody(_host: str, _port: int) -> Sequence[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    texts = []
    for resolve in (nobody, Names(["10.0.0.1"])):
        async with outbound(PublicNetworkBackend(resolve, Network(), allow_local=False)) as webhook_client:
            with pytest.raises(EndpointUnreachable) as caught:
                await post(webhook_client, "https://db.corp.example.com/")
        texts.append(str(caught.value))
    assert texts == [ADDRESS_REFUSED] * 2


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
async def test_redirects(trap: Receiver, resolver: HostResolver, status: int) -> None:
    lure, network = Receiver([answer(status, location=trap.url, refresh=f"0; url={trap.url}")]), Network()
    await lure.start()
    async with outbound(PublicNetworkBackend(resolver, network, allow_local=True), allow_local=True) as webhook_client:
        assert (await post(webhook_client, lure.url)).status == status
    await lure.stop()
    assert (network.connected, trap.connections) == (["127.0.0.1"], 0)


@pytest.mark.parametrize("template", ["http://127.0.0.1:{port}/", "http://localhost:{port}/x?y=1"])
async def test_this_machine_where_it_is_allowed(trap: Receiver, resolver: HostResolver, template: str) -> None:
    """The trap does notice what reaches it."""
    async with outbound(
        PublicNetworkBackend(resolver, Network(), allow_local=True), allow_local=True
    ) as webhook_client:
        assert (await post(webhook_client, template.replace("{port}", str(trap.port)))).status == 200
    assert (trap.connections, len(trap.received)) == (1, 1)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "http://169.254.169.254/", "http://[fe80::1]/", "http://192.168.0.1:8080/"]
)
async def test_this_machine_alone_is_allowed_then(resolver: HostResolver, url: str) -> None:
    network = Network()
    async with outbound(PublicNetworkBackend(resolver, network, allow_local=True), allow_local=True) as webhook_client:
        with pytest.raises(EndpointUnreachable, match=ADDRESS_REFUSED):
            await post(webhook_client, url)
    assert network.connected == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
async def test_no_proxy_of_the_environment(
    trap: Receiver, resolver: HostResolver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    network = Network()
    async with outbound(PublicNetworkBackend(Names([PUBLIC]), network, allow_local=False)) as webhook_client:
        with pytest.raises(EndpointUnreachable):
            await post(webhook_client, "https://hooks.example.com/")
    assert (network.connected, trap.connections) == ([PUBLIC], 0)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/",
        "https://example.com/a/b?c=d&e=%20f",
        "https://EXAMPLE.com:8443/hooks",
        "https://xn--bcher-kva.example/",
        "https://under_score.example.com/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:8443/",
        "https://127.0.0.1.nip.io/",
        "https://example.com?x=user@example.com",
    ],
)
def test_what_may_be_entered(url: str) -> None:
    url_policy.check_url(url, allow_local=False)


async def test_a_resolver_that_never_answers(trap: Receiver) -> None:
    async def never(_host: str, _port: int) -> Sequence[Address]:
        return await asyncio.Future()

    with pytest.raises(httpcore2.ConnectTimeout):
        await PublicNetworkBackend(never, Network(), allow_local=False).connect_tcp("hooks.example.com", 443, 0.1)


async def test_who_asks_for_the_same_name_shares_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups, answered = [], threading.Event()

    def slow(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        lookups.append(host)
        answered.wait(30)
        return [(0, 0, 0, "", (PUBLIC, port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = HostResolver()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(resolver("hooks.example.com", 443), 0.05)
    waiting = [asyncio.create_task(resolver(name, 443)) for name in ("hooks.example.com", "HOOKS.example.com", "other")]
    await asyncio.sleep(0)
    answered.set()
    assert await asyncio.gather(*waiting) == [[ip_address(PUBLIC)]] * 3
    assert sorted(lookups) == ["hooks.example.com", "other"]
    # An answer is not kept: the next one asks again.
    await resolver("hooks.example.com", 443)
    assert lookups.count("hooks.example.com") == 2
    resolver.close()


@dataclass
class Torrent(httpcore2.AsyncNetworkStream):
    """Always has more, at once."""

    sizes: list[int] = field(default_factory=list)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 (its base's)
        self.sizes.append(max_bytes)
        return b"x" * max_bytes

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 (its base's)
        pass

    async def start_tls(self, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        return self


@pytest.mark.parametrize("tls", [False, True])
async def test_others_have_their_turn_while_much_comes(tls: bool) -> None:
    torrent, turns = Torrent(), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    stream: httpcore2.AsyncNetworkStream = BoundedStream(torrent)
    stream = await stream.start_tls(ssl.create_default_context()) if tls else stream
    turning = asyncio.create_task(other())
    for _ in range(2):
        for _ in range(MAX_UNREQUESTED_BYTES // READ_BYTES):
            await stream.read(65_536)
        # What is answered begins anew; nothing is no answer.
        await stream.write(b"x")
    for _ in range(MAX_UNREQUESTED_BYTES // READ_BYTES):
        await stream.read(65_536)
    await stream.write(b"")
    with pytest.raises(httpcore2.ReadError):
        await stream.read(65_536)
    turning.cancel()
    assert set(torrent.sizes) == {READ_BYTES}
    assert turns >= len(torrent.sizes) - 1
