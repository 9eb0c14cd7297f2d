"""Folders at both edges: a tree that stays one, who sees which of it, and the notes in it."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import insert

from models import Folder, Role
from models.base import new_id
from models.folder import MAX_FOLDER_DEPTH, MAX_FOLDER_NAME, MAX_FOLDERS, MAX_ICON
from tests.conftest import Tenant
from tests.support.clients import Caller
from tests.support.rest import EdgeResult, send_mutation, send_rest
from tests.test_edges import millis
from tests.test_main_job import CREATE

SHOWN = "{ id name icon color parent { id } createdAt memberCount isPrivate }"
MAKE = f"mutation($input: CreateFolderInput!) {{ createFolder(input: $input) {SHOWN} }}"
CHANGE = f"mutation($id: ID!, $input: UpdateFolderInput!) {{ updateFolder(id: $id, input: $input) {SHOWN} }}"
DELETE = "mutation($id: ID!) { deleteFolder(id: $id) }"
LIST = f"{{ workspace {{ folders {SHOWN} }} }}"
NOTE = "query($id: ID!) { note(id: $id) { revision folder { id } } }"
MOVE = "mutation($id: ID!, $input: UpdateNoteInput!) { updateNote(id: $id, input: $input) { id } }"
FIND = "query($ids: [ID!]) { notes(filter: {folderIds: $ids}) { nodes { title } totalCount } }"


class GraphQLFolders:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        return as_v1(await send_mutation(self.caller, MAKE, input=fields))

    async def update(self, ident: str, **fields: Any) -> EdgeResult:
        return as_v1(await send_mutation(self.caller, CHANGE, id=ident, input=fields))

    async def delete(self, ident: str) -> EdgeResult:
        return await send_mutation(self.caller, DELETE, id=ident)

    async def listed(self) -> list[Any]:
        return [as_v1(EdgeResult(one)).thing for one in (await self.caller.data(LIST))["workspace"]["folders"]]

    async def write(self, note: str | None, **fields: Any) -> EdgeResult:
        if note is None:
            return await send_mutation(self.caller, CREATE, input={"title": "A", **fields})
        return await send_mutation(self.caller, MOVE, id=note, input=fields)

    async def within(self, *ids: str) -> list[str]:
        page = (await self.caller.data(FIND, ids=ids))["notes"]
        assert page["totalCount"] == len(page["nodes"])
        return sorted(node["title"] for node in page["nodes"])


class RestFolders:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def create(self, **fields: Any) -> EdgeResult:
        return await send_rest(self.caller, "POST", "/v1/folders", fields)

    async def update(self, ident: str, **fields: Any) -> EdgeResult:
        return await send_rest(self.caller, "PATCH", f"/v1/folders/{ident}", fields)

    async def delete(self, ident: str) -> EdgeResult:
        return await send_rest(self.caller, "DELETE", f"/v1/folders/{ident}")

    async def listed(self) -> list[Any]:
        answer = (await self.caller.http.get("/v1/folders")).json()
        assert list(answer) == ["folders"]
        found: list[Any] = answer["folders"]
        return found

    async def write(self, note: str | None, **fields: Any) -> EdgeResult:
        if note is None:
            return await send_rest(self.caller, "POST", "/v1/notes", {"title": "A", **fields})
        return await send_rest(self.caller, "PATCH", f"/v1/notes/{note}", fields)

    async def within(self, *ids: str) -> list[str]:
        answer = (await self.caller.http.get("/v1/notes", params={"folderIds": ",".join(ids)})).json()
        return sorted(item["title"] for item in answer["items"])


Edge = GraphQLFolders | RestFolders
EDGES = [GraphQLFolders, RestFolders]


def as_v1(told: EdgeResult) -> EdgeResult:
    """A folder of GraphQL in the shape of /v1."""
    if told.code is not None:
        return told
    folder = {name: value for name, value in told.value.items() if name not in {"parent", "isPrivate"}}
    parent = told.value["parent"]
    return EdgeResult({**folder, "parentFolderId": parent and parent["id"], "createdAt": millis(folder["createdAt"])})


@pytest.fixture(params=EDGES, ids=["graphql", "rest"])
def way(request: pytest.FixtureRequest) -> type[Edge]:
    kind: type[Edge] = request.param
    return kind


@pytest.fixture
async def edge(way: type[Edge], tenant: Tenant) -> Edge:
    return way(await tenant.user())


async def chain(tenant: Tenant, depth: int) -> list[str]:
    """Folders within each other, the outermost first."""
    ids = [new_id() for _ in range(depth)]
    made = [
        {"id": one, "workspace_id": tenant.id, "name": str(number), "parent_id": ids[number - 1] if number else None}
        for number, one in enumerate(ids)
    ]
    async with tenant.database.begin() as connection:
        await connection.execute(insert(Folder), made)
    return list(map(str, ids))


async def note_in(caller: Caller, folder: str | None, title: str = "A") -> str:
    made = await caller.data(CREATE, input={"title": title, "folderId": folder})
    return str(made["createNote"]["id"])


async def folder_of(caller: Caller, note: str) -> str | None:
    folder = (await caller.data(NOTE, id=note))["note"]["folder"]
    return folder and str(folder["id"])


async def test_a_folders_life_is_the_same_at_both(edge: Edge) -> None:
    other = RestFolders(edge.caller) if isinstance(edge, GraphQLFolders) else GraphQLFolders(edge.caller)
    top = (await edge.create(name=" Projects ")).thing
    plain = {"icon": None, "color": None, "parentFolderId": None, "memberCount": 1}
    assert top == {"id": top["id"], "name": "Projects", **plain, "createdAt": top["createdAt"]}
    sub = (await edge.create(name="Apollo", icon="🚀", color="#00ff00", parentFolderId=top["id"])).thing
    full = {"icon": "🚀", "color": "#00ff00", "parentFolderId": top["id"], "memberCount": 1}
    assert sub == {"id": sub["id"], "name": "Apollo", **full, "createdAt": sub["createdAt"]}
    assert await edge.listed() == await other.listed() == [sub, top]
    renamed = {**sub, "name": "Gemini"}
    assert (await other.update(sub["id"], name="Gemini")).thing == renamed
    assert (await edge.update(sub["id"])).thing == renamed
    nulls = {"icon": None, "color": None, "parentFolderId": None}
    assert (await edge.update(sub["id"], **nulls)).thing == {**renamed, **nulls}
    assert (await edge.delete(top["id"])).thing == top["id"]
    assert (await other.delete(top["id"])) == (await edge.update(top["id"], name="B")) == EdgeResult(code="NOT_FOUND")
    assert await other.listed() == [{**renamed, **nulls}]


BAD: list[tuple[str, Any]] = [
    ("name", "  "),
    ("name", "x" * (MAX_FOLDER_NAME + 1)),
    ("name", "nul\x00"),
    ("icon", "x" * (MAX_ICON + 1)),
    ("color", "red"),
    ("color", "#12345"),
    ("parentFolderId", "nobody"),
]


@pytest.mark.parametrize(("field", "value"), BAD)
async def test_bad_values_are_refused_by_name(edge: Edge, field: str, value: Any) -> None:
    folder = (await edge.create(name="here")).thing
    assert await edge.create(**{"name": "A", field: value}) == EdgeResult(code="BAD_USER_INPUT", field=field)
    assert await edge.update(folder["id"], **{field: value}) == EdgeResult(code="BAD_USER_INPUT", field=field)
    assert await edge.listed() == [folder]


async def test_null_is_refused_where_there_is_no_null(edge: Edge) -> None:
    folder = (await edge.create(name="here")).thing
    for field in ("name", "isPrivate"):
        assert await edge.update(folder["id"], **{field: None}) == EdgeResult(code="BAD_USER_INPUT", field=field)


async def test_the_longest_texts(edge: Edge) -> None:
    longest = {"name": "🙂" * MAX_FOLDER_NAME, "icon": "🙂" * MAX_ICON}
    made = (await edge.create(**longest)).thing
    assert {name: made[name] for name in longest} == longest


@pytest.mark.parametrize("private", [True, False])
async def test_who_sees_a_folder(way: type[Edge], private: bool, tenant: Tenant) -> None:
    """A private one its creator and the admins, who are counted; to others it isn't there."""
    people = [await tenant.user(), await tenant.user(), await tenant.user(Role.ADMIN)]
    creator, member, admin, key = [way(one) for one in (*people, await tenant.key())]
    top = (await creator.create(name="Top", isPrivate=private)).thing
    below = (await member.create(name="Below")).thing
    assert (await admin.update(below["id"], parentFolderId=top["id"])).thing["parentFolderId"] == top["id"]
    note = await note_in(admin.caller, top["id"])
    for one in (creator, admin, key):
        assert [(f["name"], f["memberCount"]) for f in await one.listed()] == [
            ("Below", 3),
            ("Top", 2 if private else 3),
        ]
        assert await folder_of(one.caller, note) == top["id"]
        assert await one.within(top["id"]) == ["A"]
    [shown, *_] = await member.listed()
    assert (len(await member.listed()), shown["parentFolderId"]) == ((1, None) if private else (2, top["id"]))
    assert await folder_of(member.caller, note) == (None if private else top["id"])
    assert await member.within(top["id"]) == ([] if private else ["A"])

    gate = EdgeResult(code="NOT_FOUND" if private else "FORBIDDEN")
    assert await member.update(top["id"], name="Mine") == await member.delete(top["id"]) == gate
    changed = await member.update(below["id"], parentFolderId=top["id"])
    made = await member.create(name="New", parentFolderId=top["id"])
    put = await member.write(note, folderId=top["id"])
    if private:
        assert changed == made == EdgeResult(code="UNPROCESSABLE", field="parentFolderId")
        assert put == await member.write(None, folderId=top["id"]) == EdgeResult(code="UNPROCESSABLE", field="folderId")
        # What a member can't see, they keep.
        await member.caller.data(MOVE, id=note, input={"title": "B"})
        assert await folder_of(creator.caller, note) == top["id"]
    else:
        assert (changed.code, made.code, put.code) == (None, None, None)


async def test_who_changes_a_folder(way: type[Edge], tenant: Tenant) -> None:
    people = [await tenant.user(), await tenant.user(), await tenant.user(Role.ADMIN)]
    creator, member, admin, key = [way(one) for one in (*people, await tenant.key())]
    folder = (await creator.create(name="A")).thing["id"]
    for one in (creator, admin, key):
        assert (await one.update(folder, name="B")).code is None
    assert await member.update(folder, name="C") == EdgeResult(code="FORBIDDEN")
    assert await member.update(folder) == await member.delete(folder) == EdgeResult(code="FORBIDDEN")
    assert (await admin.update(folder, isPrivate=True)).thing["memberCount"] == 2
    assert await member.delete(folder) == EdgeResult(code="NOT_FOUND")
    assert (await key.update(folder, isPrivate=False)).thing["memberCount"] == 3
    assert (await admin.delete(folder)).code is None
    # A key's own private folder is its workspace's admins' too.
    own = (await key.create(name="K", isPrivate=True)).thing
    assert (own["memberCount"], await member.listed()) == (1, [])
    assert (await admin.listed()) == [own]


async def test_who_leaves_sees_nothing_any_more(way: type[Edge], tenant: Tenant) -> None:
    goes, admin = await tenant.user(), way(await tenant.user(Role.ADMIN))
    folder = (await way(goes).create(name="P", isPrivate=True)).thing
    assert folder["memberCount"] == 2
    members = (await admin.caller.http.get("/v1/workspace/members")).json()["items"]
    [left] = [one["id"] for one in members if one["userId"] == str(goes.user_id)]
    assert (await admin.caller.http.delete(f"/v1/workspace/members/{left}")).status_code == 200
    assert await admin.listed() == [{**folder, "memberCount": 1}]
    assert await way(goes).delete(folder["id"]) == EdgeResult(code="NOT_FOUND")


async def test_another_workspaces_folder_is_not_there(edge: Edge, stranger: Tenant) -> None:
    [theirs] = await chain(stranger, 1)
    own = (await edge.create(name="Own")).thing["id"]
    for ident in (theirs, str(uuid.uuid4())):
        parent, folder = (
            EdgeResult(code="UNPROCESSABLE", field="parentFolderId"),
            EdgeResult(code="UNPROCESSABLE", field="folderId"),
        )
        assert await edge.update(ident, name="Mine") == await edge.delete(ident) == EdgeResult(code="NOT_FOUND")
        assert await edge.create(name="A", parentFolderId=ident) == parent
        assert await edge.update(own, parentFolderId=ident) == parent
        assert await edge.write(None, folderId=ident) == folder
        assert await edge.write(await note_in(edge.caller, own), folderId=ident) == folder
        assert await edge.within(ident) == []


async def test_a_folder_of_ones_other_workspace_is_not_for_this_note(tenant: Tenant, stranger: Tenant) -> None:
    """Who is in both may see both, and yet not put what is of one into the other."""
    user = await tenant.user()
    async with stranger.database.begin() as connection:
        member = {"id": new_id(), "workspace_id": stranger.id, "user_id": user.user_id, "role": Role.MEMBER}
        await connection.execute(insert(Folder.metadata.tables["members"]), [member])
    [theirs] = await chain(stranger, 1)
    edge = GraphQLFolders(user)
    unknown = EdgeResult(code="UNPROCESSABLE", field="folderId")
    assert await edge.write(None, folderId=theirs) == unknown
    assert await edge.write(await note_in(user, None), folderId=theirs) == unknown
    own = (await edge.create(name="Own")).thing["id"]
    refused = EdgeResult(code="UNPROCESSABLE", field="parentFolderId")
    assert await edge.update(own, parentFolderId=theirs) == refused
    both = await user.data("{ viewer { workspaces { folders { id } } } }")
    shown = [[folder["id"] for folder in one["folders"]] for one in both["viewer"]["workspaces"]]
    assert shown == [[own], [theirs]]


async def test_a_circle_is_refused(edge: Edge, tenant: Tenant) -> None:
    admin = type(edge)(await tenant.user(Role.ADMIN))
    top, middle, low = await chain(tenant, 3)
    refused = EdgeResult(code="UNPROCESSABLE", field="parentFolderId")
    for folder, parent in ((top, top), (top, middle), (top, low), (middle, low), (low, low)):
        assert await admin.update(folder, parentFolderId=parent) == refused, (folder, parent)
    assert (await admin.update(low, parentFolderId=top)).thing["parentFolderId"] == top
    assert (await admin.update(middle, parentFolderId=low)).thing["parentFolderId"] == low


async def test_of_two_moves_into_each_other_one_is_refused(edge: Edge) -> None:
    for number in range(5):
        a, b = [(await edge.create(name=f"{number}{name}")).thing["id"] for name in "ab"]
        told = await asyncio.gather(edge.update(a, parentFolderId=b), edge.update(b, parentFolderId=a))
        assert sorted(one.code or "moved" for one in told) == ["UNPROCESSABLE", "moved"]


async def test_folders_are_so_deep(edge: Edge, tenant: Tenant) -> None:
    admin = type(edge)(await tenant.user(Role.ADMIN))
    ids = await chain(tenant, MAX_FOLDER_DEPTH - 1)
    refused = EdgeResult(code="UNPROCESSABLE", field="parentFolderId")
    last = (await admin.create(name="last", parentFolderId=ids[-1])).thing["id"]
    assert await admin.create(name="one more", parentFolderId=last) == refused
    # What is moved takes along all below it.
    top, sub = await chain(tenant, 2)
    assert await admin.update(top, parentFolderId=ids[-1]) == refused
    assert (await admin.update(top, parentFolderId=ids[-2])).code is None
    assert (await admin.update(sub, name="renamed")).code is None


async def test_a_workspace_has_so_many_folders(edge: Edge, tenant: Tenant) -> None:
    rows = [{"id": new_id(), "workspace_id": tenant.id, "name": str(number)} for number in range(MAX_FOLDERS - 2)]
    async with tenant.database.begin() as connection:
        await connection.execute(insert(Folder), rows)
    told = await asyncio.gather(*(edge.create(name="last") for _ in range(5)))
    assert sorted(one.code or "made" for one in told) == ["UNPROCESSABLE"] * 3 + ["made"] * 2
    assert len(await edge.listed()) == MAX_FOLDERS


async def test_what_was_in_a_deleted_folder_moves_up(edge: Edge, tenant: Tenant) -> None:
    admin = type(edge)(await tenant.user(Role.ADMIN))
    top, middle, low = await chain(tenant, 3)
    writer = await tenant.user()
    notes = [await note_in(writer, place) for place in (top, middle, low)]
    hidden = await writer.data(CREATE, input={"title": "B", "folderId": middle, "visibility": "PRIVATE"})
    assert (await admin.delete(middle)).code is None
    assert [(one["id"], one["parentFolderId"]) for one in await admin.listed()] == [(top, None), (low, top)]
    assert [await folder_of(writer, note) for note in notes] == [top, top, low]
    assert await folder_of(writer, hidden["createNote"]["id"]) == top
    assert (await writer.data(NOTE, id=notes[1]))["note"]["revision"] == 1
    assert (await admin.delete(top)).code is None
    assert [await folder_of(writer, note) for note in notes] == [None, None, low]


async def test_notes_that_are_put_into_a_folder_that_goes(edge: Edge) -> None:
    """They end in its parent, or are told that it is unknown: never lost, never a fault of ours."""
    caller = edge.caller
    top = (await edge.create(name="top")).thing["id"]
    note = await note_in(caller, None)
    for _ in range(5):
        folder = (await edge.create(name="goes", parentFolderId=top)).thing["id"]
        await caller.data(MOVE, id=note, input={"folderId": folder})
        moves = [caller.http.patch(f"/v1/notes/{note}", json={"folderId": folder}) for _ in range(4)]
        makes = [caller.http.post("/v1/notes", json={"title": "B", "folderId": folder}) for _ in range(4)]
        gone, answers = await asyncio.gather(edge.delete(folder), asyncio.gather(*moves, *makes))
        assert gone.thing == folder
        assert {answer.status_code for answer in answers} <= {200, 201, 422}
        assert await folder_of(caller, note) == top
        for answer in answers:
            if answer.status_code == 201:
                assert await folder_of(caller, answer.json()["note"]["id"]) == top


async def test_a_notes_folder_is_a_field_as_any(edge: Edge) -> None:
    a, b = [(await edge.create(name=name)).thing["id"] for name in "ab"]
    made = (await edge.write(None, folderId=a)).thing["id"]
    assert await folder_of(edge.caller, made) == a
    await edge.write(made, folderId=b)
    assert (await edge.caller.data(NOTE, id=made))["note"] == {"revision": 2, "folder": {"id": b}}
    await edge.write(made, title="B")
    assert (await edge.within(a), await edge.within(b), await edge.within(a, b)) == ([], ["B"], ["B"])
    await edge.write(made, folderId=None)
    assert (await edge.caller.data(NOTE, id=made))["note"] == {"revision": 4, "folder": None}
    assert await edge.within(a, b) == []
    assert await edge.write(made, folderId="x") == EdgeResult(code="BAD_USER_INPUT", field="folderId")


async def test_a_note_of_rest_names_no_folder(tenant: Tenant) -> None:
    user = await tenant.user()
    folder = (await RestFolders(user).create(name="F")).thing["id"]
    note = await note_in(user, folder)
    assert not [name for name in (await user.http.get(f"/v1/notes/{note}")).json()["note"] if "older" in name]


async def test_a_folder_hides_no_note(tenant: Tenant) -> None:
    creator, member = await tenant.user(), await tenant.user()
    folder = (await RestFolders(creator).create(name="P", isPrivate=True)).thing["id"]
    note = await note_in(creator, folder)
    assert (await member.http.get(f"/v1/notes/{note}")).status_code == 200
    listed = (await member.http.get("/v1/notes")).json()["items"]
    assert [one["id"] for one in listed] == [note]


@pytest.mark.parametrize(
    ("ids", "code"), [(["x"], "BAD_USER_INPUT"), ([str(uuid.UUID(int=1))] * 101, "BAD_USER_INPUT"), ([], None)]
)
async def test_folders_of_a_filter(tenant: Tenant, ids: list[str], code: str | None) -> None:
    user = await tenant.user()
    note = await note_in(user, None)
    answer = await user.graphql(FIND, ids=ids)
    response = await user.http.get("/v1/notes", params={"folderIds": ",".join(ids)})
    if code is None:
        assert answer["data"]["notes"]["totalCount"] == 0
        # An empty parameter asks for nothing.
        assert [one["id"] for one in response.json()["items"]] == [note]
        return
    extensions = answer["errors"][0]["extensions"]
    assert (extensions["code"], extensions["field"].partition(".")[0]) == (code, "folderIds")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "folderIds")


REFUSED: list[tuple[str, Any, tuple[int, str, str | None]]] = [
    ("POST /v1/folders", {}, (400, "invalid_parameter", "name")),
    ("POST /v1/folders", {"name": "A", "isPrivate": "yes"}, (400, "invalid_parameter", "isPrivate")),
    ("POST /v1/folders", {"name": "A", "isPrivate": None}, (400, "invalid_parameter", "isPrivate")),
    ("POST /v1/folders", {"name": "A", "memberCount": 1}, (400, "invalid_parameter", "memberCount")),
    ("POST /v1/folders", None, (400, "invalid_parameter", None)),
    ("POST /v1/folders", {"name": "A", "parentFolderId": "NONE"}, (422, "unprocessable", "parentFolderId")),
    ("PATCH /v1/folders/HERE", {"parentFolderId": "HERE"}, (422, "unprocessable", "parentFolderId")),
    ("PATCH /v1/folders/NONE", {}, (404, "resource_not_found", None)),
    ("DELETE /v1/folders/NONE", None, (404, "resource_not_found", None)),
    ("GET /v1/folders/HERE", None, (405, "method_not_allowed", None)),
]


@pytest.mark.parametrize(("route", "body", "refusal"), REFUSED)
async def test_how_rest_refuses(tenant: Tenant, route: str, body: Any, refusal: tuple[int, str, str | None]) -> None:
    user = await tenant.user()
    here = (await RestFolders(user).create(name="Here")).thing["id"]
    ids = {"HERE": here, "NONE": str(uuid.UUID(int=7))}
    body = body and {name: ids.get(value, value) for name, value in body.items()}
    for name, ident in ids.items():
        route = route.replace(name, ident)
    response = await user.http.request(*route.split(" "), json=body)
    answer = response.json()
    assert (response.status_code, answer["code"], answer["error"].get("param")) == refusal


async def test_what_rest_answers_whole(tenant: Tenant) -> None:
    user = await tenant.user()
    sent = {"name": "A", "isPrivate": True}
    response = await user.http.post("/v1/folders", json=sent, headers={"Idempotency-Key": "k"})
    folder = response.json()["folder"]
    plain = {"icon": None, "color": None, "parentFolderId": None, "createdAt": folder["createdAt"], "memberCount": 1}
    made = {"id": folder["id"], "name": "A", **plain}
    assert (response.status_code, response.json()) == (201, {"folder": made})
    again = await user.http.post("/v1/folders", json=sent, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (201, {"folder": made})
    assert (await user.http.get("/v1/folders")).json() == {"folders": [made]}
    response = await user.http.patch(f"/v1/folders/{folder['id']}", json={"icon": "x"})
    assert (response.status_code, response.json()) == (200, {"folder": {**made, "icon": "x"}})
    response = await user.http.delete(f"/v1/folders/{folder['id']}")
    assert (response.status_code, response.json()) == (200, {"success": True, "message": "Folder deleted"})
    gone = await user.http.post("/v1/folders", json=sent, headers={"Idempotency-Key": "k"})
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("scope", "reads", "writes"), [("folders", 200, 201), ("folders:read", 200, 403), ("notes", 403, 403)]
)
async def test_folders_have_a_scope(tenant: Tenant, scope: str, reads: int, writes: int) -> None:
    key, full = await tenant.key(scope), await tenant.key()
    assert (await key.http.get("/v1/folders")).status_code == reads
    assert (await key.http.post("/v1/folders", json={"name": "A"})).status_code == writes
    told = await key.graphql(LIST)
    assert ("errors" in told) == (reads == 403)
    if scope == "notes":
        folder = (await RestFolders(full).create(name="F")).thing["id"]
        note = await note_in(key, folder)
        assert await key.code(NOTE, id=note) == "INSUFFICIENT_SCOPE"
        assert await GraphQLFolders(key).within(folder) == ["A"]
