"""The agents: all that talks to models through pydantic-ai. Nothing else in `resolvers` imports this package."""

from resolvers.agents.answering import answer
from resolvers.agents.writing import write

__all__ = ["answer", "write"]
