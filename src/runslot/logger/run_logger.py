"""The logger, with the ancestors' ways to begin one without a launcher, and the one that this
process has.

`runslot.logger` offers the methods of `process_logger` as functions of the module, as `random`
does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from runslot.experiment.current import CurrentRun, current_run
from runslot.experiment.files import write_atomically
from runslot.experiment.records import LoggerSettings
from runslot.experiment.rundir import RunDir
from runslot.experiment.settings import default_root
from runslot.logger.ancestors import (
    adopt_ancestor_loggers,
    make_log_dir,
    release_ancestor_loggers,
    write_code_state,
)
from runslot.logger.controls import PathText
from runslot.logger.problems import Options, check_settings
from runslot.logger.recorder import Recorder
from runslot.variants.encode import to_jsonable


class Logger(Recorder):
    """Rows, words and snapshots of one run.

    Any thread may call any method; all threads record into the same row. In a forked child the
    logger begins with an empty row; rows of the child stay out of a file that the parent writes.
    """

    def __reduce__(self) -> str:
        """Travel as a reference to the process's logger, so that functions that use its methods can
        be pickled.
        """
        if self is not process_logger:
            raise TypeError(
                "a Logger has open files and cannot be pickled; use the functions of runslot.logger"
            )
        return "process_logger"

    def reset(self) -> None:
        """Close what is open and forget everything, the row and the options too; a run is followed
        again.
        """
        release_ancestor_loggers()
        super().reset()

    def setup_logger(
        self,
        exp_prefix: str = "default",
        variant: Mapping[str, Any] | None = None,
        text_log_file: str = "debug.log",
        variant_log_file: str = "variant.json",
        tabular_log_file: str = "progress.csv",
        snapshot_mode: str = "last",
        snapshot_gap: int = 1,
        log_tabular_only: bool = False,
        log_dir: PathText | None = None,
        git_infos: Iterable[Any] | None = None,
        script_name: str | None = None,
        exp_id: int = 0,
        seed: int | str = 0,
        base_log_dir: PathText | None = None,
        include_exp_prefix_sub_dir: bool = True,
        **options: Any,
    ) -> str:
        """Begin to log as launchkit does, and return the directory; what was bound before is
        closed.

        The directory is `log_dir`, where rows are continued; else, within a run and without
        `base_log_dir`, the run's own; else a new one,
        `<base_log_dir>/<exp_prefix>/<exp_prefix>_<time>_<exp_id>--s-<seed>`. `options`: those of
        `configure`. A launcher's files about the run are not replaced. The loggers of RLKit,
        launchkit and rlpyt write there too.
        """
        run = _run_of(log_dir, base_log_dir)
        self._refuse_unknown(options)
        chosen_options = Options(**options)
        settings = _launchkit_settings(snapshot_mode, snapshot_gap, log_tabular_only)
        if log_dir is not None:
            directory = Path(log_dir).absolute()
        elif run is not None:
            directory = run.directory
        else:
            root = _root_of(base_log_dir)
            directory = make_log_dir(
                root, exp_prefix, exp_id, seed, datetime.now(), include_exp_prefix_sub_dir
            )
        self.bind_run(
            directory,
            replace(settings, prefix=f"[{directory.name}] "),
            options=chosen_options,
            resume=_resumed(directory),
            text_log_file=text_log_file,
            tabular_log_file=tabular_log_file,
        )
        adopt_ancestor_loggers(
            directory, settings, text_log_file=text_log_file, tabular_log_file=tabular_log_file
        )
        self._complete_variant()
        if variant is not None:
            file = directory / variant_log_file
            self._record_variant(variant, None if run and file.exists() else file)
        with self._harmless("files about the code"):
            write_code_state(directory, git_infos, script_name)
        return str(directory)

    def _record_variant(self, variant: Mapping[str, Any], file: Path | None) -> None:
        """Log the variant, and write it into a file where there is one to write."""
        self.log("Variant:")
        self.log(json.dumps(to_jsonable(variant), indent=2))
        if file is not None:
            self.log_variant(file, variant)

    @contextmanager
    def logger_context(
        self,
        log_dir: PathText,
        run_ID: int,
        name: str,
        log_params: MutableMapping[str, Any] | None = None,
        snapshot_mode: str = "none",
        override_prefix: bool = False,
        use_summary_writer: bool = False,
    ) -> Iterator[None]:
        """Log to `log_dir/run_<run_ID>` as rlpyt does for the length of a `with`, and write
        `params.json` there.

        The file of rows begins anew, unless the run is resumed. A relative `log_dir` lies below the
        root's `local/<yyyymmdd>/<hhmmss>`, unless `override_prefix`; an absolute one is taken as it
        is (rlpyt moved those outside its own `data` directory). `log_params` gets `name` and
        `run_ID`, as in rlpyt. The loggers of rlpyt, RLKit and launchkit write there too, also where
        they are imported later.
        """
        base = Path(log_dir)
        if not override_prefix and not base.is_absolute():
            base = default_root() / "local" / f"{datetime.now():%Y%m%d/%H%M%S}" / base
        directory = (base / f"run_{run_ID}").absolute()
        settings = LoggerSettings(
            snapshot_mode, self.get_snapshot_gap(), "rlpyt", f"{name}_{run_ID} ", False
        )
        resumed = _resumed(directory)
        self.bind_run(directory, settings, resume=resumed, fresh=True)
        adopt_ancestor_loggers(
            directory, settings, fresh=not resumed, summary_writer=use_summary_writer
        )
        params = {} if log_params is None else log_params
        params["name"], params["run_ID"] = name, run_ID
        with self._harmless("params.json"):
            write_atomically(
                RunDir(directory).params_file,
                json.dumps(params, default=lambda value: type(value).__name__),
            )
        if use_summary_writer:
            self.add_sink("tensorboard")
            self._group_statistics = True
        try:
            yield
        finally:
            release_ancestor_loggers()
            self._end()


def _launchkit_settings(mode: str, gap: int, log_tabular_only: bool) -> LoggerSettings:
    return check_settings(LoggerSettings(mode, gap, "launchkit", log_tabular_only=log_tabular_only))


def _root_of(base_log_dir: PathText | None) -> Path:
    return default_root() if base_log_dir is None else Path(base_log_dir).absolute()


def _run_of(log_dir: PathText | None, base_log_dir: PathText | None) -> CurrentRun | None:
    return current_run() if log_dir is None and base_log_dir is None else None


def _resumed(directory: Path) -> bool:
    run = current_run()
    return (
        run is not None
        and run.resumable
        and run.attempt > 1
        and RunDir(directory).run_file.exists()
    )


process_logger = Logger(follow_run=True)
"""The one behind the functions of `runslot.logger`."""


FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RunLogHandler(logging.Handler):
    """`logging.getLogger().addHandler(RunLogHandler())`: what the script logs lands in `debug.log`,
    not on the console.

    Outside a run it writes nothing.
    """

    def __init__(self, level: int | str = logging.NOTSET, logger: Logger = process_logger) -> None:
        super().__init__(level)
        self.setFormatter(logging.Formatter(FORMAT))
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record."""
        try:
            self._logger.log_to_files(self.format(record))
        except Exception:  # noqa: BLE001 - `logging` has its own way to tell of a record that cannot be written
            self.handleError(record)
