"""The models of gateways and the connections to these. Its imports take seconds: the catalogue loads it when needed."""

import openai
from pydantic import SecretStr
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.providers.openrouter import OpenRouterProvider

from caret.providers.model_list import COMPATIBLE, OPENAI, OPENROUTER
from caret.providers.openai_client import create_client
from caret.providers.streaming_client import StreamingClient


def create_streaming_client(base_url: str, api_key: SecretStr | None, silence: float) -> StreamingClient:
    """A client that fails after `silence` seconds without a byte. It does not retry: its callers do."""
    return create_client(
        openai,
        StreamingClient,
        base_url,
        api_key,
        read_seconds=silence,
        max_retries=0,
        # A third of the CPU that the default transport takes for each chunk of a stream.
        http_client=openai.DefaultAioHttpClient(),
    )


def create_model(model_id: str, gateway: str, client: StreamingClient) -> Model:
    if gateway == OPENAI:
        # Since GPT-5.4, OpenAI's Chat Completions refuse tools for a model that reasons; Responses take both.
        # Notes are private: nothing is stored there.
        settings = OpenAIResponsesModelSettings(openai_store=False)
        return OpenAIResponsesModel(model_id, provider=OpenAIProvider(openai_client=client), settings=settings)
    if gateway == OPENROUTER:
        return OpenAIChatModel(model_id, provider=OpenRouterProvider(openai_client=client))
    # Many compatible servers know only the older of the two names of the limit.
    profile = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)
    provider = OpenAICompatibleProvider(COMPATIBLE, openai_client=client, profile=profile)
    return OpenAIChatModel(model_id, provider=provider)
