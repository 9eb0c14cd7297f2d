"""Builds the context of a process from its settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import httpcore2

from caret.adapters.audio_storage import AudioBucket, AudioFolder
from caret.adapters.encryption import FernetVault
from caret.adapters.lazy_agents import LazyAgents
from caret.adapters.lazy_tokens import LazyTokenVerifier
from caret.adapters.nats_bus import NatsBus
from caret.adapters.postgres import create_engine
from caret.adapters.webhook_client import HostResolver, HttpWebhookClient, PublicNetworkBackend
from caret.providers import Catalogue, Embedders, EmbeddingOptions, build_transcriber
from caret.settings import Settings, SettingsError
from models import Plan
from resolvers.core.context import Context
from resolvers.core.database import Database
from resolvers.core.limits import Limits
from resolvers.core.ports.audio import Audio, AudioStore, Transcriber
from resolvers.core.ports.webhook_client import WebhookClient
from resolvers.events.feed import ProcessEventFeeds
from resolvers.replies import ProcessReplyRunner


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """The context of this process. Needs `database_url` and `nats_url`; closes everything that it has opened."""
    if settings.database_url is None or settings.nats_url is None:
        raise ValueError("database_url and nats_url must be known when a context is opened")
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.database_url, settings.hnsw_ef_search)
        stack.push_async_callback(engine.dispose)
        bus = await NatsBus.connect(settings.nats_url)
        stack.push_async_callback(bus.close)
        models = build_catalogue(settings)
        stack.push_async_callback(models.aclose)
        embedders = Embedders(
            EmbeddingOptions(settings.embedding_base_url, settings.embedding_api_key, settings.embedding_model)
        )
        stack.push_async_callback(embedders.aclose)
        tokens = LazyTokenVerifier(
            settings.signing_secret, settings.jwks_url, settings.jwt_audience, settings.jwt_issuer
        )
        stack.push_async_callback(tokens.aclose)
        transcriber = open_transcriber(settings, stack)
        webhook_client = open_webhook_client(settings, stack)
        database, limits = Database(engine), limits_of(settings)
        runner = ProcessReplyRunner(database)
        stack.push_async_callback(runner.stop, settings.shutdown_grace)
        await stack.enter_async_context(bus.subscribe_cancellations(runner.cancel))
        yield Context(
            database=database,
            bus=bus,
            embedder=embedders.current,
            embedders=embedders,
            models=models,
            agents=LazyAgents(models),
            token_verifier=tokens,
            event_feeds=ProcessEventFeeds(database, bus),
            reply_runner=runner,
            audio=Audio(audio_store(settings), transcriber, settings.public_url),
            vault=FernetVault(settings.vault_keys),
            webhook_client=webhook_client,
            limits=limits,
        )


def limits_of(settings: Settings) -> Limits:
    return Limits(
        points_per_minute={Plan(name): points for name, points in settings.rate_limits.items()},
        stall_timeout_seconds=settings.follower_patience,
        connections_per_caller=settings.connections_per_caller,
        event_retention=timedelta(days=settings.event_retention_days),
        replies_per_user=settings.replies_per_user,
        replies_per_workspace=settings.replies_per_workspace,
        tokens_per_minute=settings.tokens_per_minute,
        webhooks_allow_local=settings.webhooks_allow_local,
        chunk_size=settings.chunk_size,
        chunk_overlap=settings.chunk_overlap,
    )


def open_transcriber(settings: Settings, stack: AsyncExitStack) -> Transcriber | None:
    transcriber = build_transcriber(
        base_url=settings.transcriber_base_url,
        api_key=settings.transcriber_api_key,
        model=settings.transcriber_model,
    )
    if transcriber is not None:
        stack.push_async_callback(transcriber.aclose)
    return transcriber


def open_webhook_client(settings: Settings, stack: AsyncExitStack) -> WebhookClient:
    resolver = HostResolver()
    stack.callback(resolver.close)
    allow_local = settings.webhooks_allow_local
    network = PublicNetworkBackend(resolver, httpcore2.AnyIOBackend(), allow_local=allow_local)
    client = HttpWebhookClient(network, allow_local=allow_local)
    stack.push_async_callback(client.close)
    return client


def audio_store(settings: Settings) -> AudioStore:
    if settings.storage_url is None:
        return AudioFolder(settings.data_dir / "audio")
    if settings.storage_access_key_id is None or settings.storage_secret_access_key is None:
        raise ValueError("settings with a storage_url have its credentials too")
    return AudioBucket(
        settings.storage_url,
        endpoint=settings.storage_endpoint,
        region=settings.storage_region,
        access_key_id=settings.storage_access_key_id,
        secret_access_key=settings.storage_secret_access_key,
    )


def build_catalogue(settings: Settings) -> Catalogue:
    """Raises SettingsError when the settings contradict each other."""
    try:
        return Catalogue(
            llm_base_url=settings.llm_base_url,
            llm_api_key=settings.llm_api_key,
            llm_model=settings.llm_model,
            llm_fallbacks=settings.llm_fallbacks,
            llm_silence=settings.llm_silence,
            models_file=settings.models_file,
            openrouter_api_key=settings.openrouter_api_key,
            openai_api_key=settings.openai_api_key,
            openai_base_url=settings.openai_base_url,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None
