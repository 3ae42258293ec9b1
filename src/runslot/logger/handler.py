"""A handler of the standard library's `logging` that writes to the run's `debug.log`."""

from __future__ import annotations

import logging

from runslot.logger.run_logger import Logger, process_logger

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RunLogHandler(logging.Handler):
    """`logging.getLogger().addHandler(RunLogHandler())`: what the script logs lands in `debug.log`, not on the console.

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
