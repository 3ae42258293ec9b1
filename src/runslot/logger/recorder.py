"""What a run logs: rows, words, snapshots, extra data."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput
from runslot.experiment.current import make_directory, where_now
from runslot.experiment.files import write_atomically
from runslot.logger import console, extra, snapshots
from runslot.logger.cells import PLAIN_TYPES, Plain, fetched, held
from runslot.logger.controls import Controls, PathText
from runslot.logger.extra import NAMES, spread
from runslot.logger.snapshots import replacing
from runslot.variants.encode import to_jsonable


class Recorder(Controls):
    """What a script records, says and keeps."""

    # Rows

    def record_tabular(self, key: object, val: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - as rlpyt's
        """Put one value into the row, instead of one of the same key. More arguments are ignored,
        as by rlpyt.
        """
        name = self._keys.text + str(key)
        value = val if type(val) in PLAIN_TYPES else held(val)
        with self._lock:
            if name in self._row:
                self._tell_twice(name)
            self._row[name] = value

    def record_dict(self, d: Mapping[Any, Any], prefix: str | None = None) -> None:
        """Put all values of `d` into the row, `prefix` before each key."""
        start = self._keys.text + prefix if prefix else self._keys.text
        values = {
            start + str(key): val if type(val) in PLAIN_TYPES else held(val)
            for key, val in d.items()
        }
        with self._lock:
            if self._row and not self._row.keys().isdisjoint(values):
                for name in self._row.keys() & values.keys():
                    self._tell_twice(name)
            self._row.update(values)

    def record_tabular_misc_stat(self, key: str, values: Any, placement: str = "back") -> None:
        """Put Average, Std, Median, Min and Max of `values` into the row, after the key or
        (`front`) before it.
        """
        slash = "/" if self._group_statistics else ""
        before, after = ("", key) if placement == "front" else (f"{key}{slash}", "")
        for name, value in zip(NAMES, spread(values), strict=True):
            self.record_tabular(f"{before}{name}{after}", value)

    def dump_tabular(self, *args: Any, write_header: bool | None = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Write the row and begin the next; nothing where it is empty. It is in the file when this
        returns.

        Other arguments are those of `log`, for the table. `write_header` is ignored: a file has one
        header.
        """
        with self._lock:
            self._follow()
            row, self._row = self._row, {}
            if not row or self._disabled:
                return
            row = fetched(row)
            if not self._dumped:
                self._complete_variant()
            is_own = not self._tabular_disabled and self._outputs.write_row(row)
            self._dumped = max(self._dumped + 1, self._outputs.rows)
            iteration = self._dumped - 1 if self._iteration is None else self._iteration
            if is_own:
                self._sinks.put(row, iteration)
            self._show(row, iteration, *args, **kwargs)

    def get_table_dict(self) -> dict[str, str]:
        """Return the row so far, its values as text."""
        with self._lock:
            return {key: str(value) for key, value in fetched(dict(self._row)).items()}

    def get_table_key_set(self) -> set[str]:
        """Return the keys of the row so far."""
        with self._lock:
            return set(self._row)

    def set_iteration(self, iteration: int) -> None:
        """Say which iteration the next rows are, for sinks and the one-line console; else rows are
        counted from 0.
        """
        self._iteration = operator.index(iteration)

    def _tell_twice(self, name: str) -> None:
        self._problems.say_once(
            "twice", f"{name!r} was recorded twice in one row; the last value is kept"
        )

    def _show(self, row: Mapping[str, Plain], iteration: int, *args: Any, **kwargs: Any) -> None:
        if self._log_tabular_only:
            self._print(self._growing.add(row, console.is_terminal()))
            return
        mode = self._options.console
        table = console.table(row) if mode == "table" or self._outputs.has_text else []
        line = [console.one_line(row, iteration)] if mode == "line" else []
        self._emit(table, table if mode == "table" else line, *args, **kwargs)

    # Words

    def log(
        self,
        s: object,
        with_prefix: bool = True,
        with_timestamp: bool = True,
        color: str | None = None,
    ) -> None:
        """Print a text and append it to the text files, after time and prefixes; only the console
        gets colour.
        """
        with self._lock:
            self._follow()
            if not self._log_tabular_only and not self._disabled:
                text = [str(s)]
                self._emit(
                    text,
                    [] if self._options.console == "silent" else text,
                    with_prefix,
                    with_timestamp,
                    color,
                )

    def log_to_files(self, text: str) -> None:
        """Append a line to the text files as it is, and print nothing."""
        with self._following():
            if not self._disabled:
                self._outputs.write_text(text + "\n")

    def _emit(
        self,
        written: list[str],
        printed: list[str],
        with_prefix: bool = True,
        with_timestamp: bool = True,
        color: str | None = None,
    ) -> None:
        if not printed and not (written and self._outputs.has_text):
            return
        head = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S.%f %Z} | " if with_timestamp else ""
        if with_prefix and not self._disable_prefix:
            head += self._words.text
        if printed:
            lines = [head + text for text in printed]
            self._print(
                "\n".join([console.colored(text, color) for text in lines] if color else lines)
                + "\n"
            )
        if written:
            self._outputs.write_text(head + f"\n{head}".join(written) + "\n")

    def _print(self, text: str) -> None:
        error = console.write(text)
        if error is not None:
            self._problems.met("console", error)

    def log_variant(self, log_file: PathText, variant_data: Any) -> None:
        """Write a variant as JSON, with classes, functions and enums as RLKit writes them."""
        path = Path(log_file)
        text = json.dumps(to_jsonable(variant_data), indent=2, sort_keys=True) + "\n"
        with self._following(), self._harmless(path.name):
            make_directory(path.parent)
            write_atomically(where_now(path), text)

    # Snapshots

    def save_itr_params(self, itr: int, params: Any) -> None:
        """Keep a snapshot, if the mode says that iteration `itr` is kept: `itr_N.pkl`,
        `params.pkl`, or both.
        """
        with self._following():
            store, number = self._snapshots, operator.index(itr)
        # not under the lock: a large snapshot must not hold up other threads' rows
        with self._harmless("snapshot"):
            store.save(number, params)

    def load_itr_params(self, itr: int | None = None) -> Any:
        """Return snapshot `itr`, or the last one, or None where there is none yet; tensors come to
        the CPU.

        `NotFound` where number `itr` is not there. A snapshot is a pickle: load none that you do
        not trust.
        """
        with self._following():
            directory = self._snapshots.directory
            error = self._snapshots.finish()
        if error is not None:
            self._problems.met("snapshot", error)
        if directory is None:
            if itr is None:
                return None
            raise InvalidInput(
                "load_itr_params: no snapshot directory; call setup_logger or set_snapshot_dir"
                " first"
            )
        return snapshots.load(where_now(directory), itr)

    def save_extra_data(
        self, data: Any, file_name: str = "extra_data.pkl", mode: str = "joblib"
    ) -> str | None:
        """Write `data` to a file of the run directory and return its path; None where that failed,
        or there is no run.

        `mode`: `joblib` (a plain pickle where joblib is not installed), `pickle`, `cloudpickle`
        (adds `.cpkl`), `json`. `InvalidInput` for a name that leaves the directory.
        """
        with self._following():
            directory = self._snapshots.directory
        extra.check_mode(mode)
        if directory is None:
            self._problems.say_once(
                "extra", "save_extra_data: no run and no snapshot directory, so nothing is written"
            )
            return None
        path = extra.extra_path(
            directory, f"{file_name}.cpkl" if mode == "cloudpickle" else file_name
        )
        written = None
        with self._harmless(path.name):
            make_directory(path.parent)
            with replacing(where_now(path), fsync=self._snapshots.fsync) as file:
                extra.dump_extra(data, mode, file)
            written = str(path)
        return written  # noqa: RET504 - None where `_harmless` held an error back
