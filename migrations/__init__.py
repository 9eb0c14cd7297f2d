"""The migrations of the database, in order."""

HEAD = "0004"
"""The newest revision: what the tables of this program are."""
