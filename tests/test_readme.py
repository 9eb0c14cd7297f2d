"""The README tells of every setting, and its limits are the ones in force."""

from pathlib import Path

from graphql import parse

from caret.adapters import webhook_client
from caret.app import MAX_BODY_BYTES
from caret.providers.catalogue import SILENCE_SECONDS as LLM_SILENCE
from caret.providers.model_list import MAX_MODELS_FILE_BYTES
from caret.providers.stream_chunks import MAX_CHUNK_BYTES
from caret.setting_types import bounds_of, documentation_of
from caret.settings import Settings
from caret.trusted_documents import MAX_FILE_BYTES
from caret.wiring import limits_of
from caret.worker import NOTES_AT_A_TIME
from models.base import MAX_TEXT
from models.conversation import MAX_CONTEXT, MAX_MESSAGE, MAX_POSITION, MAX_SUGGESTED_TEXT
from models.folder import MAX_FOLDER_DEPTH, MAX_FOLDER_NAME, MAX_FOLDERS, MAX_ICON
from models.note import MAX_PARTICIPANTS, MAX_SHARES, MAX_TAGS
from models.note_filter import MAX_FILTER_FOLDERS
from models.people import MAX_DESCRIPTION, MAX_GROUP_IDS, MAX_NAME, MAX_SCOPES
from models.recording import MAX_RECORDING_SECONDS
from models.settings import MAX_DOMAINS, MAX_ICON_URL, MAX_WORKSPACE_NAME
from models.tag import MAX_TAG_NAME, MAX_WORKSPACE_TAGS
from models.transcript import MAX_SEGMENTS, MAX_SEGMENTS_PER_APPEND
from models.webhook import MAX_URL
from resolvers.agents.chat import MAX_REQUESTS, MAX_TOOL_CALLS
from resolvers.agents.history import MAX_HISTORY_MESSAGES, MAX_HISTORY_RESULT_CHARACTERS, RESERVED_TOKENS
from resolvers.agents.retries import ATTEMPTS, MAX_PAUSE_SECONDS, MAX_RETRY_SECONDS
from resolvers.agents.tool_results import MAX_RESULT_CHARACTERS
from resolvers.agents.tools import MAX_DOCUMENT_CHARACTERS
from resolvers.conversations.suggestions import MAX_LISTED
from resolvers.core.embedding_cache import MAX_CACHED_VECTORS
from resolvers.core.idempotency import KEY_LIFETIME, MAX_KEY_CHARACTERS
from resolvers.core.limits import DELIVERIES_PER_MINUTE
from resolvers.core.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from resolvers.core.ports.webhook_client import MAX_STORED_RESPONSE_BYTES
from resolvers.events.feed import RING_EVENTS, SILENCE_SECONDS
from resolvers.nodes import MAX_NODES
from resolvers.notes.translation import BATCH_SEGMENTS
from resolvers.recordings.cleanup import UNUSED_RETENTION_HOURS
from resolvers.recordings.summarize import MAX_TRANSCRIPT_TOKENS
from resolvers.recordings.upload import MAX_AUDIO_BYTES, MAX_BYTES_PER_SECOND, METADATA_BYTES
from resolvers.recordings.upload_urls import UPLOAD_SECONDS
from resolvers.search.indexing import EMBEDDER_BATCH_SIZE
from resolvers.search.query import MAX_HITS, MAX_QUERY
from resolvers.search.query.scope import MAX_HITS_PER_NOTE
from resolvers.search.query.text import MAX_TERMS
from resolvers.webhooks import backoff
from resolvers.webhooks.endpoints import MAX_WEBHOOKS, SECRET_OVERLAP
from resolvers.webhooks.queue import MAX_POSTS_PER_ENDPOINT, MAX_POSTS_PER_WORKSPACE
from resolvers.webhooks.sender import MAX_POSTS_PER_WORKER
from resolvers.workspaces.api_keys import MAX_KEYS
from resolvers.workspaces.groups import MAX_GROUPS
from resolvers.workspaces.invites import CODE_LENGTH, LIFETIME, MAX_INVITES
from schema import schema
from schema.execution.cost import cost
from schema.execution.limits import ANONYMOUS_LIMITS, DocumentLimits
from schema.execution.persisted_documents import MAX_PERSISTED, MAX_PERSISTED_MIB
from schema.execution.request import MAX_EVENTS_IN_FLIGHT
from schema.execution.shared_results import MAX_EVENT_MIB
from schema.transports import sse_single_connection
from schema.transports.requests import ANONYMOUS_MAX_BODY_BYTES, MAX_ITEMS, MAX_PARAMETERS, MAX_QUERY_STRING_KIB
from schema.transports.websocket import INIT_TIMEOUT_SECONDS, MAX_SOCKET_OPERATIONS, PING_SECONDS
from schema.transports.websocket_messages import MAX_OPERATION_ID_CHARACTERS
from streaming.connections import MAX_UNAUTHENTICATED_SOCKETS
from streaming.response import KEEP_ALIVE_SECONDS

FOLDER = Path(__file__).parents[1] / "docs"
PAGES = ("_limits_by_hand", "live", "graphql", "rate-limits")
README = "\n".join((FOLDER / f"{page}.md").read_text() for page in PAGES)


def test_every_setting_is_in_the_table() -> None:
    assert [name for name in Settings.model_fields if f"`CARET_{name.upper()}`" not in README] == []


def test_the_limits_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    document = DocumentLimits()
    assert rows["Request body, WebSocket message"] == f"{MAX_BODY_BYTES // 2**20} MiB"
    assert rows["A GraphQL document"] == (
        f"{document.max_length:,} characters, {document.max_tokens:,} tokens, {document.max_aliases} aliases, "
        f"depth {document.max_depth}, {document.max_selections:,} selections with fragments expanded, "
        f"{document.max_repeats} fields of one name side by side"
    )
    assert rows["The same of who has not said who they are"] == f"{ANONYMOUS_MAX_BODY_BYTES // 2**10} KiB"
    assert rows["Elements of lists and fields of objects in a GraphQL request"] == f"{MAX_ITEMS:,}"
    variables = "Values and objects in the lists of an operation's variables; without a credential, and tokens then"
    assert rows[variables] == (
        f"{document.max_values:,}, {document.max_objects:,}; "
        f"{ANONYMOUS_LIMITS.max_values}, {ANONYMOUS_LIMITS.max_objects}, {ANONYMOUS_LIMITS.max_tokens}"
    )
    address = "Parameters in an address of `/graphql`: bytes; how many"
    assert rows[address] == f"{MAX_QUERY_STRING_KIB} KiB; {MAX_PARAMETERS}"
    operations = "Operations on one WebSocket at a time; wait for `connection_init`"
    assert rows[operations] == f"{MAX_SOCKET_OPERATIONS}; {INIT_TIMEOUT_SECONDS:.0f} s"
    assert rows["`first`, `last`, `limit` of a list"] == f"1 to {MAX_PAGE_SIZE}, default {DEFAULT_PAGE_SIZE}"
    assert rows["Title of a note; each of its long texts"] == f"500; {MAX_TEXT:,} characters"
    segments = "Transcript segments of a note; in one append; characters of one"
    assert rows[segments] == f"{MAX_SEGMENTS:,}; {MAX_SEGMENTS_PER_APPEND:,}; 10,000"
    assert rows["Participants of a note, attendees of an event; tags of a note"] == f"{MAX_PARTICIPANTS}; {MAX_TAGS}"
    assert rows["A message; document text sent with it"] == f"{MAX_MESSAGE:,}; {MAX_CONTEXT:,} characters"
    limits = limits_of(Settings())
    assert rows["Replies running at once: of one user, of a workspace"] == (
        f"{limits.replies_per_user}; {limits.replies_per_workspace}"
    )
    for name in ("replies_per_user", "replies_per_workspace", "tokens_per_minute"):
        assert Settings.model_fields[name].default == getattr(limits, name)
    assert rows["Tokens of a workspace's replies in 60 seconds"] == f"{limits.tokens_per_minute:,}"
    assert rows["A search query; hits"] == f"{MAX_QUERY:,} characters; 1 to {MAX_HITS}"
    hours, unused = MAX_RECORDING_SECONDS // 3600, UNUSED_RETENTION_HOURS
    assert rows["One recording; an upload address; audio without a note"] == (
        f"{hours} hours, {MAX_AUDIO_BYTES // 2**20} MiB; {UPLOAD_SECONDS // 60} minutes; {unused:.0f} hour"
    )
    bytes_per_second = "Bytes of a recording per second of its duration"
    assert rows[bytes_per_second] == f"{MAX_BYTES_PER_SECOND:,}, and {METADATA_BYTES // 2**20} MiB"
    summarised = "A transcript that is summarised; segments translated at once"
    assert rows[summarised] == f"{MAX_TRANSCRIPT_TOKENS:,} tokens; {BATCH_SEGMENTS}"


def test_the_limits_of_what_is_live_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    limits = limits_of(Settings())
    assert rows["How long events are kept"] == f"{limits.event_retention.days} days"
    assert Settings.model_fields["event_retention_days"].default == limits.event_retention.days
    connections = "Connections of one caller (WebSockets and streams) to one process"
    assert rows[connections] == f"{limits.connections_per_caller}"
    assert Settings.model_fields["connections_per_caller"].default == limits.connections_per_caller
    turns = "Events of the log that one connection renders and sends at a time; the result for one"
    assert rows[turns] == f"{MAX_EVENTS_IN_FLIGHT}; {MAX_EVENT_MIB} MiB"
    assert rows["WebSockets of one process that have not said who they are"] == f"{MAX_UNAUTHENTICATED_SOCKETS:,}"
    pings = "Between two pings on a WebSocket; events that a process keeps for those who keep up; characters of an"
    assert rows[f"{pings} operation's id"] == f"{PING_SECONDS:.0f} s; {RING_EVENTS:,}; {MAX_OPERATION_ID_CHARACTERS:,}"
    assert f"without an event within {SILENCE_SECONDS:.0f} seconds" in README


def test_the_limits_of_posts_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    rates = ", ".join(f"{number} {plan.value}" for plan, number in DELIVERIES_PER_MINUTE.items())
    assert rows["Webhooks posted for a workspace in 60 seconds"] == rates
    posts = "Posts at once: to one endpoint, of one workspace, of one worker; time for one; for its connection"
    times = f"{webhook_client.RESPONSE_TIMEOUT_SECONDS:.0f} s; {webhook_client.CONNECT_TIMEOUT_SECONDS:.0f} s"
    assert rows[posts] == f"{MAX_POSTS_PER_ENDPOINT}; {MAX_POSTS_PER_WORKSPACE}; {MAX_POSTS_PER_WORKER}; {times}"
    ends = "Attempts at a delivery; a wait that `Retry-After` asks for; failures in a row; how long what is due"
    assert rows[f"{ends} waits for an endpoint that is off"] == (
        f"{backoff.MAX_ATTEMPTS}; {backoff.MAX_RETRY_AFTER.days * 24} hours; {backoff.DISABLE_AFTER.days} days; "
        f"{backoff.MAX_PAUSE.days} day"
    )
    read = "How much of an answer is read; sent by an endpoint since it was last sent anything; time until it"
    sizes = f"{webhook_client.MAX_RESPONSE_BYTES // 2**10} KiB; {webhook_client.MAX_UNREQUESTED_BYTES // 2**10} KiB"
    assert (
        rows[f"{read} acknowledges what it is sent"] == f"{sizes}; {webhook_client.ACKNOWLEDGE_TIMEOUT_SECONDS:.0f} s"
    )
    kept = "An answer's body, and its headers, as they are kept; how long a delivery that is over is"
    assert rows[kept] == f"{MAX_STORED_RESPONSE_BYTES // 2**10} KiB each; {backoff.RETENTION.days} days"


def test_the_limits_of_protocols_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    streams = (
        "Event streams of one caller in the single connection mode, of a process; operations on one; time to open it"
    )
    assert rows[streams] == (
        f"{sse_single_connection.MAX_RESERVATIONS_PER_CALLER}, {sse_single_connection.MAX_RESERVATIONS:,}; "
        f"{sse_single_connection.MAX_STREAM_OPERATIONS}; "
        f"{sse_single_connection.RESERVATION_SECONDS:.0f} s"
    )
    kept = "Automatic persisted queries that a process keeps; the file of trusted documents"
    assert rows[kept] == f"{MAX_PERSISTED:,}, {MAX_PERSISTED_MIB} MiB; {MAX_FILE_BYTES // 2**20} MiB"
    assert f"repeated every {KEEP_ALIVE_SECONDS:.0f} seconds" in README


def test_the_limits_of_people_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    lists = "Groups, open invites, live API keys of a workspace"
    assert rows[lists] == f"{MAX_GROUPS:,}; {MAX_INVITES:,}; {MAX_KEYS}"
    texts = "Name of a group or of a key; description of a group"
    assert rows[texts] == f"{MAX_NAME}; {MAX_DESCRIPTION:,} characters"
    several = "Groups of a member or of an invite; scopes of a key; ids in `nodes`"
    assert rows[several] == f"{MAX_GROUP_IDS}; {MAX_SCOPES}; {MAX_NODES}"
    assert rows["How long an invite is open; characters of its code"] == f"{LIFETIME.days} days; {CODE_LENGTH}"


def test_the_limits_of_a_workspace_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    things = "Tags, folders of a workspace; folders within each other; in one filter"
    assert rows[things] == f"{MAX_WORKSPACE_TAGS:,}; {MAX_FOLDERS:,}; {MAX_FOLDER_DEPTH}; {MAX_FILTER_FOLDERS}"
    names = "Name of a tag; of a folder; a folder's icon"
    assert rows[names] == f"{MAX_TAG_NAME}; {MAX_FOLDER_NAME}; {MAX_ICON} characters"
    workspace = "Name of a workspace; address of its icon; its email domains"
    assert rows[workspace] == f"{MAX_WORKSPACE_NAME}; {MAX_ICON_URL:,} characters; {MAX_DOMAINS}"
    assert rows["People a note is shared with directly"] == f"{MAX_SHARES}"


def test_the_limits_of_models_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    tries = "Attempts of one model; the longest pause between two; how long after the first"
    assert rows[tries] == f"{ATTEMPTS}; {MAX_PAUSE_SECONDS:.0f} s; {MAX_RETRY_SECONDS:.0f} s"
    sizes = "`CARET_MODELS_FILE`; one chunk of a model's answer"
    assert rows[sizes] == f"{MAX_MODELS_FILE_BYTES // 2**20} MiB; {MAX_CHUNK_BYTES // 2**20} MiB"
    assert rows["`CARET_LLM_SILENCE`"] == f"`{LLM_SILENCE:.0f}`"


def test_the_limits_of_agents_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    assert rows["Requests to the model for one reply; calls of tools"] == f"{MAX_REQUESTS}; {MAX_TOOL_CALLS}"
    texts = "A document that a tool shows or replaces; a tool's result as it is kept; as later turns get it"
    assert (
        rows[texts]
        == f"{MAX_DOCUMENT_CHARACTERS:,}; {MAX_RESULT_CHARACTERS:,}; {MAX_HISTORY_RESULT_CHARACTERS:,} characters"
    )
    history = "Earlier messages a model gets back; its tokens that are kept for the answer"
    assert rows[history] == f"the newest {MAX_HISTORY_MESSAGES}; {RESERVED_TOKENS:,}, at most half"


def test_the_limits_of_searches_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    assert (
        rows["Different words of a query that are looked for; chunks of one note on a page"]
        == f"{MAX_TERMS}; {MAX_HITS_PER_NOTE}"
    )
    assert rows["`CARET_HNSW_EF_SEARCH`"] == f"`{Settings().hnsw_ef_search}`"


def test_the_limits_of_suggestions_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    said = "A suggested text, and the original it replaces; a position in a document"
    assert rows[said] == f"{MAX_SUGGESTED_TEXT:,} characters; 0 to {MAX_POSITION:,}"
    listed = "Open suggestions of a conversation; those listed of it, or of a message"
    assert rows[listed] == f"1; the newest {MAX_LISTED}"


def test_the_rate_limits_are_the_ones_in_force() -> None:
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in README.splitlines() if row.startswith("| ")]
    told = {row[0]: row[1] for row in rows}
    points = limits_of(Settings()).points_per_minute
    assert {plan: int(told[plan.value]) for plan in points} == points
    limits = ", ".join(str(allowed) for allowed in points.values())
    assert told["Points of one caller in 60 seconds: free, pro, enterprise plan"] == limits
    assert told["`CARET_RATE_LIMITS`"] == documentation_of(Settings.model_fields["rate_limits"]).default_text
    once = told["An idempotency key; how long it stands for what it made"]
    assert once == f"1 to {MAX_KEY_CHARACTERS} characters; {KEY_LIFETIME.total_seconds() / 3600:.0f} hours"
    priced = {row[0].strip("`"): int(row[1]) for row in rows if row[0].startswith("`{")}
    assert len(priced) == 2
    assert {text: cost(schema._schema, parse(text)) for text in priced} == priced


def test_the_limits_of_webhooks_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    endpoints = "Endpoints of webhooks of a workspace, Zapier's among them; address of one"
    assert rows[endpoints] == f"{MAX_WEBHOOKS}; {MAX_URL:,} characters"
    assert rows["How long a secret signs after its rotation"] == f"{SECRET_OVERLAP.total_seconds() / 3600:.0f} hours"


def test_the_limits_of_indexing_are_the_ones_in_force() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in README.splitlines() if row.startswith("| ")}
    embedding = "Texts in one call of the embedder; vectors kept for the next attempt; notes a worker indexes at once"
    assert rows[embedding] == f"{EMBEDDER_BATCH_SIZE}; {MAX_CACHED_VECTORS:,}; {NOTES_AT_A_TIME}"
    limits, sizes = limits_of(Settings()), Settings.model_fields
    assert rows["`CARET_CHUNK_SIZE`, `CARET_CHUNK_OVERLAP`"] == f"`{limits.chunk_size}`, `{limits.chunk_overlap}`"
    assert (sizes["chunk_size"].default, sizes["chunk_overlap"].default) == (limits.chunk_size, limits.chunk_overlap)
    assert "Characters of a chunk, {:,} to {:,},".format(*bounds_of(sizes["chunk_size"])) in README
