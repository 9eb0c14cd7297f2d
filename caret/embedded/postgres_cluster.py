"""Creates the cluster of an embedded Postgres and keeps its password."""

import os
import shutil
import tempfile
from pathlib import Path

from caret.embedded.folder import create_private
from caret.embedded.postgres_files import Place
from caret.embedded.process import finish

NAME = "caret"


def ensure_cluster(place: Place) -> str:
    """Create what is missing, so that dying at any point is healed by the next start; returns the password."""
    secret = place.home / "password"
    kept = secret.read_text().strip() if secret.exists() else ""
    password = kept or os.urandom(24).hex()
    if not kept:
        os.close(create_private(secret, f"{password}\n", place.user))
    if not (place.data / "PG_VERSION").exists():
        _create_cluster(place, secret)
    elif not kept:
        _single(place, place.data, f"ALTER ROLE {NAME} PASSWORD '{password}'")
    return password


def _create_cluster(place: Place, secret: Path) -> None:
    for leftover in place.home.glob("data.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="data.", dir=place.home))
    if place.user:
        os.chown(fresh, place.user.uid, place.user.gid)
    locale = ("--locale-provider=builtin", "--locale=C.UTF-8", "--encoding=UTF8")
    access = ("--auth=scram-sha-256", f"--pwfile={secret}", f"--username={NAME}")
    finish([place.binaries / "initdb", "-D", fresh, *locale, *access], cwd=place.home, user=place.user)
    _single(place, fresh, f"CREATE DATABASE {NAME}")
    fresh.rename(place.data)
    descriptor = os.open(place.home, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _single(place: Place, data: Path, statement: str) -> None:
    """Run a statement without a server; it goes through standard input, never over a command line."""
    command: list[str | Path] = [place.binaries / "postgres", "--single", "-D", data, "postgres"]
    finish(command, cwd=place.home, user=place.user, text=f"{statement}\n")
