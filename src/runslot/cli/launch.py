"""What `run` and `resume` share: what it may cost, launching while someone looks on, how it ended,
the exit status.

Who looks on is told by a live table on a terminal, else a line an event; by JSON lines, or not at
all, on request: `saying` before the first run, `observing` while there are runs.
"""

from __future__ import annotations

import json as jsonlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runslot.cli.render.summary import FirstRun, tell_end, tell_left
from runslot.engines.events import LaunchEvent, Observer
from runslot.errors import Busy, InvalidInput
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.code_change import OnChange
from runslot.launch.experiment import Experiment
from runslot.launch.hold import once_there
from runslot.launch.launch import Outcomes, launch, outcomes_of
from runslot.terminal_text import shown

if TYPE_CHECKING:
    from runslot.engines.protocol import LauncherConfig

SUCCEEDED, SOME_FAILED, INTERRUPTED = 0, 1, 130


def run_experiment(
    experiment: Experiment, json: bool, quiet: bool, notify: Sequence[str] = (), wait: bool = False
) -> int:
    """Launch a new experiment, or further runs of one, and return the exit status."""
    directory = experiment.prepare(saying(json, quiet), asking(json, quiet))
    with observing(json, quiet) as observer:
        fresh = experiment.into is None
        outcomes = _outcomes(
            lambda first: launch(directory, first, fresh=fresh, notify=notify, wait=wait), observer
        )
    return end(directory, outcomes, json, quiet)


def resume_experiment(
    directory: ExperimentDir,
    failed: bool,
    take_over: bool,
    json: bool,
    quiet: bool,
    notify: Sequence[str] = (),
    wait: bool = False,
) -> int:
    """Launch what is missing of an experiment, and return the exit status."""
    with observing(json, quiet) as observer:
        outcomes = _outcomes(
            lambda first: launch(
                directory, first, failed=failed, take_over=take_over, notify=notify, wait=wait
            ),
            observer,
        )
    return end(directory, outcomes, json, quiet)


def _outcomes(start: Callable[[Observer], Outcomes], observer: Observer) -> Outcomes | None:
    """Return how the runs stand; None where Ctrl-C ended the launch."""
    first = FirstRun(observer)
    try:
        return start(first)
    except KeyboardInterrupt:
        return None
    finally:
        first.close()


def end(directory: ExperimentDir, ended: Outcomes | None, json: bool, quiet: bool) -> int:
    """Say how the runs stand at the end of a launch, and return the exit status; `ended` is None
    after Ctrl-C.
    """
    if ended is not None and ended.left:
        if not json:
            tell_left(ended, quiet)
        return SUCCEEDED
    outcomes = ended or outcomes_of(directory)
    interrupted = ended is None
    if not json:
        tell_end(outcomes, directory, quiet=quiet, consoles=not on_terminal())
    if interrupted:
        return INTERRUPTED
    if not outcomes.all_succeeded or _lacks_winner(directory):
        return SOME_FAILED
    return SUCCEEDED


def _lacks_winner(directory: ExperimentDir) -> bool:
    """Say whether it is a search that is over and whose trials are worth nothing."""
    if once_there(directory, directory.read).search is None:
        return False
    from runslot.experiment.status import read_status
    from runslot.search.report import read_report

    report = once_there(directory, lambda: read_report(read_status(directory)))
    return report.is_over and report.best is None


def run_detached(experiment: Experiment, json: bool, quiet: bool, notify: Sequence[str]) -> int:
    """Launch a new experiment, or further runs of one; return the exit status, of the start
    alone.
    """
    directory = experiment.prepare(saying(json, quiet), asking(json, quiet))
    _detach(directory, json, quiet, fresh=experiment.into is None, notify=tuple(notify))
    return 0


def resume_detached(
    directory: ExperimentDir,
    failed: bool,
    take_over: bool,
    json: bool,
    quiet: bool,
    notify: Sequence[str],
) -> None:
    """Launch what is missing of an experiment."""
    _detach(directory, json, quiet, failed=failed, take_over=take_over, notify=tuple(notify))


def _detach(directory: ExperimentDir, json: bool, quiet: bool, **arguments: Any) -> None:
    from runslot.launch.attach import launch_detached

    pid = launch_detached(directory, _discard if json or quiet else print, **arguments)
    if json:
        print(jsonlib.dumps({"event": "detached", "directory": str(directory.path), "pid": pid}))
    elif not quiet and pid is not None:
        where = shown(directory.path)
        print(f"process {pid} goes on without this terminal:")
        print(f"`runslot attach {where}` looks on")
        print(f"`runslot stop {where}` ends it")
    if not json:
        print(directory.path)


def _discard(text: str) -> None:
    del text


def agree(yes: bool) -> None:
    """Answer the question whether to rent, for this process and for a launch that goes on by
    itself.
    """
    if yes:
        os.environ["RUNSLOT_YES"] = "1"


def limited(
    launcher: LauncherConfig | None, max_cost: float | None, max_hours: float | None
) -> LauncherConfig | None:
    """Return a launcher of rented machines with these limits; None where there are none, so that it
    stays as it is.
    """
    limits = {
        key: value
        for key, value in {"max_cost": max_cost, "max_hours": max_hours}.items()
        if value is not None
    }
    if not limits:
        return None
    if launcher is None or not set(limits) <= set(launcher.limits):
        options = " and ".join(f"--{key.replace('_', '-')}" for key in limits)
        raise InvalidInput(f"{options} is for rented machines: name them with --on, as --on ec2")
    return launcher.with_values(**limits)


def limit(directory: ExperimentDir, max_cost: float | None, max_hours: float | None) -> None:
    """Give an experiment other limits from here on; `Busy` while a launch works by the ones that it
    has.
    """
    from runslot.engines.registry import entry_of, of_experiment
    from runslot.experiment.files import write_json
    from runslot.experiment.status import read_status

    file = directory.read()
    launcher = limited(of_experiment(file), max_cost, max_hours)
    if launcher is None:
        return
    if read_status(directory).launcher is not None:
        raise Busy(
            f"a launch of {directory.path} is at work, by the limits that it has: `runslot stop`"
            " ends it"
        )
    write_json(directory.experiment_file, replace(file, launcher=entry_of(launcher)).to_json())


# ---- who looks on --------------------------------------------------------------------------------


@contextmanager
def observing(json: bool, quiet: bool) -> Iterator[Observer]:
    """Yield what is to be told of a launch."""
    if json:
        from runslot.cli.render.json_lines import EventLines

        yield _Outlived(EventLines(sys.stdout))
    elif quiet:
        from runslot.launch.experiment import silent

        yield silent
    elif on_terminal():
        from runslot.cli.render.live_view import LiveView

        with LiveView() as view:
            yield view
    else:
        from runslot.launch.printer import Printer

        yield _Outlived(Printer())


class _Outlived:
    """An observer without which the launch goes on: where nobody reads on (`| head`), or the disk
    is full.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer: Observer | None = observer

    def __call__(self, event: LaunchEvent) -> None:
        """Pass the event on, until that fails."""
        try:
            if self._observer is not None:
                self._observer(event)
        except OSError:
            self._observer = None


def on_terminal() -> bool:
    """Tell whether the output is a terminal on which lines can be drawn over."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def saying(json: bool, quiet: bool) -> Observer:
    """Return what prints the few lines that come before the first run."""
    if json:
        from runslot.cli.render.json_lines import EventLines

        return EventLines(sys.stdout)
    if quiet:
        from runslot.launch.experiment import silent

        return silent
    from runslot.launch.printer import Printer

    return Printer()


def asking(json: bool, quiet: bool) -> Callable[[Sequence[str]], bool] | None:
    """Return what asks whether to go on in spite of changes; None where nobody is there to
    answer.
    """
    if json or quiet or not on_terminal() or not sys.stdin.isatty():
        return None
    return _confirm


def _confirm(_changes: Sequence[str]) -> bool:
    import typer

    try:
        return typer.confirm("continue with the code as it is now?", default=False)
    except typer.Abort:  # Ctrl-D
        return False


def on_change(strict: bool, accept: bool, json: bool, quiet: bool) -> OnChange:
    """Return what a resume does where code has changed."""
    return OnChange(strict, accept, asking(json, quiet))
