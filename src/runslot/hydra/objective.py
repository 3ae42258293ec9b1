"""What a job says of itself while it runs: the number by which a search judges it.

Jobs call `report`; `trial` calls `report_return` at a job's end. The rows are in `objective.csv` in
the run's directory, where `search.rows` reads them while the job goes on. Runs beside the user's
code: the standard library alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput
from runslot.experiment.current import current_run
from runslot.experiment.rundir import RunDir

_HEADER = "step,objective\n"


def report(value: Any, step: float | None = None) -> None:
    """Report how well the job does now, at a step that rises from one report to the next (1, 2, …
    where it is not given); outside a run this does nothing.
    """
    run = current_run()
    if run is None:
        return
    number = value_of(value)
    if number is None:
        raise InvalidInput(f"report takes a number, not {value!r:.80}")
    file = RunDir(run.directory).objective
    last = _last_step(file)
    if step is None:
        step = 1 if last is None else last + 1
    at = value_of(step)
    if at is None or (last is not None and not at > last):
        raise InvalidInput(
            f"report was given step {step!r:.80} after {last}: a step must rise from one report to"
            " the next"
        )
    _write(file, at, number)


def report_return(value: Any) -> bool:
    """Report what a job returned, behind what it reported itself; False where it is no number."""
    run = current_run()
    number = value_of(value)
    if run is None or number is None:
        return False
    file = RunDir(run.directory).objective
    _write(file, (_last_step(file) or 0.0) + 1, number)
    return True


def _last_step(file: Path) -> float | None:
    """Return the step of the last row, which a process of the job may have written; None: none."""
    try:
        return float(file.read_text().splitlines()[-1].partition(",")[0])
    except (OSError, IndexError, ValueError):
        return None


def _write(file: Path, step: float, number: float) -> None:
    with file.open("a") as rows:
        rows.write(f"{'' if rows.tell() else _HEADER}{step:.15g},{number!r}\n")


def value_of(value: Any) -> float | None:
    """Return a value of any library's as a number; None where it is none."""
    if value is None or isinstance(value, (str, bytes)):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
