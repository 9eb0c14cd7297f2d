"""The migrations of the database, in order."""

HEAD = "0005"
"""The newest revision: what the tables of this program are."""
