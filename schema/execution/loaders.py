"""Batches the reads of sibling fields into one. Nothing is cached between batches, so nothing goes stale."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar, TypeVarTuple
from uuid import UUID

from strawberry.dataloader import DataLoader

from models.base import Record
from models.conversation import SuggestionStatus
from models.people import MemberFilter
from models.transcript import TranscriptFilter
from resolvers import notes
from resolvers.conversations import conversations, suggestions
from resolvers.core.context import Context
from resolvers.core.errors import Problem
from resolvers.core.nested_pages import Pages
from resolvers.core.pagination import Page, PageArguments
from resolvers.notes import folders, tags
from resolvers.webhooks import deliveries
from resolvers.workspaces import api_keys, groups, invites, members, workspaces

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Arguments = TypeVarTuple("Arguments")


class Loaders:
    """One loader per relation."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def _by(self, read: Callable[[Context, Iterable[K]], Awaitable[Mapping[K, V]]], absent: V) -> DataLoader[K, V]:
        async def load(keys: list[K]) -> list[V]:
            values = await read(self._ctx, set(keys))
            return [values.get(key, absent) for key in keys]

        return DataLoader(load_fn=load, cache=False)

    def _pages(
        self, read: Callable[[Context, Sequence[UUID], *Arguments], Awaitable[Pages]]
    ) -> DataLoader[tuple[UUID, tuple[*Arguments]], Page]:
        """Pages by parent and arguments. Parents with the same arguments are read together."""

        async def load(keys: list[tuple[UUID, tuple[*Arguments]]]) -> list[Page | Problem]:
            parents: defaultdict[tuple[*Arguments], dict[UUID, None]] = defaultdict(dict)
            for parent_id, arguments in keys:
                parents[arguments][parent_id] = None
            pages = {arguments: await read_together(list(ids), arguments) for arguments, ids in parents.items()}
            return [pages[arguments][parent_id] for parent_id, arguments in keys]

        async def read_together(parent_ids: list[UUID], arguments: tuple[*Arguments]) -> Pages:
            try:
                return await read(self._ctx, parent_ids, *arguments)
            except Problem as problem:
                # Only the fields with these arguments fail.
                return dict.fromkeys(parent_ids, problem)

        return DataLoader(load_fn=load, cache=False)

    @cached_property
    def transcripts(self) -> DataLoader[tuple[UUID, tuple[PageArguments, TranscriptFilter]], Page]:
        """By note."""
        return self._pages(notes.list_transcripts)

    @cached_property
    def conversations(self) -> DataLoader[tuple[UUID, tuple[PageArguments]], Page]:
        """By note."""
        return self._pages(conversations.list_conversations)

    @cached_property
    def messages(self) -> DataLoader[tuple[UUID, tuple[PageArguments]], Page]:
        """By conversation."""
        return self._pages(conversations.list_messages)

    @cached_property
    def deliveries(self) -> DataLoader[tuple[UUID, tuple[PageArguments, frozenset[str]]], Page]:
        """By webhook."""
        return self._pages(deliveries.pages)

    @cached_property
    def members(self) -> DataLoader[tuple[UUID, tuple[PageArguments, MemberFilter]], Page]:
        """By workspace."""
        return self._pages(members.list_members)

    @cached_property
    def invites(self) -> DataLoader[tuple[UUID, tuple[PageArguments]], Page]:
        """By workspace."""
        return self._pages(invites.list_invites)

    @cached_property
    def note(self) -> DataLoader[UUID, Record | None]:
        return self._by(notes.find_notes, None)

    @cached_property
    def tags(self) -> DataLoader[UUID, list[Record]]:
        return self._by(notes.find_tags_of_notes, [])

    @cached_property
    def folder(self) -> DataLoader[UUID, Record | None]:
        return self._by(folders.find_folders, None)

    @cached_property
    def shares(self) -> DataLoader[UUID, list[UUID]]:
        return self._by(notes.find_shares, [])

    @cached_property
    def workspace_tags(self) -> DataLoader[UUID, list[Record]]:
        return self._by(tags.find_tags_of_workspaces, [])

    @cached_property
    def workspace_folders(self) -> DataLoader[UUID, list[Record]]:
        return self._by(folders.find_folders_of_workspaces, [])

    @cached_property
    def user(self) -> DataLoader[UUID, Record | None]:
        return self._by(workspaces.find_users, None)

    @cached_property
    def api_key(self) -> DataLoader[UUID, Record | None]:
        return self._by(api_keys.find_acting_api_keys, None)

    @cached_property
    def conversation(self) -> DataLoader[UUID, Record | None]:
        return self._by(conversations.find_conversations, None)

    @cached_property
    def message(self) -> DataLoader[UUID, Record | None]:
        return self._by(conversations.find_messages, None)

    @cached_property
    def active_reply(self) -> DataLoader[UUID, Record | None]:
        return self._by(conversations.find_active_replies, None)

    @cached_property
    def suggestion(self) -> DataLoader[UUID, Record | None]:
        return self._by(suggestions.find_suggestions, None)

    @cached_property
    def suggestions(self) -> DataLoader[tuple[UUID, SuggestionStatus | None], list[Record]]:
        """By conversation and status."""
        return self._by(suggestions.find_suggestions_of_conversations, [])

    @cached_property
    def suggestions_of_message(self) -> DataLoader[UUID, list[Record]]:
        return self._by(suggestions.find_suggestions_of_messages, [])

    @cached_property
    def groups(self) -> DataLoader[UUID, list[Record]]:
        """By workspace."""
        return self._by(groups.find_groups_of_workspaces, [])

    @cached_property
    def groups_of_member(self) -> DataLoader[UUID, list[Record]]:
        return self._by(groups.find_groups_of_members, [])

    @cached_property
    def groups_of_invite(self) -> DataLoader[UUID, list[Record]]:
        return self._by(groups.find_groups_of_invites, [])

    @cached_property
    def group_size(self) -> DataLoader[UUID, int]:
        return self._by(groups.count_group_members, 0)
