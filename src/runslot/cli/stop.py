"""`runslot stop`: stop an experiment, or some of its runs, from any terminal that sees its
directory.

`runslot pause` and `runslot continue`: start nothing further of an experiment, and go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from runslot.cli.parameters import TakeOver, argument, flag
from runslot.terminal_text import echo

if TYPE_CHECKING:
    from runslot.experiment.rundir import ExperimentDir


def stop(
    directory: Annotated[
        Path,
        argument(
            metavar="DIR",
            help="An experiment, a directory that holds some, or of some runs of one.",
        ),
    ],
    runs: Annotated[
        list[str] | None,
        argument(metavar="RUN", help="Only these: ids or directories of runs."),
    ] = None,
    kill: Annotated[
        bool, flag("--kill", help="Do not wait for the runs to end by themselves.")
    ] = False,
    take_over: TakeOver = False,
) -> None:
    """Stop an experiment, or some of its runs: each is asked to end, and killed when its grace is
    over.

    What has not started is not started; `runslot resume` continues.
    """
    from runslot.cli.places import Isolation, experiments_to_act_on, one_run, runs_inside

    experiments = experiments_to_act_on(directory)
    isolation = Isolation(len(experiments) == 1)
    run_ids: dict[Path, list[str]] = {}
    if not runs and len(experiments) == 1:  # a run's directory does not mean all the others
        runs = runs_inside(experiments[0], directory)
    for text in runs or ():
        place = one_run(experiments, text)
        run_ids.setdefault(place.experiment.path, []).append(place.run.id)
    for experiment in experiments:
        if runs and experiment.path not in run_ids:
            continue
        with isolation.guard():
            _stop(experiment, run_ids.get(experiment.path, ()), kill, take_over)
    if isolation.problems:
        raise SystemExit(1)


def _stop(experiment: ExperimentDir, runs: Sequence[str], kill: bool, take_over: bool) -> None:
    from runslot.cli.places import current_status
    from runslot.launch.stop import end_runs

    if current_status(experiment).finished:
        echo(f"nothing runs in {experiment.path}")
        return
    end_runs(experiment, runs, kill, take_over, echo)
    status = current_status(experiment)
    words = {"queued": "not started"} if status.launcher is None else {}
    counts = ", ".join(
        f"{count} {words.get(state, state)}" for state, count in status.counts.items()
    )
    echo(f"{counts}; {experiment.path}")


# ---- pause and continue --------------------------------------------------------------------------


AtWork = Annotated[
    Path,
    argument(metavar="DIR", help="An experiment, or a directory that holds some."),
]
"""What is named to be paused or continued."""


def pause(directory: AtWork) -> None:
    """Start nothing further of an experiment that is under way; what runs goes on.

    Its slots are free for other experiments as their runs end. A pause ends with its launcher:
    `runslot resume` goes on. To have the running ones end as well, use `runslot stop`.
    """
    ask(directory, paused=True)


def continue_(directory: AtWork) -> None:
    """Go on with an experiment that `runslot pause` has paused."""
    ask(directory, paused=False)


def ask(directory: Path, paused: bool) -> None:
    """Pause or continue all experiments of a directory that have a launcher; refuse where none
    has.
    """
    from runslot.cli.places import Isolation, experiments_to_act_on
    from runslot.experiment.lock import living_launcher
    from runslot.launch.stop import pause as ask_launcher

    experiments = experiments_to_act_on(directory)
    isolation = Isolation(len(experiments) == 1)
    at_work = []
    for experiment in experiments:
        with isolation.guard():
            if living_launcher(experiment):
                at_work.append(experiment)
    if not at_work and isolation.problems < len(experiments):
        at_work = experiments[-1:]  # where nobody is at work, that is what is said
    for experiment in at_work:
        with isolation.guard():
            ask_launcher(experiment, paused)
            echo(f"{'paused' if paused else 'continues'}: {experiment.path}")
    if isolation.problems:
        raise SystemExit(1)
