"""Creates the cluster of an embedded Postgres and stores its password."""

import os
import shutil
import tempfile
from pathlib import Path

from caret.embedded.folder import create_private
from caret.embedded.postgres_files import Installation
from caret.embedded.process import run

NAME = "caret"


def ensure_cluster(installation: Installation) -> str:
    """Creates what is missing and returns the password. A start that died at any point is completed by the next one."""
    secret = installation.home / "password"
    stored = secret.read_text().strip() if secret.exists() else ""
    password = stored or os.urandom(24).hex()
    if not stored:
        os.close(create_private(secret, f"{password}\n", installation.user))
    if not (installation.data / "PG_VERSION").exists():
        _create_cluster(installation, secret)
    elif not stored:
        _run_statement(installation, installation.data, f"ALTER ROLE {NAME} PASSWORD '{password}'")
    return password


def _create_cluster(installation: Installation, secret: Path) -> None:
    for leftover in installation.home.glob("data.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="data.", dir=installation.home))
    if installation.user:
        os.chown(fresh, installation.user.uid, installation.user.gid)
    locale = ("--locale-provider=builtin", "--locale=C.UTF-8", "--encoding=UTF8")
    access = ("--auth=scram-sha-256", f"--pwfile={secret}", f"--username={NAME}")
    run(
        [installation.binaries / "initdb", "-D", fresh, *locale, *access], cwd=installation.home, user=installation.user
    )
    _run_statement(installation, fresh, f"CREATE DATABASE {NAME}")
    fresh.rename(installation.data)
    descriptor = os.open(installation.home, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run_statement(installation: Installation, data: Path, statement: str) -> None:
    """Runs a statement without a server. It goes through standard input: others can read a command line."""
    command: list[str | Path] = [installation.binaries / "postgres", "--single", "-D", data, "postgres"]
    run(command, cwd=installation.home, user=installation.user, text=f"{statement}\n")
