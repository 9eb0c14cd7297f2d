"""The bus on NATS: wake-ups as plain messages, replies in a JetStream stream that keeps them for an hour.

Events of replies are published without waiting for an acknowledgement, apart from the last event of each: a lost delta
is still in the stored message, whereas waiting for acknowledgements would add a round trip per word.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from uuid import UUID

import nats
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NoStreamResponseError, NotFoundError

from caret.settings import SettingsError
from models.conversation import MAX_REPLY
from models.limits import limit
from resolvers.core.failures import describe
from resolvers.core.ports.bus import BusUnavailable

log = structlog.get_logger()

STREAM = "replies"
CANCELLATIONS = "cancelled_replies"
REPLY_RETENTION_SECONDS = limit(
    3600.0,
    "How long a reply's events are kept",
    area="Replies",
    beyond="subscribers receive the stored message",
    unit="seconds",
)
CONNECT_SECONDS = 5
ACKNOWLEDGEMENT_SECONDS = 5
MIN_PAYLOAD_BYTES = 6 * MAX_REPLY + 65_536
"""The largest event: the text of a whole reply as JSON, in which a character takes up to 6 bytes, and other fields."""
MAX_REPLY_BYTES = limit(
    256 * 1024 * 1024,
    "Events of all replies that the broker keeps",
    area="Replies",
    beyond="the oldest events are deleted; subscribers receive the stored message",
    unit="bytes",
)
MAX_WAITING_EVENTS = 2_000
"""Events of a reply that wait for one reader. A reader that is further behind reads them from the broker again."""


def check_payload(client: Client) -> None:
    """Raises SettingsError when the server's `max_payload` is too small: long replies would be lost on their way."""
    if client.max_payload < MIN_PAYLOAD_BYTES:
        raise SettingsError(
            f"CARET_NATS_URL: this server takes messages of at most {client.max_payload:,} bytes, a long reply needs "
            f"{MIN_PAYLOAD_BYTES:,}: set `max_payload` in its configuration to 4MB or more."
        )


@contextmanager
def outages() -> Iterator[None]:
    """Raises BusUnavailable for the errors of a server that can't be reached."""
    try:
        yield
    except (NatsError, OSError) as error:
        raise BusUnavailable(describe(error)) from error


class NatsReplySubscription:
    """One reader of a reply's events. It closes when it falls too far behind, and when the broker has restarted."""

    def __init__(self, bus: "NatsBus") -> None:
        self.retained = 0
        self._bus, self._reconnects = bus, bus.reconnects
        self._events: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False
        self.is_disconnected = False

    @property
    def is_open(self) -> bool:
        return bool(self._events) or not (self._is_closed or self._bus.reconnects != self._reconnects)

    def wake(self) -> None:
        self._arrived.set()

    async def put(self, message: Msg) -> None:
        self._is_closed = self._is_closed or len(self._events) >= MAX_WAITING_EVENTS
        if not self._is_closed:
            self._events.append(message.data)
            self.wake()

    async def next(self, timeout_seconds: float) -> bytes | None:
        if not self._events:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._arrived.wait()
        # Opened while the broker was away, it closes after one wait: the caller subscribes again.
        self._is_closed = self._is_closed or self.is_disconnected
        return self._events.popleft() if self._events else None


class NatsBus:
    """The bus of this process, over one connection. Its messages are lost while the broker is away."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stream: JetStreamContext = client.jetstream()
        self.reconnects = 0
        self._readers: set[NatsReplySubscription] = set()

    @classmethod
    async def connect(cls, url: str) -> "NatsBus":
        """Connects, and waits while no server answers: an outage ends by itself, at the start as later.

        Raises SettingsError when the server only accepts messages that are too small for a reply.
        """

        async def report(error: Exception) -> None:
            log.warning("bus.error", error=describe(error))

        async def reconnect() -> None:
            # A restarted server has lost its streams: ours must exist before the subscriptions are woken.
            try:
                check_payload(client)
            except SettingsError as error:
                # Its configuration has changed since our start. This process goes on, because most replies are short.
                log.error("bus.max_payload", error=str(error))
            try:
                await bus.prepare()
            except (NatsError, TimeoutError) as error:
                await report(error)
            bus.reconnects += 1
            for reader in bus._readers:
                reader.wake()

        client = await nats.connect(
            url,
            name="caret",
            error_cb=report,
            reconnected_cb=reconnect,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,
            connect_timeout=CONNECT_SECONDS,
        )
        bus = cls(client)
        try:
            check_payload(client)
            await bus.prepare()
        except BaseException:
            await client.close()
            raise
        return bus

    @classmethod
    async def reach(cls, url: str) -> None:
        """Returns when a server has accepted us and stores our stream. Raises nats.errors.Error or OSError soon.

        Raises SettingsError when the server only accepts messages that are too small for a reply.
        """
        errors: list[Exception] = []

        async def record(error: Exception) -> None:
            errors.append(error)

        try:
            async with asyncio.timeout(2 * CONNECT_SECONDS):
                client = await nats.connect(
                    url,
                    error_cb=record,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0.1,
                    connect_timeout=CONNECT_SECONDS,
                )
        except (NoServersError, TimeoutError) as error:
            # The reason was only reported to the callback; this error does not contain it.
            raise errors[-1] if errors else error from None
        try:
            check_payload(client)
            await cls(client).prepare()
        finally:
            await client.close()

    async def prepare(self) -> None:
        """Creates the stream of replies, or leaves it as it is."""
        await self._stream.add_stream(
            StreamConfig(
                name=STREAM,
                subjects=["reply.*"],
                storage=StorageType.MEMORY,
                retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.OLD,
                max_age=REPLY_RETENTION_SECONDS,
                max_bytes=MAX_REPLY_BYTES,
            )
        )

    @property
    def connected(self) -> bool:
        return bool(self._client.is_connected)

    async def close(self) -> None:
        await self._client.close()

    async def publish_wakeup(self, workspace_id: UUID, seq: int) -> None:
        try:
            await self._client.publish(f"events.{workspace_id}", str(seq).encode())
        except NatsError as error:
            log.warning("bus.wakeup_lost", workspace_id=str(workspace_id), error=describe(error))

    @asynccontextmanager
    async def subscribe_wakeups(self, workspace_id: UUID | None, on_wake: Callable[[int], None]) -> AsyncIterator[None]:
        """Calls `on_wake(seq)` for each wake-up of the workspace, or of all workspaces for None."""
        async with self._subscribed(f"events.{workspace_id or '*'}", lambda data: on_wake(int(data))):
            yield

    async def publish_cancellation(self, message_id: UUID) -> None:
        try:
            await self._client.publish(CANCELLATIONS, str(message_id).encode())
        except NatsError as error:
            log.warning("bus.cancellation_lost", message_id=str(message_id), error=describe(error))

    @asynccontextmanager
    async def subscribe_cancellations(self, on_cancel: Callable[[UUID], None]) -> AsyncIterator[None]:
        """Calls `on_cancel(message_id)` for each reply that any process cancels."""
        async with self._subscribed(CANCELLATIONS, lambda data: on_cancel(UUID(data.decode()))):
            yield

    @asynccontextmanager
    async def _subscribed(self, subject: str, on_message: Callable[[bytes], None]) -> AsyncIterator[None]:
        async def receive(message: Msg) -> None:
            on_message(message.data)

        with outages():
            subscription = await self._client.subscribe(subject, cb=receive)
        try:
            yield
        finally:
            with suppress(NatsError):
                await subscription.unsubscribe()

    async def publish_reply(self, message_id: UUID, event: bytes, *, last: bool) -> None:
        subject = f"reply.{message_id}"
        try:
            if not last:
                await self._client.publish(subject, event)
                return
            try:
                await self._stream.publish(subject, event, timeout=ACKNOWLEDGEMENT_SECONDS)
            except NoStreamResponseError:
                # A restarted broker has lost its streams: create ours again.
                await self.prepare()
                await self._stream.publish(subject, event, timeout=ACKNOWLEDGEMENT_SECONDS)
        except (NatsError, TimeoutError) as error:
            log.warning("bus.reply_event_lost", message_id=str(message_id), last=last, error=describe(error))

    async def last_reply_event(self, message_id: UUID) -> bytes | None:
        with outages():
            try:
                return (await self._stream.get_last_msg(STREAM, f"reply.{message_id}")).data
            except NotFoundError:
                return None

    @asynccontextmanager
    async def subscribe_reply(self, message_id: UUID) -> AsyncIterator[NatsReplySubscription]:
        """A reader of a reply's events. While the broker is away it receives nothing, and closes soon."""
        reader = NatsReplySubscription(self)
        self._readers.add(reader)
        consumer = None
        try:
            try:
                consumer = await self._consume(message_id, reader)
                info = await consumer.consumer_info()
                reader.retained = (info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)
            except (NatsError, TimeoutError) as error:
                log.warning("bus.no_subscription", message_id=str(message_id), error=describe(error))
                reader.is_disconnected = True
            yield reader
        finally:
            self._readers.discard(reader)
            if consumer is not None:
                with suppress(NatsError):
                    await consumer.unsubscribe()

    async def _consume(self, message_id: UUID, reader: NatsReplySubscription) -> JetStreamContext.PushSubscription:
        subject = f"reply.{message_id}"
        subscribe = partial(self._stream.subscribe, subject, stream=STREAM, cb=reader.put, ordered_consumer=True)
        try:
            return await subscribe()
        except NotFoundError:
            # A restarted broker has lost its streams: create ours again.
            await self.prepare()
            return await subscribe()
