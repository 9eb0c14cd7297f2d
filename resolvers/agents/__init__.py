"""Agents: all code that uses models through pydantic-ai. No other package of `resolvers` imports this one."""

from resolvers.agents.chat import answer
from resolvers.agents.completion import complete

__all__ = ["answer", "complete"]
