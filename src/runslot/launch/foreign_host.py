"""Runs that were started on a machine, or in a container, that cannot be asked from here: what is
said of them.

Whether one is executed, its claim tells (`experiment.claim`), as far as the disk shows other
machines' locks. Called by `status`, and by `resume` and `stop`, whose `--take-over` is the user's
word that such a machine is gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from runslot.errors import Busy
from runslot.experiment.processes import host_name
from runslot.experiment.records import Outcome
from runslot.experiment.status import ExperimentStatus, RunStatus

_LEASE = (
    "a claim of a node that died is released by NFS 4 after its lease, about 90 s, by NFS 3 when"
    " the node is back"
)


def place_said(status: RunStatus) -> str:
    """Return where the run was started: `on node7`, or `in another container`."""
    host = host_name() if status.attempt is None else status.attempt.host
    return "in another container of this machine" if host == host_name() else f"on {host}"


def foreign_said(status: RunStatus) -> str:
    """Return how a run stands that another machine has or had; empty for one of this machine."""
    if status.claim is None:
        return ""
    if status.claim == "held":
        return f"runs {place_said(status)}: its claim is held, last sign {_clock(status.sign)}"
    word = "lost" if status.state == "lost" else "perhaps lost"
    return f"{word} {place_said(status)}: no sign since {_clock(status.sign)}"


def silence_said(status: ExperimentStatus) -> str:
    """Return what is said behind a launcher that cannot be asked from here: since when nothing was
    heard of it.
    """
    moments = [run.sign for run in status.runs if run.sign is not None]
    try:
        moments.append(status.directory.journal_file.stat().st_mtime)
    except OSError:
        pass
    since = _clock(max(moments, default=None))
    return (
        f", which cannot be asked from here: no sign since {since}; if it is gone, resume with"
        " --take-over"
    )


def take_over_said(status: ExperimentStatus) -> Iterator[str]:
    """Yield a line for each place whose runs are waited for, or done again."""
    for is_held in (True, False):
        runs = [run for run in status.foreign if (run.claim == "held") is is_held]
        for place in dict.fromkeys(map(place_said, runs)):
            runs_there = [run for run in runs if place_said(run) == place]
            count = f"{len(runs_there)} run{'s' * (len(runs_there) != 1)}"
            sign = _clock(
                max((run.sign for run in runs_there if run.sign is not None), default=None)
            )
            if is_held:
                yield (
                    f"{count} {place}: the claim on run.json is held, last sign {sign}; waits for"
                    f" its end ({_LEASE})"
                )
            else:
                yield (
                    f"{count} {place}: lost, no sign since {sign}, and nobody holds the claim on"
                    " run.json; done again"
                )


def refuse_unknown(status: ExperimentStatus) -> None:
    """Raise `Busy` where a run may go on elsewhere, and this disk cannot tell."""
    unknown = [run for run in status.foreign if run.state == "running" and run.claim == "unknown"]
    if unknown:
        raise Busy(
            f"{unknown[0].run.directory} of {status.directory.path} was started"
            f" {place_said(unknown[0])}, which cannot be asked from here: no sign since"
            f" {_clock(unknown[0].sign)}; if it is certain that it no longer runs, add --take-over"
        )


def refuse_held(status: ExperimentStatus, runs: Iterable[RunStatus]) -> None:
    """Raise `Busy` where a run is executed that cannot be signalled from here."""
    for run in runs:
        if run.claim == "held":
            raise Busy(
                f"{run.run.directory} of {status.directory.path} {foreign_said(run)}; stop it there"
            )


def lost_outcome(run: RunStatus, now: float) -> Outcome:
    """Return the outcome of a run that the user gave up together with its machine."""
    attempt = run.attempt
    started, host = (None, None) if attempt is None else (attempt.started, attempt.host)
    ended = max(now, started or 0.0)
    return Outcome(
        "lost", run.attempts, started=started, ended=ended, host=host, message=foreign_said(run)
    )


def _clock(moment: float | None) -> str:
    if moment is None:
        return "its start"
    then = time.localtime(moment)
    today = time.strftime("%F", then) == time.strftime("%F")
    return time.strftime("%H:%M" if today else "%F %H:%M", then)
