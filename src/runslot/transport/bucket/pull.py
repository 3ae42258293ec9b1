"""Pull what has arrived of a share home: what differs alone, each file by rename, an outcome after
its run's data.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
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
    brought = size = 0
    later: set[str] = set()
    listing = listing or newest(store, share, before)
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
        done, came, later = _bring(store, share, root, missing)
        brought, size = brought + done, size + came
        if not later:
            break
    return Pulled(listing, brought, size, tuple(sorted(later)))


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
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path or not parts.parts:
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


def _bring(
    store: Store, share: MachineShare, root: Path, missing: dict[str, File]
) -> tuple[int, int, set[str]]:
    """Bring files: rows of all runs first, then run by run; count files and bytes, and say what has
    to wait.
    """
    progress = RunDir("x").progress.name
    rows = {
        path: file
        for path, file in missing.items()
        if path.rpartition("/")[2] == progress and file.size <= PART
    }
    runs: dict[str, dict[str, File]] = {}
    for path, file in missing.items():
        if path not in rows:
            runs.setdefault(_run_of(path, missing), {})[path] = file
    later: set[str] = set()
    brought = size = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for path, came in zip(
            rows,
            pool.map(lambda path: _bring_file(store, share, root, path, rows[path]), rows),
            strict=True,
        ):
            if came is None:
                later.add(path)
            else:
                brought, size = brought + 1, size + came
        waits = {_run_of(path, missing) for path in later}
        order = sorted(runs.items(), key=lambda item: sum(file.size for file in item[1].values()))

        def bring_run(item: tuple[str, dict[str, File]]) -> tuple[int, int, set[str]]:
            return _bring_run(store, share, root, item[1], item[0] in waits)

        for done, came_in, late in pool.map(bring_run, order):
            brought, size, later = brought + done, size + came_in, later | late
    return brought, size, later


def _run_of(path: str, missing: dict[str, File]) -> str:
    """Return the directory whose outcome speaks of this file: the nearest above it that has one to
    bring.
    """
    for parent in PurePosixPath(path).parents:
        if f"{parent}/{OUTCOME}" in missing:
            return str(parent)
    return str(PurePosixPath(path).parent)


def _bring_run(
    store: Store, share: MachineShare, root: Path, files: dict[str, File], rows_wait: bool
) -> tuple[int, int, set[str]]:
    data, outcomes = outcome_last(files)
    later: set[str] = set()
    brought = size = 0
    for path in outcomes:  # an old outcome must not stand beside new data
        (root / path).unlink(missing_ok=True)
    for path in (*sorted(data, key=lambda name: files[name].size), *outcomes):
        if path in outcomes and (later or rows_wait):
            later.add(path)
            continue
        came = _bring_file(store, share, root, path, files[path])
        if came is None:
            later.add(path)
        else:
            brought, size = brought + 1, size + came
    return brought, size, later


def _bring_file(store: Store, share: MachineShare, root: Path, path: str, file: File) -> int | None:
    """Bring one file and return the bytes that travelled; None where the bucket no longer has it as
    it is listed.
    """
    try:
        return _write_file(store, share, root / path, file)
    except OSError as error:
        raise Unwritable(
            f"{root / path} cannot be written here ({error.strerror}); {store.url} has it, and a"
            " later pull brings it"
        ) from error


def _write_file(store: Store, share: MachineShare, target: Path, file: File) -> int | None:
    _make_way(target)
    # Not by the file's own name, which may be as long as a name can be.
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]
    temporary = target.with_name(
        f".{digest}.{hashlib.sha256(''.join(file.parts).encode()).hexdigest()[:12]}.pull"
    )
    for stale in target.parent.glob(f".{digest}.*.pull"):
        if stale != temporary:
            stale.unlink(missing_ok=True)
    came = 0
    with os.fdopen(open_to_append(temporary, os.O_RDWR), "a+b") as stream:
        try:
            for number in range(_whole_parts(stream.fileno(), file), len(file.parts)):
                data = _part(store, share, file.parts[number])
                stream.write(data)
                came += len(data)
        except (Missing, DamagedObject):
            return None
    os.utime(temporary, ns=(file.mtime, file.mtime))
    temporary.chmod(file.mode)
    temporary.replace(target)
    return came


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
    """Count the parts that a pull before has brought, and cut off what follows them."""
    number = 0
    os.lseek(descriptor, 0, os.SEEK_SET)
    for digest in file.parts:
        data = os.read(descriptor, PART)
        if hashlib.sha256(data).hexdigest() != digest:
            break
        number += 1
    os.ftruncate(descriptor, min(number * PART, file.size))
    return number


def _part(store: Store, share: MachineShare, digest: str) -> bytes:
    data = store.get(share.object(digest))
    if hashlib.sha256(data).hexdigest() != digest:
        raise DamagedObject(f"a part of {share.name} in {store.url} is damaged")
    return data
