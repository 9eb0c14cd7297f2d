"""People."""

import strawberry

from schema.types.base import Node


@strawberry.type
class User(Node):
    name: str
    email: str | None
    profile_url: str | None

    @classmethod
    def is_type_of(cls, obj: object, _info: object) -> bool:
        # A row does not know its table. Only people, and not API keys, the other kind of actor, have this column.
        return hasattr(obj, "profile_url")
