"""Small files of runs that come home inside a message: packed on the host, unpacked here.

`remote.ssh_agent` packs what its answer has room for; `engines.ssh.fetch` unpacks, and brings the
rest by rsync, which costs two processes and a tenth of a second each time. What must stay true: a
file appears here by rename, with the mode and the time that it has there, and never outside its
run's directory.
"""

from __future__ import annotations

import base64
import itertools
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runslot.experiment.rundir import RunDir
from runslot.record import record
from runslot.transport.scan import stays_inside

FILE_BYTES = 16 << 10
"""Of a file that travels in a parcel, at most; of what grows, rsync sends no more than the
difference.
"""
PARCEL_BYTES = 32 << 10
"""Of all its files together: on a slow link nothing else is heard meanwhile, not even that the host
is alive.
"""


@record
class Packed:
    """A small file on its way home."""

    run: str
    """Run id."""
    path: str
    """Relative to the run's directory."""
    mode: int
    mtime_ns: int
    data: bytes

    @classmethod
    def of(cls, run: str, run_dir: RunDir, path: str) -> Packed | None:
        """Return a file as it is now; None where it is no small regular file, or cannot be read."""
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(run_dir.path / path, flags), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return None
                data = file.read(FILE_BYTES + 1)
        except OSError:  # gone meanwhile, a link, not ours to read: rsync finds the words for it
            return None
        if len(data) > FILE_BYTES:
            return None
        return cls(run, path, stat.S_IMODE(status.st_mode), status.st_mtime_ns, data)

    def to_json(self) -> list[Any]:
        """Return it as a message has it."""
        data = base64.b64encode(zlib.compress(self.data)).decode()
        return [self.run, self.path, self.mode, self.mtime_ns, data]

    @classmethod
    def from_json(cls, value: list[Any]) -> Packed:
        """Return what a message has."""
        run, path, mode, mtime_ns, data = value
        inflater = zlib.decompressobj()
        content = inflater.decompress(base64.b64decode(data), FILE_BYTES)
        return cls(run, path, mode, mtime_ns, content)

    def put(self, base: Path, directories: Mapping[str, str], waiting: Path) -> bool:
        """Write it where it belongs, below `base`, by way of the directory `waiting`; False where
        that cannot be.
        """
        if self.run not in directories or not stays_inside(self.path):
            return False
        run = base / directories[self.run]
        place = run / self.path
        temporary = waiting / f"parcel-{next(_number)}"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.parent.resolve().is_relative_to(run.resolve()):
                return False
            temporary.write_bytes(self.data)
            os.chmod(temporary, self.mode & 0o777)  # noqa: PTH101
            os.utime(temporary, ns=(self.mtime_ns, self.mtime_ns))
            os.replace(temporary, place)  # noqa: PTH105
        except OSError:  # a full disk, a directory in its place: rsync finds the words for it
            temporary.unlink(missing_ok=True)
            return False
        return True


_number = itertools.count(1)
