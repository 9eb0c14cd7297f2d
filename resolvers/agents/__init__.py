"""The agents: all that talks to models through pydantic-ai. Nothing else in `resolvers` imports this package."""

from resolvers.agents.chat import answer
from resolvers.agents.completion import complete

__all__ = ["answer", "complete"]
