"""Pull what has arrived of a share home: what differs alone, each file by rename, an outcome after
its run's data.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath

from runslot.errors import RunslotError
from runslot.experiment.files import open_to_append
from runslot.experiment.owner import other_link
from runslot.experiment.rundir import RunDir
from runslot.record import record
from runslot.transport.bucket.inventory import PART, DamagedObject, File, Inventory, MachineShare
from runslot.transport.bucket.store import Missing, Store
from runslot.transport.contents import OUTCOME, outcome_last
from runslot.transport.scan import stays_inside

_AT_ONCE = 8
_ROUNDS = 3


class Unwritable(RunslotError):
    """A file cannot be written at home, as on a disk that is full; nothing is lost, and the same
    call may succeed.
    """

    retry = True


@record
class Pulled:
    """What a pull brought."""

    listing: Inventory
    """What had arrived of the share; empty where nothing had."""
    files: int = 0
    size: int = 0
    """Bytes that travelled."""
    later: tuple[str, ...] = ()
    """Paths that changed while they were pulled; the next pull has them."""


def pull(
    store: Store,
    share: MachineShare,
    root: Path,
    before: Inventory | None = None,
    accepts: Callable[[str], bool] = lambda _: True,
    listing: Inventory | None = None,
) -> Pulled:
    """Bring the files of a share below `root`; `before` is the list of the pull before, whose files
    may be deleted.

    A kill at any instant leaves whole files, old or new; the next pull goes on where this one
    ended. Files on disk that no list names are left alone. `accepts` chooses paths; `listing` is
    the newest list, where that was just read. Raises `Unreachable` where the bucket does not
    answer.
    """
    before = before or Inventory()
    listing = listing or newest(store, share, before)
    homecoming = _Homecoming(store, share, root)
    for attempt in range(_ROUNDS):
        listing = newest(store, share, before) if attempt else listing
        _check_paths(root, listing.files)
        files = {path: file for path, file in listing.files.items() if accepts(path)}
        _delete(
            root, [path for path in before.files if path not in listing.files and accepts(path)]
        )
        missing = {
            path: file
            for path, file in files.items()
            if not _is_there(root, path, file, before.files.get(path))
        }
        homecoming.bring(missing)
        if not homecoming.later:
            break
    sizes = homecoming.sizes
    return Pulled(listing, len(sizes), sum(sizes), tuple(sorted(homecoming.later)))


def newest(store: Store, share: MachineShare, before: Inventory) -> Inventory:
    """Return the share's list; the one from before where the bucket shows an older one, or none any
    more.
    """
    try:
        newest = Inventory.from_bytes(store.get(share.listing))
    except Missing:
        return before
    return newest if newest.sequence >= before.sequence else before


def _check_paths(root: Path, paths: Iterable[str]) -> None:
    for path in paths:
        if not stays_inside(path) or "\0" in path or not PurePosixPath(path).parts:
            raise RunslotError(
                f"the bucket names a file outside the experiment ({path!r}): it is not read any"
                " further"
            )
    for directory in {str(PurePosixPath(path).parent) for path in paths}:
        if link := other_link(str(root), directory, every=False):
            raise RunslotError(
                f"{link} is a link that another user made: nothing is pulled through it; remove it"
            )


def _delete(root: Path, paths: Iterable[str]) -> None:
    """Delete what a pull brought and its machine no longer has; outcomes first: none may stand for
    a new attempt.
    """
    data, outcomes = outcome_last(sorted(paths))
    for path in (*outcomes, *data):
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            (root / path).unlink()


def _is_there(root: Path, path: str, file: File, before: File | None) -> bool:
    try:
        stat = (root / path).stat()
    except OSError:
        return False
    if stat.st_size != file.size:
        return False
    # The same parts as in the last whole pull, or the time that an interrupted one has set (some
    # disks round it).
    return (before is not None and before.parts == file.parts) or abs(
        stat.st_mtime_ns - file.mtime
    ) < 1000


def _run_of(path: str, missing: Mapping[str, File]) -> str:
    """Return the directory whose outcome speaks of this file: the nearest above it that has one to
    bring.
    """
    for parent in PurePosixPath(path).parents:
        if f"{parent}/{OUTCOME}" in missing:
            return str(parent)
    return str(PurePosixPath(path).parent)


class _Homecoming:
    """Brings files of a share, several at once."""

    def __init__(self, store: Store, share: MachineShare, root: Path) -> None:
        self.sizes: list[int] = []
        """Bytes that travelled, of each file that came."""
        self.later: set[str] = set()
        """Paths that have to wait: the bucket no longer has them as they are listed."""
        self._store = store
        self._share = share
        self._root = root

    def bring(self, missing: Mapping[str, File]) -> None:
        """Bring files: rows of all runs first, then run by run."""
        self.later.clear()
        progress = RunDir("x").progress.name
        rows: dict[str, File] = {}
        runs: dict[str, dict[str, File]] = {}
        for path, file in missing.items():
            if path.rpartition("/")[2] == progress and file.size <= PART:
                rows[path] = file
            else:
                runs.setdefault(_run_of(path, missing), {})[path] = file
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._bring_file, rows, rows.values()))
            waits = {_run_of(path, missing) for path in self.later}
            order = sorted(runs, key=lambda run: sum(file.size for file in runs[run].values()))
            list(pool.map(lambda run: self._bring_run(runs[run], run in waits), order))

    def _bring_run(self, files: Mapping[str, File], waits: bool) -> None:
        """Bring a run's files, its outcome last, and not where any of them has to wait."""
        data, outcomes = outcome_last(files)
        for path in outcomes:  # an old outcome must not stand beside new data
            (self._root / path).unlink(missing_ok=True)
        for path in sorted(data, key=lambda name: files[name].size):
            waits = not self._bring_file(path, files[path]) or waits
        for path in outcomes:
            if waits:
                self.later.add(path)
            else:
                waits = not self._bring_file(path, files[path])

    def _bring_file(self, path: str, file: File) -> bool:
        """Bring one file; False where it has to wait."""
        try:
            size = self._write_file(self._root / path, file)
        except OSError as error:
            raise Unwritable(
                f"{self._root / path} cannot be written here ({error.strerror});"
                f" {self._store.url} has it, and a later pull brings it"
            ) from error
        except (Missing, DamagedObject):
            self.later.add(path)
            return False
        self.sizes.append(size)
        return True

    def _write_file(self, target: Path, file: File) -> int:
        _make_way(target)
        # Not by the file's own name, which may be as long as a name can be.
        digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24]
        temporary = target.with_name(f".{digest}.pull")
        size = 0
        with os.fdopen(open_to_append(temporary, os.O_RDWR), "a+b") as stream:
            for number in range(_whole_parts(stream.fileno(), file), len(file.parts)):
                data = self._part(file.parts[number])
                stream.write(data)
                size += len(data)
        os.utime(temporary, ns=(file.mtime, file.mtime))
        temporary.chmod(file.mode)
        temporary.replace(target)
        return size

    def _part(self, digest: str) -> bytes:
        data = self._store.get(self._share.object(digest))
        if hashlib.sha256(data).hexdigest() != digest:
            raise DamagedObject(f"a part of {self._share.name} in {self._store.url} is damaged")
        return data


def _make_way(target: Path) -> None:
    """Make the directory of a file, and remove what was pulled as a directory where its machine has
    a file now.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        for directory, _, _ in os.walk(target, topdown=False):
            # its files are deleted already; one that is not empty has files of others
            Path(directory).rmdir()


def _whole_parts(descriptor: int, file: File) -> int:
    """Count the parts that a pull before has brought, and cut off what follows them: it may be of
    another state of the file.
    """
    number = 0
    os.lseek(descriptor, 0, os.SEEK_SET)
    for digest in file.parts:
        data = os.read(descriptor, PART)
        if hashlib.sha256(data).hexdigest() != digest:
            break
        number += 1
    os.ftruncate(descriptor, min(number * PART, file.size))
    return number
