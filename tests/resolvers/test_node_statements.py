"""What `nodes` and the lists of people read: no more statements for more of them, no column that nobody asked for."""

import re
from collections import Counter
from uuid import UUID

import pytest

from models import Role
from models.people import GroupDraft, InviteDraft, MemberChange, MemberFilter
from resolvers.core.context import Context
from resolvers.workspaces import groups, invites, members
from tests.resolvers.helpers import OwnWorkspace, graphql, spoken, statements, write

NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename } }"
PEOPLE = """{ viewer { workspace {
  members(first: 50) { nodes { user { name } groups { name memberCount } } }
  groups { name memberCount }
  invites(first: 50) { nodes { groups { name memberCount } } }
} } }"""


@pytest.fixture
async def things(own_workspace: OwnWorkspace) -> dict[str, list[UUID]]:
    """Five of each of some kinds."""
    me = own_workspace.ctx
    made: dict[str, list[UUID]] = {"Note": [], "Tag": [], "Group": [], "Invite": [], "Member": []}
    for number in range(5):
        made["Note"].append((await write(me, str(number), transcripts=spoken("Hi"))).id)
        made["Tag"].append(await own_workspace.tag(str(number)))
        made["Group"].append((await groups.create_group(me, GroupDraft(name=str(number)))).id)
        draft = InviteDraft(email=f"{number}@x", group_ids=made["Group"])
        made["Invite"].append((await invites.create_invite(me, draft)).id)
        await own_workspace.member(Role.MEMBER)
    for row in (await members.list_members_by_offset(me, 5, 1, MemberFilter()))[0]:
        await members.update_member(me, row.id, MemberChange(group_ids=made["Group"]))
        made["Member"].append(row.id)
    return made


async def test_nodes_are_as_many_statements_for_any_number(me: Context, things: dict[str, list[UUID]]) -> None:
    for wanted in (1, 5):
        ids = [str(ident) for mine in things.values() for ident in mine[:wanted]]
        with statements(me) as told:
            found = (await graphql(me, NODES, ids=ids))["nodes"]
        assert [one["__typename"] for one in found] == [name for name in things for _ in range(wanted)]
        # One that tells the kinds, and one for each.
        assert len(told) == 1 + len(things), told


async def test_a_kind_that_is_not_among_the_ids_is_not_read(me: Context, things: dict[str, list[UUID]]) -> None:
    with statements(me) as told:
        await graphql(me, NODES, ids=[str(ident) for ident in things["Tag"]])
    assert len(told) == 2


async def test_of_a_note_only_what_was_selected_is_read(me: Context, things: dict[str, list[UUID]]) -> None:
    query = "query($id: ID!) { node(id: $id) { id ... on Note { title summary } ... on Tag { name } } }"
    with statements(me) as told:
        await graphql(me, query, id=str(things["Note"][0]))
    assert "notes.summary" in told[-1]
    assert "content_text" not in told[-1]


async def test_people_with_their_groups_are_as_many_statements_for_any_number(own_workspace: OwnWorkspace) -> None:
    kinds = []
    for number in range(2):
        group = await groups.create_group(own_workspace.ctx, GroupDraft(name=f"first {number}"))
        await invites.create_invite(own_workspace.ctx, InviteDraft(email=f"first{number}@x", group_ids=[group.id]))
        member = await own_workspace.member()
        [row] = (await members.list_members_by_offset(own_workspace.ctx, 1, number + 1, MemberFilter()))[0]
        assert row.user_id == member.viewer.user_id
        await members.update_member(own_workspace.ctx, row.id, MemberChange(group_ids=[group.id]))
        with statements(own_workspace.ctx) as told:
            found = (await graphql(own_workspace.ctx, PEOPLE))["viewer"]["workspace"]
        assert len(found["groups"]) == len(found["invites"]["nodes"]) == number + 1
        times = Counter(re.sub(r"\$\d+(::UUID, \$\d+)*", "$", one) for one in told)
        # Which of the three lists of groups ask for their sizes together is the chance of which is read first.
        assert max(times.values()) <= 3, times
        kinds.append(set(times))
    assert kinds[0] == kinds[1]
