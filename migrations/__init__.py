"""The migrations of the database, in order."""

HEAD = "0003"
"""The newest revision: what the tables of this program are."""
