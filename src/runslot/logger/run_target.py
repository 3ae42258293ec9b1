"""To which run a logger writes: bound by hand or by following the process's run, let go, and split
by a fork.

The files that a logger writes to, and what happens where one of them cannot be written.

Rows are held back and tried again; lines of text are not. Nothing raises unless that was asked for.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.errors import Busy, InvalidInput, NotFound, NotInstalled
from runslot.experiment.current import RUN_VARIABLE, current_run, make_directory, where_now
from runslot.experiment.files import open_unless_led
from runslot.experiment.records import LoggerSettings
from runslot.experiment.rundir import RunDir
from runslot.logger.cells import Plain
from runslot.logger.console import GrowingTable
from runslot.logger.problems import Options, Problems, check_settings
from runslot.logger.progress import ProgressFile
from runslot.logger.sinks import AttachedSinks
from runslot.logger.snapshots import Snapshots

PathText = str | os.PathLike[str]


class Prefixes(threading.local):
    """A stack of texts. Another thread starts with what the run began with, not with what this one
    pushed.
    """

    def __init__(self, base: str = "") -> None:
        # `threading.local` calls this in every thread, with the arguments of the first
        self._stack: list[str] = [base] if base else []
        self.text = base
        """All of them, joined."""

    def push(self, prefix: str) -> None:
        """Add a text at the end."""
        self._stack.append(str(prefix))
        self.text = "".join(self._stack)

    def pop(self) -> None:
        """Take the last one away; nothing where there is none."""
        if self._stack:
            del self._stack[-1]
            self.text = "".join(self._stack)

    @contextmanager
    def pushed(self, prefix: str) -> Iterator[None]:
        """Hold a text for the length of a `with`, also where it ends in an exception."""
        before = len(self._stack)
        self.push(prefix)
        try:
            yield
        finally:
            del self._stack[before:]
            self.text = "".join(self._stack)


class Binding:
    """The state of a logger, and its beginning and end.

    Its parts are made when the first of them is used: a template, its keepers, and runs that log
    nothing, have none.
    """

    def __init__(self, *, follow_run: bool = False) -> None:
        """`follow_run`: bind to the run that this process belongs to when something is logged and
        nothing is bound.
        """
        self._follows = follow_run
        self._lock = threading.RLock()
        self._row: dict[str, Any] = {}
        self._disabled = self._tabular_disabled = False
        _loggers.add(self)

    if not TYPE_CHECKING:  # for which a misspelt name is an error

        def __getattr__(self, name: str) -> Any:
            # Asked for what is not there alone, so that it costs no call that records anything.
            if self._has_begun or not name.startswith("_") or name.startswith("__"):
                raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
            with self._lock:
                if not self._has_begun:
                    self._start_over(Options())
            return object.__getattribute__(self, name)

    @property
    def _has_begun(self) -> bool:
        return "_options" in self.__dict__  # which is set last

    def _start_over(self, options: Options) -> None:
        self._settled = self._is_astray = False
        self._problems = Problems()
        self._outputs = Outputs(self._problems)
        self._snapshots = Snapshots()
        self._sinks = AttachedSinks(self._problems)
        self._words = Prefixes()
        self._keys = Prefixes()
        self._iteration: int | None = None
        self._dumped = 0
        self._growing = GrowingTable()
        self._log_tabular_only = self._disable_prefix = False
        self._group_statistics = False
        """Write `key/Average` instead of `keyAverage`, as rlpyt does for TensorBoard."""
        self._use(options)

    def _use(self, options: Options) -> None:
        self._problems.on_error = options.on_error
        self._outputs.fsync = self._snapshots.fsync = options.fsync
        self._snapshots.background = options.async_snapshots
        self._snapshots.keep_last = options.keep_last
        self._options = options

    def bind_run(
        self,
        directory: PathText,
        settings: LoggerSettings | None = None,
        *,
        options: Options | None = None,
        resume: bool = False,
        fresh: bool = False,
        text_log_file: str | None = None,
        tabular_log_file: str | None = None,
    ) -> None:
        """Write into `directory` from now on, by the rules of a front door; nothing that was bound
        before stays.

        A row that was begun stays; so do `disable` and, unless new ones are given, the options.
        Rows that are in the directory are continued, unless it is to begin `fresh`; with `resume`
        so are the files of later `add_tabular_output`. The file names default to `debug.log` and
        `progress.csv`.
        """
        settings = check_settings(settings or LoggerSettings())
        run = RunDir(Path(directory).absolute())
        with self._lock:
            self._leave()
            self._start_over(options or self._options)
            self._settled = True
            self._snapshots.directory = run.path
            self._take(settings, resume)
            self._outputs.add_text(run.path / text_log_file if text_log_file else run.debug_log)
            self._outputs.add_tabular(
                run.path / tabular_log_file if tabular_log_file else run.progress, fresh=fresh
            )
            self._problems.report_to(run.path)
            self._sinks.attach_asked(run.path)

    def _take(self, settings: LoggerSettings, resume: bool) -> None:
        self._words = Prefixes(settings.prefix)
        self._log_tabular_only = settings.log_tabular_only
        self._snapshots.mode = settings.snapshot_mode
        self._snapshots.gap = settings.snapshot_gap
        self._snapshots.style = settings.style
        self._outputs.keeps_rows = resume

    def reset(self) -> None:
        """Close what is open and forget everything, the row and the options too; a run is followed
        again.
        """
        with self._lock:
            self._row = {}
            self._disabled = self._tabular_disabled = False
            if self._has_begun:
                self._leave()
                self._start_over(Options())

    def _end(self) -> None:
        """Let go of the run, and keep options, switches and the gap of snapshots, as rlpyt does."""
        with self._lock:
            self._leave()
            self._row, gap = {}, self._snapshots.gap
            self._start_over(self._options)
            self._snapshots.gap = gap

    def close(self) -> None:
        """Write what waits, close files and sinks, and leave what could not be written for the
        run's outcome.

        Called at the interpreter's end. Logging after it opens the files again.
        """
        with self._lock:
            self._leave()

    def get_problems(self) -> list[str]:
        """Return what could not be written so far, one sentence for each file."""
        with self._lock:
            return self._problems.sentences()

    def _leave(self) -> None:
        if not self._has_begun:
            return
        error = self._snapshots.finish()
        if error is not None:
            self._problems.met("snapshot", error)
        self._sinks.close()
        self._outputs.close()
        self._problems.save()

    def _follow(self) -> None:
        """Bind to the run of this process, once there is one."""
        if self._settled or not self._follows or RUN_VARIABLE not in os.environ:
            return
        self._settled = True
        try:
            run = current_run()
            if run is not None and self._is_astray:
                self._take(run.logger, run.resumable and run.attempt > 1)
            elif run is not None:
                self.bind_run(run.directory, run.logger, resume=run.resumable and run.attempt > 1)
        except NotFound:  # its directory is moved: rows wait until it is back, as on a full disk
            if not self._is_astray:
                self.bind_run(os.environ[RUN_VARIABLE])
            self._settled, self._is_astray = False, True
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the run's files, the training goes on
            self._problems.met("the run's directory", error)

    @contextlib.contextmanager
    def _following(self) -> Iterator[None]:
        """Hold the lock, bound to the process's run if there is one."""
        with self._lock:
            self._follow()
            yield

    @contextlib.contextmanager
    def _harmless(self, thing: str) -> Iterator[None]:
        """Count what goes wrong with `thing` instead of raising it; refusals of bad input are
        raised.
        """
        try:
            yield
        except (InvalidInput, NotInstalled):
            raise
        except Exception as error:
            with self._lock:
                self._problems.met(thing, error)
                if self._problems.on_error == "raise":
                    raise

    def _complete_variant(self) -> None:
        """Leave the variant beside the rows, as viskit wants it; a run that logs nothing goes
        without the file.
        """
        with self._harmless("variant.json"):
            run = current_run()
            if run is None or self._snapshots.directory != run.directory:
                return
            run_dir = RunDir(run.directory)
            # which viskit reads as well
            if self._snapshots.style != "rlpyt" or not run_dir.params_file.exists():
                run_dir.complete_variant(run.variant)

    def _after_fork(self) -> None:
        """In a forked child: rows and threads are the parent's; text files are shared."""
        self._lock = threading.RLock()
        self._row = {}
        if not self._has_begun:
            return
        self._outputs.leave_to_parent()
        self._snapshots.after_fork()
        self._sinks = AttachedSinks(self._problems)
        self._problems.after_fork()


_loggers: weakref.WeakSet[Binding] = weakref.WeakSet()


def _split_after_fork() -> None:
    for logger in list(_loggers):
        logger._after_fork()


os.register_at_fork(after_in_child=_split_after_fork)


# ---- what a file of rows or words is -------------------------------------------------------------


class TextFile:
    """A text file that grows; opened at the first line, and again after it failed or vanished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def write(self, text: str) -> None:
        """Append `text`, which ends in a newline; it is in the file when this returns. Raises
        `OSError`.
        """
        if self._fd < 0 or not os.fstat(self._fd).st_nlink:
            self._open()
        rest = text.encode("utf-8", "backslashreplace")
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; a later `write` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self.close()
        path = where_now(self.path)
        self._fd = open_unless_led(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            end = os.fstat(self._fd).st_size
            if end and os.pread(self._fd, 1, end - 1) != b"\n":
                os.write(self._fd, b"\n")  # a line that a kill tore
        except OSError:
            self.close()
            raise


class Outputs:
    """Text files and CSV files, by absolute path."""

    def __init__(self, problems: Problems) -> None:
        self.fsync = False
        self.keeps_rows = False
        """A resumed run: files of rows that are there already are continued, never begun anew."""
        self._problems = problems
        self._texts: dict[Path, TextFile] = {}
        self._tabulars: dict[Path, ProgressFile] = {}
        self._put_aside: dict[Path, ProgressFile] = {}

    @property
    def rows(self) -> int:
        """Rows in the longest file of rows."""
        return max((file.rows for file in self._tabulars.values()), default=0)

    @property
    def has_text(self) -> bool:
        """Whether there is a file for log lines."""
        return bool(self._texts)

    def add_text(self, path: Path) -> None:
        """Write log lines to `path` too."""
        if path not in self._texts:
            self._texts[path] = TextFile(path)
            self._make_directory(path.parent)

    def remove_text(self, path: Path) -> None:
        """Write no more lines to `path`."""
        file = self._texts.pop(path, None)
        if file is not None:
            file.close()

    def add_tabular(self, path: Path, *, fresh: bool) -> None:
        """Write rows to `path` too. `fresh`: begin it anew, unless rows were written to it before,
        or are kept.
        """
        if path not in self._tabulars:
            state = self._put_aside.pop(path, None)
            self._tabulars[path] = state or ProgressFile(
                path, fresh=fresh and not self.keeps_rows, fsync=self.fsync
            )
            self._make_directory(path.parent)

    def put_tabular_aside(self, path: Path) -> None:
        """Write no more rows to `path`; adding it again continues it."""
        file = self._tabulars.pop(path, None)
        if file is not None:
            self._put_aside[path] = file
            self._finish(file)

    def write_text(self, text: str) -> None:
        """Append lines to every text file."""
        for file in self._texts.values():
            try:
                file.write(text)
            except OSError as error:
                self._problems.met(file.path.name, error, lost=text.count("\n"))
                if self._problems.on_error == "raise":
                    raise

    def write_row(self, row: Mapping[str, Plain]) -> bool:
        """Add a row to every file of rows; False where another process writes them."""
        is_own = True
        for file in self._tabulars.values():
            held_back, dropped = file.held_back, file.dropped
            file.fsync = self.fsync
            try:
                file.write(row)
            except Exception as error:
                is_own = is_own and not isinstance(error, Busy)
                lost = file.dropped - dropped if is_own else 1
                self._problems.met(file.path.name, error, lost=lost)
                if self._problems.on_error == "raise":
                    raise
            else:
                if held_back:
                    self._problems.solved(file.path.name)
        return is_own

    def close(self) -> None:
        """Try once more what was held back, and close everything."""
        for file in (*self._tabulars.values(), *self._put_aside.values()):
            self._finish(file)
            if file.held_back:
                self._problems.met(file.path.name, "rows never written", lost=file.held_back)
        for text in self._texts.values():
            text.close()

    def leave_to_parent(self) -> None:
        """After a fork, in the child: rows that are not ours stay the parent's."""
        for file in (*self._tabulars.values(), *self._put_aside.values()):
            file.leave_to_parent()

    def _finish(self, file: ProgressFile) -> None:
        if file.held_back:
            try:
                file.catch_up()
                self._problems.solved(file.path.name)
            except (OSError, Busy) as error:
                self._problems.met(file.path.name, error)
        file.close()

    def _make_directory(self, directory: Path) -> None:
        try:
            make_directory(directory)
        except OSError as error:
            self._problems.met(str(directory), error)
            if self._problems.on_error == "raise":
                raise
