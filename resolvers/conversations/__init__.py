"""Conversations about a note, and the suggestions made in them."""
