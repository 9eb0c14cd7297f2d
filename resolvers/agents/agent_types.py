"""The agents, one for each AgentType and one for messages without a type. A new agent type needs an entry here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic_ai import Tool

from models.conversation import AgentType
from resolvers.agents.tools import PROPOSING_TOOL, READING_TOOLS, AgentTurn


@dataclass(frozen=True, slots=True)
class AgentDefinition:
    """`role` begins the agent's instructions."""

    role: str
    tools: Sequence[Tool[AgentTurn]]


AGENTS: Mapping[AgentType | None, AgentDefinition] = {
    None: AgentDefinition(
        role="You are the assistant of a workspace of meeting notes. Answer briefly and to the point.", tools=()
    ),
    AgentType.GENERAL: AgentDefinition(
        role="You are a writing assistant inside an editor of meeting notes and documents. You can read the open "
        "document and search the workspace with your tools; look before you claim. Count with your tools, never by "
        "yourself. When the user asks for a change of the document, propose it with your tool: the user decides about "
        "it, and you can change nothing yourself.",
        tools=(*READING_TOOLS, PROPOSING_TOOL),
    ),
    AgentType.ANALYST: AgentDefinition(
        role="You are an analyst of meeting notes and documents. Read closely, search the workspace, reason step by "
        "step, weigh what speaks for and against, and cite. Count with your tools, never by yourself. You never "
        "propose edits.",
        tools=READING_TOOLS,
    ),
}
