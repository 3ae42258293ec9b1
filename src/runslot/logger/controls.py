"""The switches of a logger by the ancestors' names: prefixes, files, snapshot settings, on and
off.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput
from runslot.experiment.current import make_directory
from runslot.logger.problems import Options, at_least, checked
from runslot.logger.run_target import Binding, PathText
from runslot.logger.sinks import Sink
from runslot.logger.snapshots import MODES

__all__ = ["Controls", "PathText"]


class Controls(Binding):
    """What a script sets."""

    def configure(self, **options: Any) -> None:
        """Change options: `on_error`, `fsync`, `async_snapshots`, `keep_last`, `console`; see
        `Options`.
        """
        self._refuse_unknown(options)
        with self._following():
            self._use(dataclasses.replace(self._options, **options))

    @staticmethod
    def _refuse_unknown(options: Mapping[str, Any]) -> None:
        for name in options:
            checked("option", name, [field.name for field in dataclasses.fields(Options)])

    # Prefixes; each thread has its own

    def push_prefix(self, prefix: str) -> None:
        """Begin every log line of this thread with `prefix`, after those that were pushed
        before.
        """
        with self._following():
            self._words.push(prefix)

    def pop_prefix(self) -> None:
        """Take the last prefix away."""
        with self._following():
            self._words.pop()

    @contextmanager
    def prefix(self, key: str) -> Iterator[None]:
        """Hold a prefix of log lines for the length of a `with`."""
        with self._following():
            words = self._words
        with words.pushed(key):
            yield

    def push_tabular_prefix(self, key: str) -> None:
        """Begin every key that this thread records with `key`, after those that were pushed
        before.
        """
        with self._following():
            self._keys.push(key)

    def pop_tabular_prefix(self) -> None:
        """Take the last prefix of keys away."""
        with self._following():
            self._keys.pop()

    @contextmanager
    def tabular_prefix(self, key: str) -> Iterator[None]:
        """Hold a prefix of keys for the length of a `with`."""
        with self._following():
            keys = self._keys
        with keys.pushed(key):
            yield

    def set_disable_prefix(self, disable_prefix: bool) -> None:
        """Leave the prefixes out of log lines."""
        with self._following():
            self._disable_prefix = disable_prefix

    def get_disable_prefix(self) -> bool:
        """Tell whether prefixes are left out."""
        with self._following():
            return self._disable_prefix

    # Files

    def add_text_output(self, file_name: PathText) -> None:
        """Append log lines to this file too."""
        with self._following():
            self._outputs.add_text(_absolute(file_name))

    def remove_text_output(self, file_name: PathText) -> None:
        """Append no more lines to this file."""
        with self._following():
            self._outputs.remove_text(_absolute(file_name))

    def add_tabular_output(
        self, file_name: PathText, relative_to_snapshot_dir: bool = False
    ) -> None:
        """Write rows to this CSV file too; anew, unless this logger wrote it before or the run is
        resumed.
        """
        with self._following():
            self._outputs.add_tabular(
                self._tabular_path(file_name, relative_to_snapshot_dir), fresh=True
            )

    def remove_tabular_output(
        self, file_name: PathText, relative_to_snapshot_dir: bool = False
    ) -> None:
        """Write no more rows to this file."""
        with self._following():
            self._outputs.put_tabular_aside(self._tabular_path(file_name, relative_to_snapshot_dir))

    def hold_tabular_output(self, file_name: PathText) -> None:
        """Write no rows to this file until it is added again."""
        self.remove_tabular_output(file_name)

    def _tabular_path(self, file_name: PathText, relative_to_snapshot_dir: bool) -> Path:
        if not relative_to_snapshot_dir:
            return _absolute(file_name)
        if self._snapshots.directory is None:
            raise InvalidInput(
                f"logger: {file_name} is relative to the snapshot directory, and none is set"
            )
        return _absolute(self._snapshots.directory / file_name)

    # Snapshots

    def set_snapshot_dir(self, dir_name: PathText) -> None:
        """Keep snapshots and extra data in this directory, which is made."""
        with self._following():
            self._snapshots.directory = _absolute(dir_name)
            with self._harmless("snapshot directory"):
                make_directory(self._snapshots.directory)

    def get_snapshot_dir(self) -> str | None:
        """Return the directory of snapshots; None without one."""
        with self._following():
            return None if self._snapshots.directory is None else str(self._snapshots.directory)

    def set_snapshot_mode(self, mode: str) -> None:
        """Keep `all` snapshots, the `last`, one each `gap`, `gap_and_last` (or `last+gap`), or
        `none`.
        """
        with self._following():
            self._snapshots.mode = checked("snapshot mode", mode, MODES)

    def get_snapshot_mode(self) -> str:
        """Return the mode of snapshots."""
        with self._following():
            return self._snapshots.mode

    def set_snapshot_gap(self, gap: int) -> None:
        """Keep one snapshot each `gap` iterations, in the modes with a gap."""
        with self._following():
            self._snapshots.gap = at_least("snapshot_gap", gap, 1)

    def get_snapshot_gap(self) -> int:
        """Return the gap of snapshots."""
        with self._following():
            return self._snapshots.gap

    # On and off

    def set_log_tabular_only(self, log_tabular_only: bool) -> None:
        """Print rows as one growing table, and no other lines."""
        with self._following():
            self._log_tabular_only = log_tabular_only

    def get_log_tabular_only(self) -> bool:
        """Tell whether only rows are printed."""
        with self._following():
            return self._log_tabular_only

    def disable(self) -> None:
        """Neither print nor write lines and rows, as in all but one process of a distributed
        training.
        """
        with self._following():
            self._disabled = True

    def enable(self) -> None:
        """Undo `disable`."""
        with self._following():
            self._disabled = False

    def disable_tabular(self) -> None:
        """Print rows, but do not write them."""
        with self._following():
            self._tabular_disabled = True

    def enable_tabular(self) -> None:
        """Undo `disable_tabular`."""
        with self._following():
            self._tabular_disabled = False

    # Sinks

    def add_sink(self, sink: str | Sink) -> None:
        """Send rows to a sink too: `jsonl`, `tensorboard`, `wandb`, or an object with `write` and
        `close`.

        `NotInstalled` where a named one lacks its library. A sink that fails later, or blocks, is
        detached.
        """
        with self._following():
            self._sinks.attach(sink, self._snapshots.directory)

    def set_tf_summary_writer(self, writer: Any) -> None:
        """Give rows to an object with `add_scalar(key, value, iteration)` too; None takes it
        away.
        """
        with self._following():
            self._sinks.set_summary_writer(writer)
            self._group_statistics = writer is not None

    def get_tf_summary_writer(self) -> Any:
        """Return what `set_tf_summary_writer` was given."""
        with self._following():
            return self._sinks.summary_writer


def _absolute(path: PathText) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - `..` is taken away, links are kept
