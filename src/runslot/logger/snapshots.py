"""What `save_itr_params` keeps: by whose rule, in which format, written by rename.

A file is complete or not there; in the background the caller pays for the bytes, a thread for the
disk.

How a snapshot replaces the one before: written beside it, then renamed, so that none is ever
half-written.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

from runslot.errors import NotFound, NotInstalled
from runslot.experiment.current import where_now

Style = Literal["launchkit", "rlpyt"]

MODES = ("all", "last", "gap", "gap_and_last", "last+gap", "none")
LAST = "params.pkl"

_NUMBERED = re.compile(r"itr_(\d+)\.pkl")
_ZIP = b"PK\x03\x04"


def names(style: Style, mode: str, gap: int, itr: int) -> tuple[str, ...]:
    """Return the files that snapshot `itr` goes to, by the rule of an ancestor (`ANCESTORS`: its
    `save_itr_params`).
    """
    due = itr % gap == 0 if style == "launchkit" else itr == 0 or (itr + 1) % gap == 0
    numbered = (f"itr_{itr}.pkl",)
    if mode == "all":
        return numbered
    if mode == "last":
        return (LAST,)
    if mode == "gap":
        return numbered if due else ()
    if mode in {"gap_and_last", "last+gap"}:
        return (*numbered, LAST) if due else (LAST,)
    return ()


def dump_params(params: Any, file: BinaryIO) -> None:
    """Write a snapshot: as `torch.save` does where it holds tensors or modules of torch, else as a
    pickle.
    """
    torch = sys.modules.get("torch")
    if torch is not None and _holds_torch(params, torch):
        torch.save(params, file)
    else:
        dump_pickle(params, file)


def dump_pickle(value: Any, file: BinaryIO) -> None:
    """Write a pickle; by value where classes or functions cannot be found by name, as those of a
    notebook.
    """
    try:
        pickle.dump(value, file, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):
        try:
            import cloudpickle
        except ImportError:
            cloudpickle = None
        if cloudpickle is None:
            raise
        file.seek(0)
        file.truncate()
        cloudpickle.dump(value, file)


def _holds_torch(value: Any, torch: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_torch(item, torch) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_torch(item, torch) for item in value)
    return isinstance(value, (torch.Tensor, torch.nn.Module, torch.optim.Optimizer))


def load(directory: Path, itr: int | None) -> Any:
    """Return a snapshot of `directory`: number `itr`, or the last one; None where there is none
    yet.

    `NotFound` where number `itr` was asked for and is not there. Tensors come to the CPU. A
    snapshot is a pickle: load only those of runs that you trust.
    """
    path = directory / f"itr_{itr}.pkl" if itr is not None else _newest(directory)
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        numbers = ", ".join(map(str, sorted(_numbered(directory)))) or "none"
        raise NotFound(
            f"no snapshot {path.name} in {directory}; kept iterations: {numbers}"
        ) from None
    if content.startswith(_ZIP):
        try:
            import torch
        except ImportError:
            raise NotInstalled(
                f"{path} was written by torch.save; install torch to load it"
            ) from None
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    return pickle.loads(content)  # noqa: S301 - the run's own file, as the docstring says


def _newest(directory: Path) -> Path | None:
    last = directory / LAST
    if last.exists():
        return last
    numbered = _numbered(directory)
    return directory / f"itr_{max(numbered)}.pkl" if numbered else None


def _numbered(directory: Path) -> list[int]:
    try:
        entries = os.listdir(directory)  # noqa: PTH208 - names are enough
    except OSError:
        return []
    return [int(match[1]) for name in entries if (match := _NUMBERED.fullmatch(name))]


def forget_old(directory: Path, keep_last: int) -> None:
    """Remove all but the newest `keep_last` numbered snapshots."""
    for itr in sorted(_numbered(directory))[:-keep_last]:
        (directory / f"itr_{itr}.pkl").unlink(missing_ok=True)


class Background:
    """At most one piece of work in a thread; its error surfaces at the next `finish`."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Start `work`; the one before must be finished. Not a daemon: the interpreter waits for it
        at its end.
        """
        self._thread = threading.Thread(target=self._run, args=(work,), name="runslot snapshot")
        self._thread.start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - handed to the caller of finish
            self._error = error

    def finish(self) -> Exception | None:
        """Wait for the work under way, if any, and return what it raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        return error


class Snapshots:
    """The snapshots of one run: what is kept, when, and in which directory. Errors leave `save`."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.mode = "all"
        self.gap = 1
        self.style: Style = "launchkit"
        self.keep_last = 0
        """How many numbered snapshots stay; 0: all."""
        self.fsync = False
        self.background = False
        self._cleaned: set[Path] = set()
        self._work = Background()
        self._lock = threading.RLock()  # a signal handler may save, too

    def save(self, itr: int, params: Any) -> None:
        """Keep `params` if it is time; raises what the writing, or the one before in the
        background, raised.
        """
        directory = self.directory
        files = names(self.style, self.mode, self.gap, itr) if directory is not None else ()
        if directory is None or not files:
            return
        directory = where_now(directory)
        with self._lock:
            earlier = self._work.finish()
            if self.background:
                content = io.BytesIO()
                dump_params(params, content)
                self._work.start(
                    lambda: self._write(
                        directory, files, lambda file: file.write(content.getbuffer())
                    )
                )
            else:
                self._write(directory, files, lambda file: dump_params(params, file))
        if earlier is not None:
            raise earlier

    def finish(self) -> Exception | None:
        """Wait for the snapshot under way and return what it raised."""
        with self._lock:
            return self._work.finish()

    def after_fork(self) -> None:
        """In the child: the parent's thread and lock are not here."""
        self._work = Background()
        self._lock = threading.RLock()  # a signal handler may save, too

    def _write(
        self, directory: Path, files: tuple[str, ...], write: Callable[[BinaryIO], object]
    ) -> None:
        if directory not in self._cleaned:
            remove_leftovers(directory)
            self._cleaned.add(directory)
        first, *more = (directory / name for name in files)
        with replacing(first, fsync=self.fsync) as target:
            write(target)
        for path in more:
            with first.open("rb") as source, replacing(path, fsync=self.fsync) as target:
                shutil.copyfileobj(source, target)
        if self.keep_last:
            forget_old(directory, self.keep_last)


# ---- objects instead of snapshots ----------------------------------------------------------------


_TEMPORARY = re.compile(r"\..+\.pkl\.(\d+)~")


@contextmanager
def replacing(path: Path, *, fsync: bool) -> Iterator[BinaryIO]:
    """Open a file that becomes `path` when the block ends well; a kill leaves the old file or the
    new.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}~")
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o666), "w+b") as file:
            yield file
            if fsync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(directory: Path) -> None:
    """Remove what killed processes of this machine were writing there."""
    for entry in os.scandir(directory):
        match = _TEMPORARY.fullmatch(entry.name)
        if match and not _lives(int(match[1])):
            Path(entry.path).unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # another user's, or no pid: not ours to judge
    return True
