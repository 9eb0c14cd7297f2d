"""The demo workspace: a few meeting notes, a user and a key. It is created once, in an empty database."""

import json
import os
from importlib.resources import files
from pathlib import Path

from sqlalchemy import insert, select
from sqlmodel import col

from caret.embedded.folder import create_private
from caret.settings import DEMO_EMAIL
from models import Role, Tag, User, Workspace
from models.base import new_id
from models.note import NoteDraft
from models.workspace import Plan
from resolvers import notes
from resolvers.auth import credentials
from resolvers.core.context import Context
from resolvers.core.viewer import Viewer

NAME = "Robin Demo"
WORKSPACE = "Demo workspace"
TAGS = {"planning": "#2563EB", "customers": "#16A34A", "incident": "#DC2626"}


async def seed(ctx: Context, file: Path) -> bool:
    """Creates the demo workspace, and stores its key (0600) in the file. Returns False when a workspace exists."""
    async with ctx.transaction() as tx:
        if (await tx.execute(select(col(Workspace.id)).limit(1))).first() is not None:
            return False
        user_id = new_id()
        await tx.execute(insert(User).values(id=user_id, email=DEMO_EMAIL, name=NAME))
        workspace_id = await credentials.create_workspace(tx, WORKSPACE, Plan.ENTERPRISE)
        await credentials.add_member(tx, workspace_id, user_id, Role.ADMIN)
        key = await credentials.create_key(tx, workspace_id, "demo")
        tags = {name: new_id() for name in TAGS}
        rows = [{"id": tags[name], "workspace_id": workspace_id, "name": name, "color": TAGS[name]} for name in TAGS]
        await tx.execute(insert(Tag), rows)
    demo_user = ctx.for_viewer(Viewer(user_id, workspace_id, Role.ADMIN))
    for note in json.loads(files("caret").joinpath("demo_notes.json").read_text()):
        tag_ids = [str(tags[name]) for name in note.pop("tags")]
        await notes.create_note(demo_user, NoteDraft.model_validate_json(json.dumps({**note, "tagIds": tag_ids})))
    os.close(create_private(file, json.dumps({"key": key, "user_id": str(user_id)})))
    return True
