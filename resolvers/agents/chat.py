"""The agents that answer messages. An agent reads and proposes; it never writes a note."""

from dataclasses import replace
from functools import cache

from pydantic_ai import Agent, AgentRetries, UsageLimits
from pydantic_ai.messages import AgentStreamEvent, FunctionToolCallEvent, FunctionToolResultEvent, ToolCallPart
from pydantic_ai.usage import RunUsage

from models.conversation import AgentType
from models.limits import limit
from resolvers.agents import tool_results
from resolvers.agents.agent_types import AGENTS
from resolvers.agents.history import read_history
from resolvers.agents.prompts import build_instructions
from resolvers.agents.retries import try_models
from resolvers.agents.tools import AgentTurn
from resolvers.core.ports.agents import ReplyRequest, ReplySink, ToolCall, Usage
from resolvers.core.ports.ai import text_listener

MAX_REQUESTS = limit(16, "Requests to the model for one reply", area="Agents", beyond="the reply fails")
"""Within them, the model may correct a refused tool call as often as it wants."""
MAX_TOOL_CALLS = limit(32, "Tool calls of one reply", area="Agents", beyond="the reply fails")
USAGE_LIMITS = UsageLimits(request_limit=MAX_REQUESTS, tool_calls_limit=MAX_TOOL_CALLS)


@cache
def agent_of(agent_type: AgentType | None) -> Agent[AgentTurn, str]:
    retries = AgentRetries(tools=MAX_REQUESTS, output=1)
    tools = AGENTS[agent_type].tools
    return Agent(None, deps_type=AgentTurn, name=agent_type or "chat", tools=tools, retries=retries)


async def answer(request: ReplyRequest, sink: ReplySink) -> None:
    """Runs the agent to the end of its answer.

    The sink gets each piece of text as the model sends it, the tool calls and the usage. Raises AgentFailed if neither
    the model nor one of its fallbacks answers.
    """
    models = request.ctx.models.chain(request.model_id)
    await try_models(models, lambda: sink.is_empty, lambda model_id: _run(replace(request, model_id=model_id), sink))


async def _run(request: ReplyRequest, sink: ReplySink) -> None:
    """Makes one attempt. Raises the errors of pydantic-ai: a failure of the model, or UsageLimitExceeded."""
    definition = AGENTS[request.agent_type]
    instructions = build_instructions(definition.role, request)
    agent_run = agent_of(request.agent_type).iter(
        request.text,
        deps=AgentTurn(request, sink),
        model=request.ctx.models.model(request.model_id),
        # Sent on every turn: pydantic-ai keeps instructions out of the history, unlike a system prompt.
        instructions=instructions,
        message_history=await read_history(request, instructions, {tool.name for tool in definition.tools}),
        usage_limits=USAGE_LIMITS,
        usage=(used := RunUsage()),
    )
    calls = _ToolCallWriter(sink)
    token = text_listener.set(sink.write_text)
    try:
        async with agent_run as run:
            async for step in run:
                if Agent.is_call_tools_node(step):
                    calls.begin_step()
                    async with step.stream(run.ctx) as events:
                        async for event in events:
                            await calls.write(event)
    finally:
        text_listener.reset(token)
        sink.record_usage(request.model_id, Usage(used.input_tokens, used.output_tokens, used.requests))


class _ToolCallWriter:
    """Writes tool calls to the sink. Each gets an id that is unique in its reply, because some providers number the
    calls of every step from 0."""

    def __init__(self, sink: ReplySink) -> None:
        self._sink = sink
        self._step = 0
        self._used_ids: set[str] = set()
        # The ids of this step's calls, by the provider's ids.
        self._ids: dict[str, str] = {}

    def begin_step(self) -> None:
        self._step += 1
        self._ids = {}

    async def write(self, event: AgentStreamEvent) -> None:
        match event:
            case FunctionToolCallEvent(part=part):
                name, arguments = tool_results.clean_name(part.tool_name), tool_results.arguments(part.args_as_dict())
                await self._sink.write_tool_call(ToolCall(self._new_id(part), name, arguments, self._step))
            case FunctionToolResultEvent(part=part):
                call = ToolCall(
                    self._ids[part.tool_call_id],
                    tool_results.clean_name(part.tool_name),
                    None,
                    self._step,
                    tool_results.result(part),
                    tool_results.summary(part),
                    finished=True,
                )
                await self._sink.write_tool_call(call)

    def _new_id(self, part: ToolCallPart) -> str:
        provider_id = str(tool_results.to_json(part.tool_call_id))
        call_id = f"{provider_id}-{self._step}" if provider_id in self._used_ids else provider_id
        self._used_ids.add(call_id)
        self._ids[part.tool_call_id] = call_id
        return call_id
