"""The migrations of the database, in order. Their file names begin with their revisions."""

from pathlib import Path

HEAD = max(path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))
"""The newest revision, which the tables must have for this version of the program."""
