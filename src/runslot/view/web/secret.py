"""The token of a page, kept for one user and what is shown: a bookmark works after the server was
started again.

`guard_for` asks for it. What must stay true: nobody else can read it, and what others could read or
write is not used.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

_TOKEN = re.compile(r"[\w-]{32,64}")
_MOST_BYTES = 100


def token_for(roots: Sequence[str]) -> str:
    """Return the token for these directories: the one kept, or a new one, which is kept where that
    can be."""
    token = secrets.token_urlsafe(24)
    try:
        file = _file_for(roots)
        previous = _kept(file)
        if previous is not None:
            return previous
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "w") as opened:
            opened.write(token)
        temporary.replace(file)
    # a home that is unknown or cannot be written: this server's token alone
    except (
        OSError,
        RuntimeError,
    ):
        return token
    return token


def _file_for(roots: Sequence[str]) -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    home = (
        Path(state) if state and Path(state).is_absolute() else Path("~/.local/state").expanduser()
    )
    name = hashlib.sha256("\0".join(sorted(roots)).encode("utf-8", "surrogateescape")).hexdigest()[
        :24
    ]
    return home / "runslot" / "view" / name


def _kept(file: Path) -> str | None:
    """Return the token in a file that is this user's alone."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_uid != os.geteuid()
            or status.st_mode & 0o077
        ):
            return None
        token = opened.read(_MOST_BYTES).decode("ascii", "replace")
    return token if _TOKEN.fullmatch(token) else None
