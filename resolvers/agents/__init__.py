"""Agents: all code that uses models through pydantic-ai. No other room of `resolvers` imports this one."""

from resolvers.agents.chat import answer
from resolvers.agents.completion import complete

__all__ = ["answer", "complete"]
