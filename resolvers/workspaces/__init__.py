"""Workspaces and who belongs to them: members, groups, invites, API keys."""
