"""`runslot attach`: the live view of a launch that another terminal started, or that was
detached.
"""

from __future__ import annotations

from pathlib import Path

from runslot.cli.launch import end, observing, on_terminal
from runslot.cli.parameters import Directory, JsonLines, Quiet
from runslot.cli.places import Isolation, experiments_at
from runslot.errors import InvalidInput, NotFound
from runslot.experiment.launchers import launched_here
from runslot.experiment.lock import living_launcher
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.attach import attach as look_on
from runslot.launch.launch import outcomes_of
from runslot.terminal_text import shown


def attach(directory: Directory = None, json: JsonLines = False, quiet: Quiet = False) -> None:
    """Look on at an experiment that is under way, from any terminal; Ctrl-C leaves it running.

    Without DIR it is the one of yours on this machine that was launched last. The exit status is
    that of `run`.
    """
    raise SystemExit(attach_to(under_way(directory), json, quiet))


def under_way(path: Path | None) -> ExperimentDir:
    """Return the one experiment with a launcher in a directory, or the user's newest one on this
    machine.
    """
    if path is None:
        launched = [status.directory for status in launched_here() if status.launcher is not None]
        if not launched:
            raise NotFound("nothing of yours is under way on this machine; name a directory")
        return launched[-1]
    experiments = experiments_at(path)
    isolation = Isolation(len(experiments) == 1)
    at_work = []
    for experiment in experiments:
        with isolation.guard():
            if living_launcher(experiment):
                at_work.append(experiment)
    if len(at_work) > 1:
        several = "".join(f"\n  {shown(experiment.path)}" for experiment in at_work)
        raise InvalidInput(
            f"{len(at_work)} experiments of {path} are under way; name one:{several}"
        )
    return (at_work or experiments)[-1]


def attach_to(directory: ExperimentDir, json: bool, quiet: bool) -> int:
    """Look on until the launch ends, and return its exit status; 0 where Ctrl-C leaves it
    running.
    """
    try:
        with observing(json, quiet) as observer:
            look_on(directory, observer, replay=json or on_terminal())
    except KeyboardInterrupt:
        if not json:
            where = shown(directory.path)
            print(
                f"left running; `runslot attach {where}` looks on again, `runslot stop {where}`"
                " ends it"
            )
        return 0
    return end(directory, outcomes_of(directory), json, quiet)
