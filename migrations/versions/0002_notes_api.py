"""The rest of the notes API: folders, groups, invites, recordings, idempotency keys, rate limits."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What a caller may spend in any 60 seconds, counted exactly and for all processes together. Seconds are counted whole:
# 61 of them cover every span of 60 seconds that ends now. The row's lock puts simultaneous calls in one order, and the
# clock is read under it. What is refused costs nothing.
SPEND = """
CREATE FUNCTION spend(
  of_workspace uuid, by_actor uuid, allowed integer, points integer,
  OUT granted boolean, OUT remaining integer, OUT reset_at bigint
) LANGUAGE plpgsql AS $$
DECLARE
  kept CONSTANT integer := 61;
  ring integer[];
  latest bigint;
  used integer;
BEGIN
  LOOP
    SELECT w.second, w.spent INTO latest, ring FROM rate_windows w
      WHERE w.workspace_id = of_workspace AND w.actor_id = by_actor FOR UPDATE;
    EXIT WHEN FOUND;
    INSERT INTO rate_windows (workspace_id, actor_id, second, spent)
      VALUES (of_workspace, by_actor, 0, array_fill(0, ARRAY[kept])) ON CONFLICT DO NOTHING;
  END LOOP;
  reset_at := greatest(floor(extract(epoch FROM clock_timestamp())), latest);
  FOR passed IN greatest(latest + 1, reset_at - kept + 1) .. reset_at LOOP
    ring[passed % kept + 1] := 0;
  END LOOP;
  latest := reset_at;
  SELECT sum(u) INTO used FROM unnest(ring) u;
  granted := used + points <= allowed;
  IF granted THEN
    ring[latest % kept + 1] := ring[latest % kept + 1] + points;
    UPDATE rate_windows SET second = latest, spent = ring WHERE workspace_id = of_workspace AND actor_id = by_actor;
    used := used + points;
  END IF;
  remaining := greatest(allowed - used, 0);
  -- When there is more to be had: the first second in which something spent no longer counts, or, for who was refused,
  -- in which enough does not.
  FOR past IN latest - kept + 1 .. latest LOOP
    reset_at := past + kept;
    used := used - ring[past % kept + 1];
    EXIT WHEN CASE WHEN granted THEN ring[past % kept + 1] > 0 ELSE used + points <= allowed END;
  END LOOP;
END $$"""


# What was typed, as words that begin like that: `ann rep` finds "annual report". IMMUTABLE, so that the planner knows
# the words and how common they are. The quotes and backslashes of a word are doubled as the syntax of queries wants.
BEGINNINGS = r"""
CREATE FUNCTION beginnings(typed text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(string_agg(format('%s:*', quoted), ' & '), '')::tsquery
  FROM unnest(to_tsvector('caret', typed)) word,
    LATERAL (SELECT '''' || replace(replace(word.lexeme, '\', '\\'), '''', '''''') || '''' AS quoted) q
$$"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gin")
    op.drop_index("notes_by_words", table_name="notes")
    op.create_index("notes_by_words", "notes", ["workspace_id", "words"], postgresql_using="gin")
    op.drop_index("notes_by_participants", table_name="notes")
    op.create_index(
        "notes_by_participants",
        "notes",
        ["workspace_id", "participants"],
        postgresql_using="gin",
        postgresql_ops={"participants": "jsonb_path_ops"},
    )
    op.create_index("notes_by_status", "notes", ["workspace_id", "status", "created_at", "id"])
    op.create_index("notes_by_kind", "notes", ["workspace_id", "kind", "created_at", "id"])
    op.execute(BEGINNINGS)
    op.create_table(
        "folders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("created_by_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("icon", sa.Text(), nullable=True),
        sa.Column("color", sa.Text(), nullable=True),
        sa.Column("is_private", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["created_by_id"], ["users.id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["parent_id"], ["folders.id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("folders_in_order", "folders", ["workspace_id", "name", "id"], unique=False)
    op.create_index("ix_folders_created_by_id", "folders", ["created_by_id"], unique=False)
    op.create_index("ix_folders_parent_id", "folders", ["parent_id"], unique=False)
    op.create_table(
        "groups",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace_id", "name", name="groups_once"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("result_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("workspace_id", "actor_id", "key"),
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "invites",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column(
            "role",
            sa.Enum("admin", "member", name="role_known", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("is_url_invite", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["created_by_id"], ["users.id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code"),
    )
    op.create_index("invites_in_order", "invites", ["workspace_id", "created_at", "id"], unique=False)
    op.create_index("ix_invites_created_by_id", "invites", ["created_by_id"], unique=False)
    op.create_table(
        "rate_windows",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("second", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("workspace_id", "actor_id"),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", "member_id"),
    )
    op.create_index("group_members_by_member", "group_members", ["member_id", "group_id"], unique=False)
    op.create_index("ix_group_members_workspace_id", "group_members", ["workspace_id"], unique=False)
    op.create_table(
        "invite_groups",
        sa.Column("invite_id", sa.Uuid(), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["invite_id"], ["invites.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("invite_id", "group_id"),
    )
    op.create_index("invite_groups_by_group", "invite_groups", ["group_id", "invite_id"], unique=False)
    op.create_index("ix_invite_groups_workspace_id", "invite_groups", ["workspace_id"], unique=False)
    op.create_table(
        "recordings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("note_id", sa.Uuid(), nullable=True),
        sa.Column("created_by_id", sa.Uuid(), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "awaited",
                "uploaded",
                "transcribing",
                "summarizing",
                "done",
                "failed",
                name="recordingstate_known",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("extension", sa.Text(), nullable=False),
        sa.Column("duration_sec", sa.Float(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("audio_url", sa.Text(), nullable=False),
        sa.Column("upload_key", sa.LargeBinary(), nullable=False),
        sa.Column("work_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["created_by_id"], ["users.id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["note_id"], ["notes.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_recordings_created_by_id", "recordings", ["created_by_id"], unique=False)
    op.create_index("ix_recordings_note_id", "recordings", ["note_id"], unique=False)
    op.create_index("ix_recordings_workspace_id", "recordings", ["workspace_id"], unique=False)
    op.create_index(
        "recordings_by_age",
        "recordings",
        ["created_at"],
        unique=False,
        postgresql_where="state IN ('awaited', 'uploaded')",
    )
    op.create_index(
        "recordings_to_do",
        "recordings",
        ["work_after"],
        unique=False,
        postgresql_where="state IN ('transcribing', 'summarizing')",
    )
    op.add_column("notes", sa.Column("folder_id", sa.Uuid(), nullable=True))
    op.create_index("notes_by_folder", "notes", ["folder_id", "created_at", "id"], unique=False)
    op.add_column("notes", sa.Column("translate_after", sa.DateTime(timezone=True), nullable=True))
    op.add_column("notes", sa.Column("translate_failures", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_index(
        "notes_to_translate",
        "notes",
        ["translate_after"],
        unique=False,
        postgresql_where="translate_after IS NOT NULL",
    )
    op.create_foreign_key("notes_folder_id_fkey", "notes", "folders", ["folder_id"], ["id"], ondelete="SET NULL")
    op.execute(SPEND)


def downgrade() -> None:
    op.drop_index("notes_by_kind", table_name="notes")
    op.drop_index("notes_by_status", table_name="notes")
    op.drop_index("notes_by_participants", table_name="notes")
    op.create_index(
        "notes_by_participants",
        "notes",
        ["participants"],
        postgresql_using="gin",
        postgresql_ops={"participants": "jsonb_path_ops"},
    )
    op.drop_index("notes_by_words", table_name="notes")
    op.create_index("notes_by_words", "notes", ["words"], postgresql_using="gin")
    op.execute("DROP FUNCTION beginnings")
    op.execute("DROP FUNCTION spend")
    op.drop_index("notes_to_translate", table_name="notes", postgresql_where="translate_after IS NOT NULL")
    op.drop_column("notes", "translate_failures")
    op.drop_column("notes", "translate_after")
    op.drop_constraint("notes_folder_id_fkey", "notes", type_="foreignkey")
    op.drop_index("notes_by_folder", table_name="notes")
    op.drop_column("notes", "folder_id")
    op.drop_index(
        "recordings_to_do", table_name="recordings", postgresql_where="state IN ('transcribing', 'summarizing')"
    )
    op.drop_index("recordings_by_age", table_name="recordings", postgresql_where="state IN ('awaited', 'uploaded')")
    op.drop_index("ix_recordings_workspace_id", table_name="recordings")
    op.drop_index("ix_recordings_note_id", table_name="recordings")
    op.drop_index("ix_recordings_created_by_id", table_name="recordings")
    op.drop_table("recordings")
    op.drop_index("ix_invite_groups_workspace_id", table_name="invite_groups")
    op.drop_index("invite_groups_by_group", table_name="invite_groups")
    op.drop_table("invite_groups")
    op.drop_index("ix_group_members_workspace_id", table_name="group_members")
    op.drop_index("group_members_by_member", table_name="group_members")
    op.drop_table("group_members")
    op.drop_table("rate_windows")
    op.drop_index("ix_invites_created_by_id", table_name="invites")
    op.drop_index("invites_in_order", table_name="invites")
    op.drop_table("invites")
    op.drop_index("idempotency_keys_by_age", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("groups")
    op.drop_index("ix_folders_parent_id", table_name="folders")
    op.drop_index("ix_folders_created_by_id", table_name="folders")
    op.drop_index("folders_in_order", table_name="folders")
    op.drop_table("folders")
