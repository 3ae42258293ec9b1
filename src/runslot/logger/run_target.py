"""To which run a logger writes: bound by hand or by following the process's run, let go, and split
by a fork.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, NotInstalled
from runslot.experiment.current import RUN_VARIABLE, current_run
from runslot.experiment.records import LoggerSettings
from runslot.experiment.rundir import RunDir
from runslot.logger.console import GrowingTable
from runslot.logger.options import Options, check_settings
from runslot.logger.outputs import Outputs
from runslot.logger.problems import Problems
from runslot.logger.sink_set import AttachedSinks
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
    """The state of a logger, and its beginning and end."""

    def __init__(self, *, follow_run: bool = False) -> None:
        """`follow_run`: bind to the run that this process belongs to when something is logged and
        nothing is bound.
        """
        self._follows = follow_run
        self._lock = threading.RLock()
        self._row: dict[str, Any] = {}
        self._disabled = self._tabular_disabled = False
        self._start_over(Options())
        _loggers.add(self)

    def _start_over(self, options: Options) -> None:
        self._settled = False
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
        self._options = options
        self._problems.on_error = options.on_error
        self._outputs.fsync = self._snapshots.fsync = options.fsync
        self._snapshots.background = options.async_snapshots
        self._snapshots.keep_last = options.keep_last

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
            self._words = Prefixes(settings.prefix)
            self._log_tabular_only = settings.log_tabular_only
            self._snapshots.directory = run.path
            self._snapshots.mode = settings.snapshot_mode
            self._snapshots.gap = settings.snapshot_gap
            self._snapshots.style = settings.style
            self._outputs.keeps_rows = resume
            self._outputs.add_text(run.path / text_log_file if text_log_file else run.debug_log)
            self._outputs.add_tabular(
                run.path / tabular_log_file if tabular_log_file else run.progress, fresh=fresh
            )
            self._problems.report_to(run.path)
            self._sinks.attach_asked(run.path)

    def reset(self) -> None:
        """Close what is open and forget everything, the row and the options too; a run is followed
        again.
        """
        with self._lock:
            self._leave()
            self._row = {}
            self._disabled = self._tabular_disabled = False
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
            if run is not None:
                self.bind_run(run.directory, run.logger, resume=run.resumable and run.attempt > 1)
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
        self._outputs.leave_to_parent()
        self._snapshots.after_fork()
        self._sinks = AttachedSinks(self._problems)
        self._problems.after_fork()


_loggers: weakref.WeakSet[Binding] = weakref.WeakSet()


def _split_after_fork() -> None:
    for logger in list(_loggers):
        logger._after_fork()


os.register_at_fork(after_in_child=_split_after_fork)
