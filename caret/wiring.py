"""Puts the parts of the house together: settings -> Context."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import httpcore2
import httpx

from caret.adapters.access_tokens import Jwks, JwtVerifier
from caret.adapters.audio_storage import AudioBucket, AudioFolder
from caret.adapters.encryption import FernetVault
from caret.adapters.lazy_agents import LazyAgents
from caret.adapters.nats_bus import NatsBus
from caret.adapters.postgres import engine
from caret.adapters.webhook_client import HostResolver, HttpWebhookClient, PublicNetworkBackend
from caret.providers import Catalogue, Embedders, EmbeddingOptions, build_transcriber
from caret.settings import Settings, SettingsError
from models import Plan
from resolvers.core.context import Context
from resolvers.core.database import Database
from resolvers.core.limits import Limits
from resolvers.core.ports.audio import Audio, AudioStore
from resolvers.events.feed import ProcessEventFeeds
from resolvers.replies import ProcessReplyRunner


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Context]:
    """The context of this process. Needs `database_url` and `nats_url`; closes all that it opened."""
    if settings.database_url is None or settings.nats_url is None:
        raise ValueError("the addresses of Postgres and NATS must be known by now")
    async with AsyncExitStack() as stack:
        postgres = engine(settings.database_url, settings.hnsw_ef_search)
        stack.push_async_callback(postgres.dispose)
        bus = await NatsBus.connect(settings.nats_url)
        stack.push_async_callback(bus.close)
        offered = models(settings)
        stack.push_async_callback(offered.aclose)
        embedders = Embedders(
            EmbeddingOptions(settings.embedding_base_url, settings.embedding_api_key, settings.embedding_model)
        )
        stack.push_async_callback(embedders.aclose)
        transcriber = build_transcriber(
            base_url=settings.transcriber_base_url,
            api_key=settings.transcriber_api_key,
            model=settings.transcriber_model,
        )
        if transcriber is not None:
            stack.push_async_callback(transcriber.aclose)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=10, follow_redirects=False))
        resolver = HostResolver()
        stack.callback(resolver.close)
        allow_local = settings.webhooks_allow_local
        network = PublicNetworkBackend(resolver, httpcore2.AnyIOBackend(), allow_local=allow_local)
        outbound = HttpWebhookClient(network, allow_local=allow_local)
        stack.push_async_callback(outbound.close)
        database, limits = Database(postgres), limits_of(settings)
        runner = ProcessReplyRunner(database)
        stack.push_async_callback(runner.stop, settings.shutdown_grace)
        await stack.enter_async_context(bus.subscribe_cancellations(runner.cancel))
        yield Context(
            database=database,
            bus=bus,
            embedder=embedders.current,
            embedders=embedders,
            models=offered,
            agents=LazyAgents(offered),
            token_verifier=verifier(settings, http),
            event_feeds=ProcessEventFeeds(database, bus),
            reply_runner=runner,
            audio=Audio(storage(settings), transcriber, settings.public_url),
            vault=FernetVault(settings.vault_keys),
            webhook_client=outbound,
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


def storage(settings: Settings) -> AudioStore:
    if settings.storage_url is None:
        return AudioFolder(settings.data_dir / "audio")
    if settings.storage_access_key_id is None or settings.storage_secret_access_key is None:
        raise ValueError("the settings are complete by now")
    return AudioBucket(
        settings.storage_url,
        endpoint=settings.storage_endpoint,
        region=settings.storage_region,
        access_key_id=settings.storage_access_key_id,
        secret_access_key=settings.storage_secret_access_key,
    )


def models(settings: Settings) -> Catalogue:
    """Raises SettingsError where the settings contradict each other."""
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


def verifier(settings: Settings, http: httpx.AsyncClient) -> JwtVerifier:
    return JwtVerifier(
        secret=settings.signing_secret,
        jwks=Jwks(settings.jwks_url, http) if settings.jwks_url else None,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
    )
