"""Push a share's run directories to the bucket: what has changed since, with one list that makes it
visible.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from runslot.errors import Busy
from runslot.transport.bucket.inventory import PART, File, Inventory, MachineShare, read_listing
from runslot.transport.bucket.order import FileGroup, ordered, scan
from runslot.transport.bucket.store import Store
from runslot.transport.contents import OUTCOME
from runslot.transport.scan import Seen, Stamp, stamp_of

_GROWING = {".csv", ".log", ".jsonl", ".txt", ".out", ".err"}
"""Files that are appended to: what of them was there when they were opened is as good as any other
state.
"""

_FRESH = 100_000_000
"""Nanoseconds in which a file may change again without another time of change."""

_AT_ONCE = 8
_COMMIT_EVERY = 5.0
"""Seconds after which what has arrived is listed, while a push goes on."""
BEAT = 120.0
"""Seconds after which the list is written anew though nothing has changed: it says how long the
machine has lived.
"""


Arrived = dict[str, "tuple[Stamp | None, File]"]
"""By path: how a file arrived, and its stat unless it may still change unnoticed."""


class TakenOver(Busy):
    """Another machine works on this share now, so this one must not."""


class _Unsteady(Exception):
    """The file changed while it was read; the next push has it."""


class _BrokenOff(Exception):
    """Something else is to be sent first; the next push goes on at the part where this one was."""


def _never() -> bool:
    return False


class Pusher:
    """Pushes one share, from one machine. For one thread at a time."""

    def __init__(
        self,
        store: Store,
        share: MachineShare,
        root: Path,
        runs: Sequence[str],
        machine: str,
        extra: Sequence[str] = (),
        armed: float | None = None,
        beat: float = BEAT,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`root` is where the `runs`, relative paths, lie; `extra` are further files below it;
        `machine` is a name.

        The machine's life is counted from `armed`, a Unix time; every `beat` seconds at least the
        list says so.
        """
        self._store = store
        self._share = share
        self._root = root
        self._runs = dict.fromkeys(runs)
        self._extra = tuple(extra)
        self._machine = machine
        self._armed = time.time() if armed is None else armed
        self._listing = Inventory()
        self._files: dict[str, File] = {}
        self._sent_parts: set[str] = set()
        """Digests of parts that are in the bucket; large ones, too, that a push before has left
        there and that no list names yet: they need not travel twice.
        """
        self._dropped: set[str] = set()
        """Digests of parts that lists named before."""
        self._sent_stamps: dict[str, Stamp] = {}
        self._committed = 0.0
        self._say = say
        self._unreadable: set[str] = set()
        """Paths that were said to be left out."""
        self._beat = beat
        self._until = _never
        self.settled: set[str] = set()
        """Directories of runs of which nothing further comes, as home asked; listed once a whole
        push has sent what there is.
        """
        self.lived_before = 0.0
        """Seconds that other machines have lived on this share; known once it is claimed."""
        self.turns: dict[str, int] = {}
        """Ids of the runs that the machine has, with the number of its turn, as the list says; any
        thread changes them.
        """
        self.over: dict[str, str] = {}
        """Directories of those of which nothing further comes, by id; listed when that arrived."""

    def claim(self) -> Inventory:
        """Take the share over from whoever had it, and return what had arrived of it."""
        before = read_listing(self._store, self._share)
        parts = self._store.names(f"{self._share.name}/parts").items()
        whole = {name.rpartition("/")[2] for name, size in parts if size == PART}
        self._sent_parts = whole | before.objects
        self._files = dict(before.files)
        self.lived_before = before.lived_before(self._armed)
        self.turns.update(before.runs)
        self._listing = replace(before, machine=self._machine, state="working", said="")
        self._write()
        return before

    def trust_restored(self) -> None:
        """Take files that are on disk as the list has them for sent: they were restored from the
        bucket.
        """
        for path, file in self._files.items():
            with suppress(OSError):
                stamp = stamp_of((self._root / path).stat())
                if stamp[:2] == (file.size, file.mtime):
                    self._sent_stamps[path] = stamp

    def add(self, runs: Sequence[str]) -> None:
        """Send these runs' directories too, from now on; from any thread."""
        self._runs.update(dict.fromkeys(runs))

    def leave(self, run: str) -> None:
        """Send nothing further of a run; what is listed of it stays. From any thread."""
        self._runs.pop(run, None)

    def beat(self) -> None:
        """Write the list where it has not been written for a while."""
        if self._is_stale():
            self._commit()

    def push(
        self, state: str = "working", message: str = "", until: Callable[[], bool] = _never
    ) -> int:
        """Send what has changed and return how many bytes were sent; raise `TakenOver` where
        another machine works.

        `Unreachable` where the bucket does not answer: what had arrived before is listed or will
        be, and the next call sends the rest. The same where `until` becomes true: it is asked
        between parts, by any thread.
        """
        self._until = until
        settled = tuple(sorted(self.settled.union(self._listing.settled)))
        ended = self.over.copy()  # any thread adds to it
        runs = tuple(self._runs)
        by_run = scan(self._root, runs, self._extra)
        paths = {path for files in by_run.values() for path in files}
        own = tuple(f"{run}/" for run in runs)
        gone = [path for path in self._files if path not in paths and path.startswith(own)]
        for path in gone:
            del self._files[path]
        byte_count, whole = self._send_groups(ordered(self._changed(by_run)))
        before = self._listing
        if whole:
            arrived = [run for run, at in ended.items() if f"{at}/{OUTCOME}" in self._files]
            over = tuple(sorted({*arrived, *before.over}))
            self._listing = replace(before, state=state, said=message, settled=settled, over=over)
        is_news = self._listing != before or dict(before.runs) != dict(self.turns)
        if gone or byte_count or self._is_stale() or is_news:
            self._commit()
        if not whole:
            return byte_count
        # Not before: a file that was renamed has its parts under another path, which may not have
        # been listed yet.
        unused = self._dropped - {part for file in self._files.values() for part in file.parts}
        self._store.delete(map(self._share.object, sorted(unused)))
        self._sent_parts -= unused
        self._dropped.clear()
        return byte_count

    def _changed(self, by_run: Mapping[str, Seen]) -> dict[str, Seen]:
        """Return, run by run, the files that are not as they were when they were last sent."""
        sent = self._sent_stamps
        return {
            run: {path: stamp for path, stamp in files.items() if sent.get(path) != stamp}
            for run, files in by_run.items()
        }

    def _send_groups(self, groups: Sequence[FileGroup]) -> tuple[int, bool]:
        """Send groups; return how many bytes were sent, and whether the push came to its end."""
        byte_count = 0
        unsteady: set[str] = set()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for group, arrived in self._uploaded(pool, groups):
                    if arrived is None or group.run in unsteady:
                        unsteady.add(group.run)
                        continue
                    byte_count += self._note(arrived)
            except _BrokenOff:
                return byte_count, False
        return byte_count, True

    def _note(self, arrived: Arrived) -> int:
        """Have the list name what has arrived; return how many bytes are new in it."""
        byte_count = 0
        for path, (stamp, file) in arrived.items():
            if self._files.get(path) != file:
                self._files[path] = file
                byte_count += file.size or 1
            if stamp is not None:
                self._sent_stamps[path] = stamp
        if time.monotonic() - self._committed > _COMMIT_EVERY:
            self._commit()
        return byte_count

    def _uploaded(
        self, pool: ThreadPoolExecutor, groups: Sequence[FileGroup]
    ) -> Iterator[tuple[FileGroup, Arrived | None]]:
        """Yield each group when it has arrived, in order, small ones side by side; None where it
        was unsteady.
        """
        small = [group for group in groups if group.size <= PART]
        yield from zip(small, pool.map(self._upload, small), strict=True)
        for group in groups:
            if group.size > PART:
                self._commit()  # what is small is seen before what is large has travelled
                yield group, self._upload(group, pool)

    def _upload(self, group: FileGroup, pool: ThreadPoolExecutor | None = None) -> Arrived | None:
        self._check_until()
        arrived: Arrived = {}
        for path, stamp in group.files.items():
            try:
                arrived[path] = self._upload_file(self._root / path, stamp, pool)
            except _Unsteady:
                return None
            except FileNotFoundError:
                if len(group.files) > 1:
                    # an attempt that is just being kept aside: the next scan sees its files
                    return None
            # of the file alone: what else the run has written goes on its way
            except OSError as error:
                if path not in self._unreadable:
                    self._unreadable.add(path)
                    reason = error.strerror
                    self._say(f"{self._root / path} cannot be read ({reason}), so it is not sent")
        return arrived

    def _upload_file(
        self, path: Path, seen: Stamp, pool: ThreadPoolExecutor | None
    ) -> tuple[Stamp | None, File]:
        """Send what of a file is not in the bucket; return its stamp, unless it may still change
        unnoticed.
        """
        now = time.time_ns()
        is_growing = path.suffix in _GROWING
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            before = stamp_of(status)
            if before != seen and not is_growing:
                raise _Unsteady
            parts = self._send(_parts_of(stream, before[0]), pool)
            after = stamp_of(os.fstat(stream.fileno()))
        if after != before and not (is_growing and after[0] >= before[0]):
            raise _Unsteady
        file = File(before[0], before[1], tuple(parts), status.st_mode & 0o777)
        return (before if before[1] < now - _FRESH and after == before else None), file

    def _send(self, chunks: Iterator[bytes], pool: ThreadPoolExecutor | None) -> list[str]:
        parts: list[str] = []
        under_way: list[Future[None]] = []
        for chunk in chunks:
            digest = hashlib.sha256(chunk).hexdigest()
            parts.append(digest)
            if digest in self._sent_parts:
                continue
            if pool is None:
                self._put(digest, chunk)
                continue
            self._check_until()
            self.beat()
            under_way.append(pool.submit(self._put, digest, chunk))
            if len(under_way) >= 4:  # so many parts are in memory at most
                under_way.pop(0).result()
        for future in under_way:
            future.result()
        return parts

    def _put(self, digest: str, chunk: bytes) -> None:
        self._store.put(self._share.object(digest), chunk)
        self._sent_parts.add(digest)

    def _check_until(self) -> None:
        if self._until():
            raise _BrokenOff

    def _is_stale(self) -> bool:
        return time.monotonic() - self._committed > self._beat

    def _commit(self) -> None:
        before = read_listing(self._store, self._share)
        if before.machine not in {"", self._machine}:
            raise TakenOver(
                f"{self._share.name} is worked on by another machine now ({before.machine}); this"
                " one stops"
            )
        self._dropped |= before.objects
        self._write()

    def _write(self) -> None:
        now = time.time()
        self._listing = replace(
            self._listing,
            sequence=self._listing.sequence + 1,
            written=now,
            armed=self._armed,
            lived=self.lived_before + max(0.0, now - self._armed),
            runs=dict(self.turns),
            files=dict(self._files),
        )
        self._store.put(self._share.listing, self._listing.to_bytes())
        self._committed = time.monotonic()


def _parts_of(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes in parts; `_Unsteady` where the file has become shorter."""
    for start in range(0, size, PART):
        part = stream.read(min(PART, size - start))
        if len(part) < min(PART, size - start):
            raise _Unsteady
        yield part
