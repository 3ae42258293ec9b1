"""How a host comes to have what an experiment's runs need, over the one connection that then is the
remote end's.

`engines.ssh.handshake` is the side at home. On the host, `FAR_END` is the first thing that runs: it
answers what the host has and which of the experiment's files it lacks, takes those that come in a
message, and becomes the remote end. What is more than a message should hold, rsync brings
meanwhile; runslot itself stays there for the next launch. What must stay true: nothing is read
further than the message that is waited for, as the rest is the remote end's; a file appears whole;
and an archive that another user of the host could have written is never executed.
"""

from __future__ import annotations

import base64
import os
import stat
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from runslot.engines.ssh.probe import LOOK_AROUND
from runslot.record import record

MESSAGE_BYTES = 8 << 20
"""Of all files together that come in a message, at most."""
_FILES_LIMIT = 2000
_KEPT_ARCHIVES = 3
"""Versions of runslot that stay on a host."""

FAR_END = (
    LOOK_AROUND
    + r"""
import base64, stat, zlib
MARK = b"\x01runslot "
source, sink = getattr(sys.stdin, "buffer", sys.stdin), getattr(sys.stdout, "buffer", sys.stdout)

def hear():
    for line in iter(source.readline, b""):
        at = line.find(MARK)
        if at >= 0:
            return json.loads(line[at + len(MARK):].decode("ascii"))
    sys.exit(0)

def say(message):
    sink.write(MARK + json.dumps(message).encode("ascii") + b"\n")
    sink.flush()

def lacks(path, size, seconds):
    try:
        status = os.lstat(os.path.join(place, path))
    except (IOError, OSError):
        return True
    if path == archive:
        return status.st_size != size
    return status.st_size != size or int(status.st_mtime) != seconds

def is_own(path):
    status = os.lstat(path)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 18

def link(there, here):
    try:
        os.link(there, here)
        if not is_own(here):
            os.unlink(here)
    except (IOError, OSError, AttributeError):
        pass

def write(path, mode, seconds, data):
    target = os.path.join(place, path)
    if not os.path.isdir(os.path.dirname(target)):
        os.makedirs(os.path.dirname(target))
    temporary = "%s.%d" % (target, os.getpid())
    with open(temporary, "wb") as file:
        file.write(data)
    os.chmod(temporary, mode)
    os.utime(temporary, (seconds, seconds))
    os.rename(temporary, target)

def take(message):
    data, at = zlib.decompress(base64.b64decode(message["data"])), 0
    for path, mode, seconds, size in message["files"]:
        write(path, mode, seconds, data[at:at + size])
        at += size

def keep_archive():
    link(os.path.join(place, archive), os.path.join(root, archive))
    try:
        names = [name for name in os.listdir(root) if re.match(r"runslot-\w+\.pyz$", name)]
        paths = [os.path.join(root, name) for name in names]
        for path in sorted(filter(is_own, paths), key=os.path.getmtime)[:-KEPT]:
            os.unlink(path)
    except (IOError, OSError):
        pass

message = hear()
archive = message["archive"]
link(os.path.join(root, archive), os.path.join(place, archive))
said["lacks"] = [number for number, item in enumerate(message["files"]) if lacks(*item)]
said["id"] = message["id"]
say(said)
message = hear()
try:
    take(message)
except (IOError, OSError) as error:
    say({"id": message["id"], "failed": "%s: %s" % (place, error.strerror)})
    sys.exit(1)
keep_archive()
say({"id": message["id"]})
os.execv(sys.executable, [sys.executable, "-u", os.path.join(place, archive), "serve", place])
""".replace("KEPT", str(_KEPT_ARCHIVES))
)
"""Read by any Python since 2.7, so that one that is too old can be named."""


def far_command(python: str, root: str, place: str) -> list[str]:
    """Return the command of a host's end: one line of letters that no shell takes for anything
    else; `place` is the experiment's directory below `root`, `/` before it.
    """
    code = base64.b64encode(zlib.compress(FAR_END.encode(), 9)).decode()
    program = f'import base64,zlib;exec(zlib.decompress(base64.b64decode("{code}")))'
    return [python, "-u", "-c", program, "serve", root, place]


@record
class Cargo:
    """What an experiment's runs need, file by file, below its directory here."""

    base: Path
    files: tuple[tuple[str, os.stat_result], ...]
    is_plain: bool
    """Whether it is few plain files in directories, which may come in a message."""

    @classmethod
    def of(cls, base: Path, paths: Iterable[Path]) -> Cargo:
        """Return what lies at `paths`, and below those that are directories."""
        files: list[tuple[str, os.stat_result]] = []
        for path, status in _walk(paths):
            if not stat.S_ISREG(status.st_mode) or len(files) == _FILES_LIMIT:
                return cls(base, (), False)
            files.append((path.relative_to(base).as_posix(), status))
        return cls(base, tuple(files), True)

    def listed(self) -> list[list[Any]]:
        """Return what the host is to look for."""
        return [[path, status.st_size, int(status.st_mtime)] for path, status in self.files]

    def message(self, lacking: Sequence[int]) -> dict[str, Any] | None:
        """Return the files of these numbers as a message has them; None where rsync has to bring
        them.
        """
        files = [self.files[number] for number in lacking]
        if not self.is_plain or sum(status.st_size for _, status in files) > MESSAGE_BYTES:
            return None
        contents = [(self.base / path).read_bytes() for path, _ in files]
        entries = [
            [path, stat.S_IMODE(status.st_mode), int(status.st_mtime), len(content)]
            for (path, status), content in zip(files, contents, strict=True)
        ]
        data = base64.b64encode(zlib.compress(b"".join(contents), 1)).decode()
        return {"files": entries, "data": data}


NOTHING: dict[str, Any] = {"files": [], "data": base64.b64encode(zlib.compress(b"")).decode()}
"""The message where rsync has brought all."""


def _walk(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield what is no directory; an empty one as it is, since no file would bring it along."""
    for path in paths:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            yield path, status
            continue
        entries = sorted(path.iterdir())
        if entries:
            yield from _walk(entries)
        else:
            yield path, status
