"""Webhooks: the endpoints of a workspace, and what is posted to them."""
