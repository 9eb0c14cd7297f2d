"""The bus on NATS: wake-ups as plain messages, replies in a JetStream stream that keeps them for an hour.

Replies are published without waiting for an acknowledgement, but for the last event of each: a delta that is lost
is healed by the row, an answer that waits for a round trip per word is not.
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
from resolvers.core.ports.bus import BusUnavailable

log = structlog.get_logger()

STREAM = "replies"
CANCELS = "cancelled_replies"
REPLY_AGE = 3600.0
"""Seconds for which a reply's events are kept; later followers get the stored message."""
PATIENCE = 5
"""Seconds that a server may take to let us in."""
MIN_PAYLOAD_BYTES = 6 * MAX_REPLY + 65_536
"""The largest event: the text of a whole reply as JSON, in which a character takes up to 6 bytes, and what names it."""
REPLY_BYTES = 256 * 1024 * 1024
"""Memory of the bus that replies may take; beyond it the oldest events go first."""


HELD = 2_000
"""Events of a reply that may wait for one reader; one that is further behind reads them from the bus again."""


def check_payload(client: Client) -> None:
    """Raises SettingsError where the server's `max_payload` is too small: long replies would be lost on their way."""
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
        raise BusUnavailable(str(error) or type(error).__name__) from error


class NatsReplySubscription:
    def __init__(self, bus: "NatsBus") -> None:
        self.retained = 0
        self._bus, self._life = bus, bus.reconnects
        self._events: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._cut = False
        self.deaf = False

    @property
    def is_open(self) -> bool:
        return bool(self._events) or not (self._cut or self._bus.reconnects != self._life)

    def wake(self) -> None:
        self._arrived.set()

    async def put(self, message: Msg) -> None:
        self._cut = self._cut or len(self._events) >= HELD
        if not self._cut:
            self._events.append(message.data)
            self.wake()

    async def next(self, timeout_seconds: float) -> bytes | None:
        if not self._events:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._arrived.wait()
        # A deaf one is for one wait alone: the bus may be back by then.
        self._cut = self._cut or self.deaf
        return self._events.popleft() if self._events else None


class NatsBus:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._stream: JetStreamContext = client.jetstream()
        self.reconnects = 0
        self._feeds: set[NatsReplySubscription] = set()

    @classmethod
    async def connect(cls, url: str) -> "NatsBus":
        """Waits for a server where none answers: an outage heals by itself, at the start as later.

        Raises SettingsError where the server takes only messages that are too small for a reply.
        """

        async def told(error: Exception) -> None:
            log.warning("bus.error", error=str(error) or type(error).__name__)

        async def back() -> None:
            # A restarted server has forgotten its streams: ours must be there before anybody is told of the new life.
            try:
                check_payload(client)
            except SettingsError as error:
                # Other settings than at our start: this process goes on, for most replies are short.
                log.error("bus.max_payload", error=str(error))
            try:
                await bus.prepare()
            except (NatsError, TimeoutError) as error:
                await told(error)
            bus.reconnects += 1
            for feed in bus._feeds:
                feed.wake()

        client = await nats.connect(
            url,
            name="caret",
            error_cb=told,
            reconnected_cb=back,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,
            connect_timeout=PATIENCE,
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
        """Returns once a server has let us in and keeps our stream. Raises nats.errors.Error or OSError, soon.

        Raises SettingsError where the server takes only messages that are too small for a reply.
        """
        tried: list[Exception] = []

        async def told(error: Exception) -> None:
            tried.append(error)

        try:
            async with asyncio.timeout(2 * PATIENCE):
                client = await nats.connect(
                    url,
                    error_cb=told,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0.1,
                    connect_timeout=PATIENCE,
                )
        except (NoServersError, TimeoutError) as error:
            # What went wrong with a server was only told, the error itself does not say it.
            raise tried[-1] if tried else error from None
        try:
            check_payload(client)
            await cls(client).prepare()
        finally:
            await client.close()

    async def prepare(self) -> None:
        """Makes the stream of replies, or leaves it as it is."""
        await self._stream.add_stream(
            StreamConfig(
                name=STREAM,
                subjects=["reply.*"],
                storage=StorageType.MEMORY,
                retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.OLD,
                max_age=REPLY_AGE,
                max_bytes=REPLY_BYTES,
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
            log.warning("bus.wake_lost", workspace_id=str(workspace_id), error=str(error))

    @asynccontextmanager
    async def subscribe_wakeups(self, workspace_id: UUID | None, on_wake: Callable[[int], None]) -> AsyncIterator[None]:
        """Calls `on_wake(seq)` for each wake-up of the workspace; None: of every workspace."""

        async def heard(message: Msg) -> None:
            on_wake(int(message.data))

        with outages():
            subscription = await self._client.subscribe(f"events.{workspace_id or '*'}", cb=heard)
        try:
            yield
        finally:
            with suppress(NatsError):
                await subscription.unsubscribe()

    async def publish_cancellation(self, message_id: UUID) -> None:
        try:
            await self._client.publish(CANCELS, str(message_id).encode())
        except NatsError as error:
            log.warning("bus.cancel_lost", message_id=str(message_id), error=str(error))

    @asynccontextmanager
    async def subscribe_cancellations(self, on_cancel: Callable[[UUID], None]) -> AsyncIterator[None]:
        """Calls `on_cancel(message_id)` for each reply that is cancelled, by whatever process."""

        async def heard(message: Msg) -> None:
            on_cancel(UUID(message.data.decode()))

        with outages():
            subscription = await self._client.subscribe(CANCELS, cb=heard)
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
                await self._stream.publish(subject, event, timeout=5)
            except NoStreamResponseError:
                # The bus has forgotten its streams, as a restarted one does: make ours again.
                await self.prepare()
                await self._stream.publish(subject, event, timeout=5)
        except (NatsError, TimeoutError) as error:
            log.warning("bus.reply_event_lost", message_id=str(message_id), last=last, error=str(error))

    async def last_reply_event(self, message_id: UUID) -> bytes | None:
        with outages():
            try:
                return (await self._stream.get_last_msg(STREAM, f"reply.{message_id}")).data
            except NotFoundError:
                return None

    async def _subscribe(self, message_id: UUID, feed: NatsReplySubscription) -> JetStreamContext.PushSubscription:
        subject = f"reply.{message_id}"
        listen = partial(self._stream.subscribe, subject, stream=STREAM, cb=feed.put, ordered_consumer=True)
        try:
            return await listen()
        except NotFoundError:
            # The bus has forgotten its streams, as a restarted one does: make ours again.
            await self.prepare()
            return await listen()

    @asynccontextmanager
    async def subscribe_reply(self, message_id: UUID) -> AsyncIterator[NatsReplySubscription]:
        """A reader of a reply's events. While the bus is away it hears nothing, and is soon to be replaced."""
        feed = NatsReplySubscription(self)
        subscription = None
        self._feeds.add(feed)
        try:
            try:
                subscription = await self._subscribe(message_id, feed)
                info = await subscription.consumer_info()
                feed.retained = (info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)
            except (NatsError, TimeoutError) as error:
                log.warning("bus.no_feed", message_id=str(message_id), error=str(error) or type(error).__name__)
                feed.deaf = True
            yield feed
        finally:
            self._feeds.discard(feed)
            if subscription is not None:
                with suppress(NatsError):
                    await subscription.unsubscribe()
