"""The agents that answer. An agent reads and proposes, it never writes a note."""

from dataclasses import replace
from functools import cache

from pydantic_ai import Agent, AgentRetries, UsageLimits
from pydantic_ai.messages import AgentStreamEvent, FunctionToolCallEvent, FunctionToolResultEvent
from pydantic_ai.usage import RunUsage

from models.conversation import AgentType
from resolvers.agents import tool_results
from resolvers.agents.history import history
from resolvers.agents.prompts import instructions
from resolvers.agents.retries import attempted
from resolvers.agents.tools import TOOLS, Turn
from resolvers.core.ports.agents import ReplyRequest, ReplySink, ToolCall, Usage
from resolvers.core.ports.ai import text_listener

STEPS = 16
"""Requests to the model for one reply. Until then it may correct a call that was refused as often as it wants."""
TOOL_CALLS = 32
"""Calls of tools that one reply may have carried out."""
BOUNDS = UsageLimits(request_limit=STEPS, tool_calls_limit=TOOL_CALLS)


@cache
def agent(agent_type: AgentType | None) -> Agent[Turn, str]:
    retries = AgentRetries(tools=STEPS, output=1)
    return Agent(None, deps_type=Turn, name=agent_type or "chat", tools=TOOLS[agent_type], retries=retries)


async def answer(question: ReplyRequest, sink: ReplySink) -> None:
    """Runs the agent to the end of its answer. The teller hears each piece of text as the model sends it, the use of
    tools, and what it all took. Raises AnswerFailed where neither the model nor one in its place could answer."""
    chain = question.ctx.models.chain(question.model_id)
    await attempted(chain, lambda: sink.is_empty, lambda model_id: _ask(replace(question, model_id=model_id), sink))


async def _ask(question: ReplyRequest, sink: ReplySink) -> None:
    """One attempt. An error of the model or its provider is raised as pydantic-ai has it, UsageLimitExceeded too."""
    told = instructions(question)
    asking = agent(question.agent_type).iter(
        question.text,
        deps=Turn(question, sink),
        model=question.ctx.models.model(question.model_id),
        # Sent on every turn: pydantic-ai keeps instructions out of the history, unlike a system prompt.
        instructions=told,
        message_history=await history(question, told, {tool.name for tool in TOOLS[question.agent_type]}),
        usage_limits=BOUNDS,
        usage=(used := RunUsage()),
    )
    calls = _Calls(sink)
    listening = text_listener.set(sink.write_text)
    try:
        async with asking as run:
            async for step in run:
                if Agent.is_call_tools_node(step):
                    calls.next_step()
                    async with step.stream(run.ctx) as events:
                        async for event in events:
                            await calls.tell(event)
    finally:
        text_listener.reset(listening)
        sink.record_usage(question.model_id, Usage(used.input_tokens, used.output_tokens, used.requests))


class _Calls:
    """Tells of the calls of tools, each with an id of its own in the reply: some providers number those of every step
    from 0."""

    def __init__(self, sink: ReplySink) -> None:
        self._sink = sink
        self._step = 0
        self._told: set[str] = set()
        # The ids of this step's calls, by those that the provider gave them.
        self._ids: dict[str, str] = {}

    def next_step(self) -> None:
        self._step += 1
        self._ids = {}

    async def tell(self, event: AgentStreamEvent) -> None:
        match event:
            case FunctionToolCallEvent(part=started):
                given = tool_results.plain(started.tool_call_id)
                ident = f"{given}-{self._step}" if given in self._told else given
                self._told.add(ident)
                self._ids[started.tool_call_id] = ident
                call = ToolCall(
                    ident,
                    tool_results.name(started.tool_name),
                    tool_results.arguments(started.args_as_dict()),
                    self._step,
                )
                await self._sink.write_tool_call(call)
            case FunctionToolResultEvent(part=part):
                ident, result, summary = (
                    self._ids[part.tool_call_id],
                    tool_results.result(part),
                    tool_results.summary(part),
                )
                call = ToolCall(
                    ident, tool_results.name(part.tool_name), None, self._step, result, summary, finished=True
                )
                await self._sink.write_tool_call(call)
