"""What is posted is verified by others: by standardwebhooks, by the rule of the npm client, and by our examples."""

import asyncio
import hashlib
import hmac
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpcore2
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from caret.adapters.webhook_client import HttpWebhookClient, PublicNetworkBackend
from models.webhook import DeliveryStatus
from resolvers.core.context import Context
from resolvers.webhooks.url_policy import Address
from tests.support.receiver import Received, Receiver
from tests.support.servers import ROOT
from tests.webhooks.helpers import Clock, change, deliver, hook, new_secret, row, work


def verified(post: Received, secret: str) -> bool:
    try:
        Verifier(secret).verify(post.body, post.headers)
    except WebhookVerificationError:
        return False
    return True


def verified_by_client(post: Received, secret: str) -> bool:
    """As the npm client does: hex, of the secret as it is written."""
    expected = hmac.new(secret.encode(), post.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, post.headers["x-caret-signature"])


async def test_both_signatures(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    to = await hook(ctx, receiver.url)
    [ident] = await deliver(ctx, to)
    await work(ctx)
    [post] = receiver.received
    assert (verified(post, to.secret), verified(post, new_secret())) == (True, False)
    assert (verified_by_client(post, to.secret), verified_by_client(post, new_secret())) == (True, False)
    assert (post.headers["webhook-id"], post.json["eventId"]) == (str(ident), str(ident))
    assert post.headers["webhook-timestamp"] == str(int(clock.now.timestamp()))
    changed = replace(post, body=post.body.replace(b"0", b"1"))
    assert not verified(changed, to.secret)
    assert not verified_by_client(changed, to.secret)


async def test_each_attempt_is_signed_anew(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    """The same id and body, at its own time: a receiver may refuse what is older than some minutes."""
    await receiver.stop()
    to = await hook(ctx, receiver.url)
    clock.forward(days=-1)
    await deliver(ctx, to)
    await work(ctx)
    await receiver.start()
    clock.forward(days=1)
    await work(ctx)
    [post] = receiver.received
    assert verified(post, to.secret)


async def test_while_a_secret_is_replaced(ctx: Context, clock: Clock, receiver: Receiver) -> None:
    to, new = await hook(ctx, receiver.url), new_secret()
    until = clock.now + timedelta(hours=24)
    await change(
        ctx, to, secret=ctx.vault.encrypt(new), previous_secret=ctx.vault.encrypt(to.secret), previous_until=until
    )
    await deliver(ctx, to)
    await work(ctx)
    [post] = receiver.received
    assert (verified(post, new), verified(post, to.secret)) == (True, True)
    assert (verified_by_client(post, new), verified_by_client(post, to.secret)) == (True, False)
    first, second = post.headers["webhook-signature"].split(" ")
    assert first != second
    await change(ctx, to, previous_until=clock.now)
    await deliver(ctx, to)
    await work(ctx)
    after = receiver.received[1]
    assert (verified(after, new), verified(after, to.secret)) == (True, False)
    assert " " not in after.headers["webhook-signature"]


EXAMPLES = {"python": (sys.executable, "webhook_receiver.py"), "node": (shutil.which("node"), "webhook_receiver.mjs")}


@dataclass
class Example:
    process: subprocess.Popen[str]
    url: str

    def printed(self) -> str:
        """All that it has said beside its address."""
        self.process.terminate()
        return self.process.communicate(timeout=10)[0]


@contextmanager
def example(language: str, *secrets: str) -> Iterator[Example]:
    program, name = EXAMPLES[language]
    if program is None:
        pytest.skip(f"there is no {language} on this machine")
    environment = {**os.environ, "CARET_WEBHOOK_SECRET": ",".join(secrets)}
    command = [program, str(ROOT / "examples" / name), "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Example(process, process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("language", list(EXAMPLES))
async def test_the_examples(ctx: Context, clock: Clock, language: str) -> None:
    old, new = new_secret(), new_secret()
    clock.now = datetime.now(UTC)
    with example(language, old, new) as running:
        to = await hook(ctx, running.url)
        await change(ctx, to, secret=ctx.vault.encrypt(new))
        [ident] = await deliver(ctx, to)
        await work(ctx)
        first = await row(ctx, ident)
        assert (first.status, first.response_status, first.error) == (DeliveryStatus.DELIVERED, 200, None)
        # Another's, one that comes again, and what was changed on its way.
        stranger = await hook(ctx, running.url)
        [other] = await deliver(ctx, stranger)
        await work(ctx)
        assert (await row(ctx, other)).error == "The endpoint answered 401."
        async with httpx.AsyncClient() as client:
            headers = first.request_headers
            assert (await client.post(running.url, headers=headers, content=first.body)).status_code == 200
            for wrong in (
                {"content": first.body + b" ", "headers": headers},
                {"content": first.body, "headers": {**headers, "webhook-id": "another"}},
                {"content": first.body, "headers": {**headers, "webhook-timestamp": "1"}},
                {"content": first.body, "headers": {**headers, "webhook-timestamp": "soon"}},
                {"content": first.body, "headers": {**headers, "X-Caret-Signature": "0" * 64}},
                {"content": first.body, "headers": {**headers, "webhook-signature": "v1,AAAA"}},
                {"content": b"{}", "headers": {}},
            ):
                assert (await client.post(running.url, **wrong)).status_code == 401, wrong
        assert running.printed() == f"note.updated {ident}\n"


@pytest.mark.parametrize("language", list(EXAMPLES))
async def test_the_examples_while_a_secret_is_replaced(ctx: Context, clock: Clock, language: str) -> None:
    """Who knows only the old secret is told as well; but only while it signs."""
    old, new = new_secret(), new_secret()
    clock.now = datetime.now(UTC)
    with example(language, old) as running:
        to = await hook(ctx, running.url)
        until = clock.now + timedelta(hours=24)
        await change(
            ctx, to, secret=ctx.vault.encrypt(new), previous_secret=ctx.vault.encrypt(old), previous_until=until
        )
        [ident] = await deliver(ctx, to)
        await work(ctx)
        assert (await row(ctx, ident)).response_status == 200
        await change(ctx, to, previous_until=clock.now)
        [late] = await deliver(ctx, to)
        await work(ctx)
        assert (await row(ctx, late)).response_status == 401


@pytest.mark.parametrize("language", list(EXAMPLES))
async def test_the_examples_survive_what_is_aborted(ctx: Context, clock: Clock, language: str) -> None:
    secret = new_secret()
    clock.now = datetime.now(UTC)
    with example(language, secret) as running:
        port = int(running.url.rpartition(":")[2].strip("/"))
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
            await writer.drain()
            writer.transport.abort()
        to = await hook(ctx, running.url)
        await change(ctx, to, secret=ctx.vault.encrypt(secret))
        for _ in range(2):
            [ident] = await deliver(ctx, to)
            await work(ctx)
            assert (await row(ctx, ident)).response_status == 200


@dataclass(frozen=True)
class Trust:
    """A certificate for hooks.example.com, and who trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    folder: Path = tmp_path_factory.mktemp("certificate")
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example.com")]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate").write_bytes(certificate.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key").write_bytes(secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "certificate", folder / "key")
    return Trust(server, ssl.create_default_context(cafile=folder / "certificate"))


@asynccontextmanager
async def posting(ctx: Context, trusted: ssl.SSLContext | None) -> AsyncIterator[Context]:
    """A context for which every name is this machine."""

    async def here(_host: str, _port: int) -> Sequence[Address]:
        return [ip_address("127.0.0.1")]

    network = PublicNetworkBackend(here, httpcore2.AnyIOBackend(), allow_local=True)
    webhook_client = HttpWebhookClient(network, allow_local=True, trusted=trusted, timeout_seconds=5)
    yield replace(ctx, webhook_client=webhook_client)
    await webhook_client.close()


@pytest.mark.parametrize(
    ("host", "known", "error"),
    [
        ("hooks.example.com", True, None),
        ("other.example.com", True, "The certificate was not accepted: Hostname mismatch"),
        ("127.0.0.1", True, "The certificate was not accepted: IP address mismatch"),
        ("hooks.example.com", False, "The certificate was not accepted: self-signed certificate"),
    ],
)
async def test_tls_is_by_the_name(ctx: Context, trust: Trust, host: str, known: bool, error: str | None) -> None:
    """The connection goes to an address that was checked; the certificate must be that of the name."""
    receiver = Receiver(trusted=trust.server)
    await receiver.start()
    async with posting(ctx, trust.client if known else None) as here:
        [ident] = await deliver(here, await hook(here, f"https://{host}:{receiver.port}/hooks"))
        await work(here)
    got = await row(ctx, ident)
    if error is None:
        assert (got.status, got.error) == (DeliveryStatus.DELIVERED, None)
        assert receiver.received[0].headers["host"] == f"{host}:{receiver.port}"
    else:
        assert got.error.startswith(error)
        assert receiver.received == []
    await receiver.stop()
