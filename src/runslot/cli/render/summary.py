"""What is said when a launch has ended: who failed and how to run those again, the results, and
where they are.

What the first run that succeeds has logged: said once, so that a sweep of many hours is not of
the wrong numbers.

`launch` puts this between a launch and whoever looks on. A run that logs through runslot is asked
nothing: its script chose its metrics. Of another one's files and prints, `results` says what it
will read; that is loaded only then, and in a thread of its own, so that the launch goes on
meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from runslot.cli.render.tails import last_lines
from runslot.engines.events import LaunchEvent, Observer, RunEnded, Said
from runslot.errors import RunslotError
from runslot.execute.import_failure import missing_module
from runslot.execute.placement import activated
from runslot.experiment.processes import host_name
from runslot.experiment.records import Command, ExperimentFile, Outcome, Run
from runslot.experiment.rundir import SYSTEM, ExperimentDir, RunDir
from runslot.experiment.states import ENDED, FAILED
from runslot.launch.hold import once_there
from runslot.launch.printer import counted, outcome_said
from runslot.terminal_text import shown

if TYPE_CHECKING:
    from runslot.experiment.advice import SharedMemory
    from runslot.launch.launch import Outcomes


_NAMED = 20
"""Failed runs that are named; `runslot status` names the rest."""
_SHOWN = 3
"""Failed runs whose console is shown."""
_LINES = 8


def tell_end(outcomes: Outcomes, directory: ExperimentDir, *, quiet: bool, consoles: bool) -> None:
    """Print the summary; with `quiet` the directory alone, and what failed to the error output.

    `consoles`: with the last lines of what the first failed runs printed.
    """
    out = sys.stderr if quiet else sys.stdout
    if outcomes.failed or outcomes.not_started:
        _tell_what_is_not_well(outcomes, directory, consoles, out)
    elif not quiet:
        print(_all_well(outcomes))
    if quiet:
        print(directory.path)
    elif not any(outcome.kind == "succeeded" for outcome in outcomes) or not _print_results(
        directory
    ):
        print(f"what the runs wrote is in {shown(directory.place)}")
    if not quiet:
        for line in _advice(outcomes, directory):
            print(f"advice: {line}")


def _advice(outcomes: Outcomes, directory: ExperimentDir) -> list[str]:
    """Return what would use the hardware better, of a launch whose runs were looked at."""
    if not any(outcome.used is not None for outcome in outcomes):
        return []
    from runslot.experiment.advice import gpu_advice, idle_advice, of_last_launch

    lines = [idle_advice(outcomes)]
    last = of_last_launch(outcomes)
    used = [outcome.used for outcome in last if outcome.used is not None]
    pairs = ((run, outcome) for run, outcome in outcomes.pairs if outcome in last)
    pair = next(((run, o) for run, o in pairs if o.used and o.used.gpu_percent is not None), None)
    if pair is not None:
        run, outcome = pair
        attempt = None
        with contextlib.suppress(RunslotError):  # a damaged file: `status` names it
            attempt = directory.run_dir(run, directory.read()).read_attempt()
        if attempt is not None and attempt.occupied is not None:
            memory = _memory_shared([o for o in last if o.host == outcome.host])
            lines.append(gpu_advice(used, attempt.occupied, memory))
    return [line for line in lines if line]


def _memory_shared(outcomes: Sequence[Outcome]) -> SharedMemory | None:
    """Return what runs of one host share of its memory; None of another host than this one."""
    from runslot.experiment.advice import SharedMemory

    if outcomes[0].host != host_name():
        return None
    slots = {outcome.slot for outcome in outcomes}
    return SharedMemory(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), len(slots))


def _all_well(outcomes: Outcomes) -> str:
    counts = Counter(outcome.kind for outcome in outcomes)
    if counts["succeeded"] == len(outcomes):
        return "the run succeeded" if len(outcomes) == 1 else f"all {len(outcomes)} runs succeeded"
    # what its search has ended comes last, as the words after it are of that alone
    words = ", ".join(f"{counts[kind]} {kind}" for kind in ENDED if counts[kind])
    return f"{counted(len(outcomes), 'run')}: {words} by the search"


def tell_left(outcomes: Outcomes, quiet: bool) -> None:
    """Say how to look after runs that were handed to an engine with a queue of its own."""
    if not quiet:
        where = shown(outcomes.directory)
        launcher = ExperimentDir(outcomes.directory).read().launcher
        written = launcher is not None and launcher.settings.get("script_only")
        state = "are written, and wait to be submitted" if written else "on without this terminal"
        searches = ExperimentDir(outcomes.directory).read().search is not None
        subject = "the search goes" if searches else f"{outcomes.left} runs go"
        print(f"{outcomes.left} runs {state}:" if written else f"{subject} {state}:")
        print(f"  runslot status {where}           how they stand")
        print(f"  runslot resume {where} --wait    wait for them, and run again what was lost")
        print(f"  runslot stop {where}             end them")
    print(outcomes.directory)


def _tell_what_is_not_well(
    outcomes: Outcomes, directory: ExperimentDir, consoles: bool, out: TextIO
) -> None:
    counts = Counter(outcome.kind for outcome in outcomes)
    parts = [f"{count} {kind}" for kind, count in counts.items()]
    parts += [f"{len(outcomes.not_started)} not started"] if outcomes.not_started else []
    print(f"\n{', '.join(parts)}", file=out)
    # A stop is what the user asked for: it is counted, and not named run by run.
    failed = [(run, outcome) for run, outcome in outcomes.failed if outcome.kind != "stopped"]
    _name(failed, directory, _SHOWN if consoles else 0, out)
    where = shown(directory.path)
    missing = bool(outcomes.not_started) or counts["stopped"] + counts["lost"] > 0
    if missing:
        print(f"to run what is missing:  runslot resume {where}", file=out)
    if any(counts[state] for state in FAILED):
        runs = "these again, too" if missing else "just these again"
        print(f"to run {runs}:  runslot resume {where} --failed", file=out)
    print(file=out)


def _name(
    failed: list[tuple[Run, Outcome]], directory: ExperimentDir, consoles: int, out: TextIO
) -> None:
    file = once_there(directory, directory.read)
    for number, (run, outcome) in enumerate(failed[:_NAMED]):
        message = outcome_said(outcome)
        print(f"  {outcome.kind} {run.directory}" + (f"  {message}" if message else ""), file=out)
        if number < consoles:
            for line in last_lines(directory.run_dir(run, file).console, _LINES):
                print(f"    │ {line}", file=out)
    if len(failed) > _NAMED:
        print(
            f"  and {len(failed) - _NAMED} more: runslot status {shown(directory.path)}", file=out
        )
    if file.container is None and file.launcher is None:
        advice = (missing_module(outcome.message, _python_of(file)) for _, outcome in failed)
        for line in dict.fromkeys(filter(None, advice)):
            print(f"  {line}", file=out)


def _python_of(file: ExperimentFile) -> str:
    """Return which Python, or which program, the runs start."""
    if not isinstance(file.work, Command):
        return file.python
    program = file.work.argv[0]
    return (
        shutil.which(program, path=activated(os.environ, file.interpreter).get("PATH")) or program
    )


def _print_results(directory: ExperimentDir) -> bool:
    """Print the table of results where the runs have logged or printed numbers; it says where they
    are.
    """
    if not once_there(directory, lambda: _has_results(directory)):
        return False  # before anything is loaded that reads tables
    from runslot.cli.render.console import console
    from runslot.results.confirmation import confirmed
    from runslot.results.read.reader import load
    from runslot.results.text.table import print_table
    from runslot.results.trials import objective_of, with_trials

    results = once_there(directory, lambda: with_trials(confirmed(load(directory.path))))
    if not results.metrics:
        return False
    metric, mode = objective_of(results)
    is_logged = metric in results.metrics
    print_table(results, console(), metric if is_logged else None, mode=mode if is_logged else None)
    return True


def _has_results(directory: ExperimentDir) -> bool:
    file = directory.read()
    return any(has_written(directory.run_dir(run, file)) for run in directory.read_runs())


# ---- the first run's metrics ---------------------------------------------------------------------


NAMES_SHOWN = 6
_TABLES = (".csv", ".tsv", ".jsonl")
_ENTRIES_LIMIT = 2000
"""Of a directory that are looked at."""


class FirstRun:
    """An observer that passes every event on, and says after the first success what the run's
    metrics are.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._thread: threading.Thread | None = None

    def __call__(self, event: LaunchEvent) -> None:
        """Pass the event on; look at the run of the first that ended well."""
        self._observer(event)
        if (
            self._thread is None
            and isinstance(event, RunEnded)
            and event.outcome.kind == "succeeded"
        ):
            words = (event.directory, event.outcome.started)
            self._thread = threading.Thread(target=self._say_metrics, args=words, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Have what is being said end before what follows is printed."""
        if self._thread is not None:
            self._thread.join()

    def _say_metrics(self, directory: Path, started: float | None) -> None:
        run = RunDir(directory)
        if os.path.exists(run.progress):  # noqa: PTH110
            return
        if has_written(run) and (sentence := metrics_sentence(directory)):
            self._observer(Said(sentence))
        if started is not None and (outside := table_outside(run, started)):
            self._observer(
                Said(
                    f"note: {outside} was written meanwhile outside of the run's directory: results"
                    " does not read it, and runs that write one file spoil it; let the script"
                    " write below {run_dir}"
                )
            )


def has_written(run: RunDir) -> bool:
    """Whether a run has logged, or printed, anything that could be read: asked before what reads it
    is loaded.
    """
    # Not Path.exists, which raises for a directory that may not be entered.
    if os.path.exists(run.progress):  # noqa: PTH110
        return True
    try:
        if run.console.stat().st_size > 0:
            return True
        with os.scandir(run.path) as entries:
            return any(
                (entry.name.endswith(_TABLES) and entry.name != SYSTEM)
                or entry.is_dir(follow_symlinks=False)
                for entry in entries
            )
    except OSError:
        return False


def table_outside(run: RunDir, started: float) -> str:
    """Return a table that was written since `started` where a command was started; empty where
    there is none.

    Looked for there and one directory below, as scripts name their logs; what is hidden is not
    theirs.
    """
    try:
        file = run.read_run()
        directory = Path(file.cwd)
        if not isinstance(file.work, Command) or not directory.is_dir():
            return ""
        entries = islice(chain(directory.iterdir(), directory.glob("[!.]*/*")), _ENTRIES_LIMIT)
        tables = (
            entry
            for entry in entries
            if entry.name.endswith(_TABLES) and not entry.name.startswith(".")
        )
        return next(
            (
                str(table.relative_to(directory))
                for table in tables
                if table.lstat().st_mtime >= started
            ),
            "",
        )
    except (OSError, RunslotError):
        return ""


def metrics_sentence(directory: Path) -> str:
    """Return which metrics a script's run has, where they stand, which is taken for x and which for
    the objective.
    """
    from runslot.errors import NotFound
    from runslot.results.read.reader import load
    from runslot.results.summary import default_metric, mode_of

    try:
        results = load(directory, cache=False)
    except NotFound:
        return ""
    metrics = list(results.metrics)
    if not metrics:
        return ""
    x = results.counter
    objective = default_metric([metric for metric in metrics if metric != x])
    names = ", ".join(metrics[:NAMES_SHOWN]) + (
        f" and {len(metrics) - NAMES_SHOWN} more" * (len(metrics) > NAMES_SHOWN)
    )
    logs = ", ".join(sorted({Path(log).name for run in results.files() for log in run.logs}))
    compared = f"; compared by {objective}, {_better(mode_of(objective))}" if objective else ""
    return f"metrics in {logs}: {names}; x is {x or 'the row'}{compared} (--metrics reads others)"


def _better(mode: str | None) -> str:
    return "lower is better" if mode == "min" else "higher is better"
