"""Each limit at its edge, on both transports, and what a refusal leaves untouched."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import strawberry
from graphql import GraphQLError, get_introspection_query, get_operation_ast, parse, validate
from strawberry.schema import schema as strawberry_schema

from schema import schema as real_schema
from schema.execution.documents import Documents
from schema.execution.limits import (
    ANONYMOUS_LIMITS,
    DocumentLimits,
    check_document,
    check_source,
    check_variables,
)
from schema.execution.masking import MaskedSchema
from schema.execution.validation import MAX_SUGGESTION_CHARACTERS, MAX_VALIDATION_ERRORS
from tests.conftest import Tenant

LIMITS = DocumentLimits(
    max_length=400,
    max_tokens=60,
    max_depth=3,
    max_aliases=4,
    max_selections=10,
    max_repeats=3,
    max_values=5,
    max_objects=3,
)


@strawberry.type
class Node:
    @strawberry.field
    def a(self) -> int:
        return 1

    @strawberry.field
    def n(self, x: list[int] | None = None) -> "Node":
        return Node()


@strawberry.type
class Query(Node):
    pass


@strawberry.type
class Mutation:
    @strawberry.mutation
    def m(self) -> Node:
        return Node()


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def s(self) -> AsyncIterator[Node]:
        yield Node()


def build(documents: Documents) -> MaskedSchema:
    return MaskedSchema(Query, Mutation, Subscription, extensions=[documents.extension])


@pytest.fixture(scope="module")
def documents() -> Documents:
    return Documents(LIMITS)


@pytest.fixture(scope="module")
def client(serve: Any, documents: Documents) -> Iterator[Any]:
    with serve(build(documents)) as client:
        yield client


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the costly steps, as they are taken."""
    calls: list[str] = []
    for name in ("parse", "validate_document"):
        step = getattr(strawberry_schema, name)

        def counted(*args: Any, name: str = name, step: Any = step, **kwargs: Any) -> Any:
            calls.append(name)
            return step(*args, **kwargs)

        monkeypatch.setattr(strawberry_schema, name, counted)
    return calls


def deep(depth: int) -> str:
    return "{n" * (depth - 1) + "{a}" + "}" * (depth - 1)


def through_fragments(depth: int) -> str:
    links = [f"fragment f{i} on Node{{n{{...f{i + 1}}}}}" for i in range(depth - 1)]
    return "{...f0}" + "".join(links) + f"fragment f{depth - 1} on Node{{a}}"


def bomb(fragments: int) -> str:
    links = [f"fragment f{i} on Node{{n{{...f{i + 1}...f{i + 1}}}}}" for i in range(fragments)]
    return "{...f0}" + "".join(links) + f"fragment f{fragments} on Node{{a}}"


SOURCES: dict[str, tuple[Callable[[int], str], int]] = {
    "characters": ("{a}".ljust, 400),
    "tokens": (lambda n: "{n(x:[" + "1 " * (n - 12) + "]){a}}", 60),
    "tokens as comments": (lambda n: "{a}" + "#\n" * (n - 3), 60),
    "levels of braces": (lambda n: "{n(x:" + "[" * (n - 1) + "]" * (n - 1) + "){a}}", 6),
    "aliases": (lambda n: "{" + "".join(f"a{i}:a " for i in range(n)) + "}", 4),
}
DOCUMENTS: dict[str, tuple[Callable[[int], str], int]] = {
    "levels of fields": (deep, 3),
    "levels of fields in fragments": (through_fragments, 3),
    "levels of fields in inline fragments": (lambda n: deep(n).replace("{a}", "{...on Node{a}}"), 3),
    "selections": (lambda n: "{" + " ".join(f"a{i}" for i in range(n)) + "}", 10),
    "selections in fragments": (lambda n: "{" + "...f " * (n // 2) + "a " * (n % 2) + "}fragment f on Query{a}", 10),
    "fields with the same response name": (lambda n: "{n{" + "a " * n + "b:a}}", 3),
    "fields with the same response name in inline fragments": (
        lambda n: "{" + "...{a} " * (n - 1) + "b a:n{a}}",
        3,
    ),
    "fields with the same response name in fragments": (
        lambda n: "{n{...f ...g}}fragment f on Node{a}fragment g on Node{...f " + "a " * (n - 1) + "}",
        3,
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_passes_at_its_limit_and_fails_above(name: str) -> None:
    make, limit = SOURCES[name]
    check_source(make(limit), LIMITS)
    noun = name.removesuffix(" as comments")
    with pytest.raises(GraphQLError, match=f"has {limit + 1} {noun}, the limit is {limit}") as refused:
        check_source(make(limit + 1), LIMITS)
    assert refused.value.extensions == {"code": "QUERY_TOO_COMPLEX", "status": 400}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_passes_at_its_limit_and_fails_above(name: str) -> None:
    make, limit = DOCUMENTS[name]
    check_document(parse(make(limit)), LIMITS)
    noun = name.partition(" in ")[0]
    with pytest.raises(GraphQLError, match=f"has {limit + 1} {noun}, the limit is {limit}"):
        check_document(parse(make(limit + 1)), LIMITS)


VARIABLES: dict[str, tuple[str, Callable[[int], Any], int]] = {
    "values": ("[ID!]!", lambda n: ["x"] * n, 5),
    "values in an object": ("UpdateNoteInput", lambda n: {"tagIds": ["x"] * n, "contentJson": [[1] * 50]}, 5),
    "objects": ("[TranscriptSegmentInput!]", lambda n: [{"speaker": "x"}] * n, 3),
    "objects in an object": (
        "CreateNoteInput!",
        lambda n: {"transcripts": [{}], "calendarEvent": {"attendees": [{}] * (n - 1)}, "nothing": [{}] * 50},
        3,
    ),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_pass_at_their_limit_and_fail_above(name: str) -> None:
    kind, make, limit = VARIABLES[name]
    operation = get_operation_ast(parse(f"query($v:{kind} $w:[Nothing]){{a}}"))
    assert operation is not None
    check_variables(real_schema._schema, operation, {"v": make(limit), "w": [1] * 50, "more": [1] * 50}, LIMITS)
    noun = name.partition(" in ")[0]
    with pytest.raises(GraphQLError, match=f"has {limit + 1} {noun} in lists of its variables, the limit is {limit}"):
        check_variables(real_schema._schema, operation, {"v": make(limit + 1)}, LIMITS)


@pytest.mark.parametrize("variables", [None, [], "x", {"v": "x"}, {"v": {"a": []}}, {}])
def test_variables_that_are_no_lists_are_left_to_coercion(variables: object) -> None:
    operation = get_operation_ast(parse("query($v:[ID!]){a}"))
    assert operation is not None
    check_variables(real_schema._schema, operation, variables, LIMITS)


async def test_variables_are_counted_before_they_are_coerced(client: Any) -> None:
    query = "query($v:[Int!]){n(x:$v){a}}"
    assert await client.post(query, variables={"v": [1] * 5}) == {"data": {"n": {"a": 1}}}
    for _ in range(2):
        answer = await client.post(query, variables={"v": ["wrong"] * 6})
        text = "The operation has 6 values in lists of its variables, the limit is 5."
        assert [error["message"] for error in answer["errors"]] == [text]


async def test_anonymous_callers_have_limits_of_their_own(tenant: Tenant) -> None:
    stranger, key = tenant._caller("", None), await tenant.key()
    text = "{__typename}" + "#\n" * (ANONYMOUS_LIMITS.max_tokens - 3)
    assert "errors" not in await stranger.graphql(text)
    longer = text + "#\n"
    assert (await stranger.graphql(longer))["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"
    assert "errors" not in await key.graphql(longer)
    query = "query($ids:[ID!]!){nodes(ids:$ids){id}}"
    assert await stranger.code(query, ids=["x"] * ANONYMOUS_LIMITS.max_values) == "UNAUTHENTICATED"
    assert await stranger.code(query, ids=["x"] * (ANONYMOUS_LIMITS.max_values + 1)) == "QUERY_TOO_COMPLEX"


async def test_ten_errors_are_reported_and_a_single_one_gets_a_suggestion(tenant: Tenant) -> None:
    key, stranger = await tenant.key(), tenant._caller("", None)
    one, plain = "{viewr{scopes}}", "Cannot query field 'viewr' on type 'Query'."
    assert [error["message"] for error in (await key.graphql(one))["errors"]] == [f"{plain} Did you mean 'viewer'?"]
    assert [error["message"] for error in (await stranger.graphql(one))["errors"]] == [plain]
    long = one + "#" * MAX_SUGGESTION_CHARACTERS
    assert [error["message"] for error in (await key.graphql(long))["errors"]] == [plain]
    for caller in (key, stranger):
        messages = [e["message"] for e in (await caller.graphql("{" + "viewr{scopes} " * 30 + "}"))["errors"]]
        end = "Too many validation errors, error limit reached. Validation aborted."
        assert messages == [plain] * MAX_VALIDATION_ERRORS + [end]
    answer = await key.graphql('query($m:SearchMode){search(query:"a",mode:$m){score}}', m="HYBRD")
    [error] = answer["errors"]
    assert error["message"].endswith("Value 'HYBRD' does not exist in 'SearchMode' enum.")


def test_colons_of_arguments_variables_and_literals_are_no_aliases() -> None:
    text = 'query($v: [Int] = [1], $w: Int) @d(a: 1) { a @d(b: 2) n(x: {y: {z: 1}, s: "a: b"}) { a } }'
    check_source(text, DocumentLimits(max_aliases=0))


@pytest.mark.parametrize("text", ["{", ")))a:a", "{a(", '{"', "}}}}}}}}", "\ud800", "…"])
def test_syntax_is_left_to_the_parser(text: str) -> None:
    check_source(text, LIMITS)


def test_a_bomb_is_counted_not_expanded() -> None:
    with pytest.raises(GraphQLError, match="has more than a billion selections"):
        check_document(parse(bomb(100)), DocumentLimits(max_depth=1_000))


def test_cycles_and_long_chains_are_measured() -> None:
    check_document(parse("{...a} fragment a on Query{...b ...a} fragment b on Query{...a ...missing}"))
    chain = "".join(f"fragment f{i} on Query{{...f{i + 1}}}" for i in range(3_000))
    with pytest.raises(GraphQLError, match="3002 selections"):
        check_document(parse("{...f0}" + chain + "fragment f3000 on Query{a}"))


async def test_introspection_passes_with_every_option() -> None:
    schema = build(Documents())
    for experimental in (True, False):
        result = await schema.execute(get_introspection_query(True, True, True, True, True, experimental, True))
        # Only a directive's deprecation is unknown to this schema; nothing is too complex.
        assert {(error.extensions or {})["code"] for error in result.errors or ()} <= {"BAD_USER_INPUT"}
    assert result.data


def test_a_list_of_many_fragments_passes() -> None:
    names = range(24)
    fragments = "".join(f"fragment f{n} on Note{{id tags{{id name}} createdBy{{name id}}}}" for n in names)
    document = parse("{notes{nodes{" + "".join(f"...f{n} " for n in names) + "}}}" + fragments)
    check_document(document)
    assert validate(real_schema._schema, document) == []


async def test_comparing_too_many_fields_is_too_complex() -> None:
    result = await build(Documents(DocumentLimits(max_repeats=140))).execute("{" + "n{n{a}}" * 140 + "}")
    assert result.errors
    assert result.errors[0].message == "Too many fields of the same name to compare."
    assert result.errors[0].extensions is not None
    assert result.errors[0].extensions["code"] == "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize("query", ["a " * 500_000, "{" + "a:a " * 9 + "}", "mutation{" + "m:m " * 9 + "}"])
async def test_a_refused_source_is_never_parsed(client: Any, calls: list[str], query: str) -> None:
    answer = await client.post(query)
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"] == {"code": "QUERY_TOO_COMPLEX", "status": 400, "requestId": "req-1"}
    assert calls == []


async def test_a_refused_document_is_never_validated(client: Any, calls: list[str]) -> None:
    answer = await client.post(through_fragments(4))
    assert answer["errors"][0]["message"] == "The operation has 4 levels of fields, the limit is 3."
    assert calls == ["parse"]


async def test_a_socket_goes_on_after_refusals(client: Any, calls: list[str]) -> None:
    async with client.socket() as socket:
        for query in (
            "subscription{" + "s:s " * 9 + "}",
            "subscription{s" + deep(4) + "}",
            "mutation{m" + deep(4) + "}",
            bomb(3),
            deep(20),
        ):
            [message] = await socket.run(query)
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"
        [message] = await socket.run(5)
        assert message["payload"][0]["extensions"] == {
            "code": "BAD_USER_INPUT",
            "status": 400,
            "field": "query",
            "requestId": "req-1",
        }
        assert "validate_document" not in calls
        assert (await socket.run("subscription{s{a}}"))[0]["payload"] == {"data": {"s": {"a": 1}}}


async def test_a_cycle_is_refused_by_validation(client: Any) -> None:
    answer = await client.post("{...a} fragment a on Query{...a}")
    assert answer["errors"][0]["message"] == "Cannot spread fragment 'a' within itself."


async def test_a_known_document_is_neither_parsed_nor_validated_again(client: Any, calls: list[str]) -> None:
    async with client.socket() as socket:
        for _ in range(3):
            assert await client.post("{known:a}") == {"data": {"known": 1}}
            assert (await socket.run("{known:a}"))[0]["payload"] == {"data": {"known": 1}}
    assert calls == ["parse", "validate_document"]


async def test_an_invalid_document_is_not_cached(client: Any, calls: list[str]) -> None:
    for _ in range(2):
        assert (await client.post("{missing}"))["errors"]
    assert calls == ["parse", "validate_document"] * 2


def test_the_least_recently_used_documents_are_dropped() -> None:
    documents, document = Documents(max_tokens=10), parse("{a}")
    for text in "abc":
        documents.add(text, document, 3)
    assert documents.get("a")
    documents.add("d", document, 3)
    assert [bool(documents.get(text)) for text in "abcd"] == [True, False, True, True]
    documents.add("d", document, 4)
    assert [bool(documents.get(text)) for text in "acd"] == [True, True, True]
    documents.add("d", document, 5)
    assert [bool(documents.get(text)) for text in "acd"] == [False, True, True]
    # One that is larger than the cache is not kept, and pushes no other out.
    documents.add("big", document, 11)
    assert [bool(documents.get(text)) for text in ("c", "d", "big")] == [True, True, False]
