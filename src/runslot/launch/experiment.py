"""`Experiment`: what a user asks for in Python, and the words that a sweep file and the command
line share.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from runslot.engines.events import LaunchEvent, Observer, Said
from runslot.engines.local.config import ThisMachine
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import LauncherConfig
from runslot.engines.registry import entry_of, launcher_named
from runslot.errors import InvalidInput, one_of, refusals, refuse_unknown_words, whole
from runslot.experiment.metrics import AUTO, check_metrics
from runslot.experiment.records import (
    LONGEST_S,
    SNAPSHOT_MODES,
    Container,
    LoggerSettings,
    Policy,
    Start,
)
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.settings import default_root, path_of
from runslot.hardware.resources import Resources
from runslot.launch.code_change import OnChange, keep_copy
from runslot.launch.create import compare, create, widen, with_copy
from runslot.launch.interpreter import look_at
from runslot.launch.launch import Outcomes, launch
from runslot.launch.plan import Plan, Target, check_env, check_name, make_plan, with_plain_names
from runslot.transport.code_snapshot import CodeSource, find_source
from runslot.transport.patterns import Patterns, check_patterns, idle_patterns
from runslot.variants import Variant

if TYPE_CHECKING:
    from runslot.launch.code_change import Clone
    from runslot.search.spec import Search


def silent(event: LaunchEvent) -> None:
    """Take no note of anything."""
    del event


@dataclass(frozen=True)
class Experiment:
    """One function or command, a space of variants, and seeds: runs that are launched together.

    `Experiment("digits", train, variants=grid({"lr": [0.1, 0.01]}), seeds=3).launch()` returns
    their outcomes.
    """

    name: str
    """Of the experiment: a directory below the root."""
    work: Target
    """A function, `"file.py:function"`, or a command as a list of arguments with `{key}` for
    values.
    """
    variants: Iterable[Variant | Mapping[str, Any]] | Mapping[str, Any] | None = None
    """A space (`grid`, `zipped`, `sample`, …), a list of dicts, or a dict, which is a grid."""
    seeds: int | Sequence[int] | str = 1
    """How many seeds (0, 1, …), or which; a `seed` key in the variants replaces them. With a
    search, `"race:3..10"`: the worse variants get no more than they need.
    """
    search: Search | None = None
    """Which variants are tried is decided by what the runs have shown; `variants` are crossed with
    them.
    """
    resources: Resources = field(default_factory=Resources)
    """What each run gets of the machine."""
    root: str | Path | None = None
    """Where experiments go; `RUNSLOT_ROOT`, the configuration, or `runs` where it is not given."""
    into: str | Path | None = None
    """An experiment to continue: its finished runs are kept, missing ones run, new variants are
    added.
    """
    strict: bool = False
    """Refuse to continue where code has changed."""
    retries: int = 0
    """How often a failed, lost or timed-out run is started again."""
    backoff: float = 1.0
    """Seconds before the first retry; each further one waits twice as long."""
    timeout: float | None = None
    """Seconds an attempt may take."""
    expect: float | None = None
    """Seconds a run is expected to take: tasks of a queue (Slurm, PBS) get several short ones."""
    grace: float = 10.0
    """Seconds a run has to end when it is asked to."""
    max_failures: int | None = None
    """Start no further run after so many failed ones."""
    resumable: bool = False
    """A further attempt continues in the same directory from its snapshot."""
    start: Start = "auto"
    """How functions start: `warm` is a fork of a process that has imported the code, `cold` a
    Python of its own.
    """
    nice: int | None = None
    """The niceness of the runs, from -20 to 19: the higher, the more they give way to others; None:
    as it is.
    """
    snapshot_code: bool = False
    """Run from a copy of the code, made at the launch; edits made meanwhile do not change the
    runs.
    """
    code: str | None = None
    """`URL@REF`: the code is a clone of that git repository at that branch, tag or commit, and
    paths lie in it.
    """
    code_include: Sequence[str] = ()
    """Patterns as in `.gitignore`: where the code is copied, only these files of it; a plain path,
    ignored ones too.
    """
    code_exclude: Sequence[str] = ()
    """Patterns of files that are left out where the code is copied."""
    fetch: Sequence[str] = ()
    """Patterns of the files of runs that come home from other machines; none: all. What tells how a
    run went does.
    """
    no_fetch: Sequence[str] = ()
    """Patterns of the files of runs that stay on other machines."""
    first: bool = False
    """Make the first run alone, of one variant and seed; `into` adds the others."""
    accept_code_change: bool = False
    """With `into`: go on without asking where code has changed, and where runs use a copy, make a
    new one.
    """
    snapshot_mode: str = "last"
    """Which snapshots the logger keeps: `all`, `last`, `gap`, `gap_and_last`, `last+gap`,
    `none`.
    """
    snapshot_gap: int = 1
    """With a gap: every so many iterations one is kept."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that the runs' environment has on top of the caller's."""
    plain_names: bool = False
    """Name directories with letters, digits, `.`, `-` and `_` alone: `lr-0.1/run_0`."""
    metrics: str = "auto"
    """Where runs that do not log through runslot have their metrics: `auto` (files they write, what
    they print), `none`, a file below the run's directory, or a regular expression with named groups
    for lines they print.
    """
    on: str | LauncherConfig | None = None
    """Where the runs go: the name of a configured launcher, or its record, as `SSH(…)`; None: this
    machine.
    """
    container: str | Container | None = None
    """The image that the runs execute in."""
    python: str | os.PathLike[str] | None = None
    """The Python of the runs: an interpreter, or the directory of its environment, on the machine
    (in the image) where they execute; None: this process's own there, `python3` elsewhere.
    """

    def __new__(cls, *_: object, **words: object) -> Experiment:
        """Refuse a word that is no field by the nearest one."""
        refuse_unknown_words(cls.__name__, words, cls.__dataclass_fields__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        check_name(self.name)
        for name in (
            "strict",
            "resumable",
            "snapshot_code",
            "accept_code_change",
            "plain_names",
            "first",
        ):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInput(f"{name} must be True or False, not {getattr(self, name)!r:.80}")
        for name in ("root", "into", "python"):
            if getattr(self, name) is not None:
                path_of(getattr(self, name), name)
        for name in ("code_include", "code_exclude", "fetch", "no_fetch"):
            self._patterns(name)
        if self.code is not None:
            from runslot.launch.code_change import Repository

            Repository.read(self.code)
        if self.first and self.into is not None:
            raise InvalidInput(
                "first makes a new experiment of one run, and into adds the others to it; keep one"
            )
        one_of(self.start, "start", get_args(Start))
        one_of(self.snapshot_mode, "snapshot_mode", SNAPSHOT_MODES)
        whole(self.snapshot_gap, "snapshot_gap", 1)
        check_env(self.env)
        _of_kind(self.resources, "resources", Resources, "Resources(cpus=2)")
        if self.search is not None or isinstance(self.seeds, str):
            from runslot.launch.growth import check_search  # here and below: few launches need it

            check_search(self.search, self.seeds, self.first)
        if (
            self.on is not None
            and not isinstance(self.on, str)
            and not isinstance(self.on, LauncherConfig)
        ):
            raise InvalidInput(
                f"on must be the name of a launcher, or its record, as SSH(…), not {self.on!r:.80}"
            )
        if self.container is not None and not isinstance(self.container, str):
            _of_kind(self.container, "container", Container, "'image', or Container('image')")

    def _patterns(self, name: str) -> tuple[str, ...]:
        patterns = getattr(self, name)
        return () if patterns == () else check_patterns(patterns, name)

    def plan(self) -> Plan:
        """Return the runs that this asks for, without touching anything; `InvalidInput` says what
        to change.
        """
        with refusals():
            return self._plan()

    def _plan(self) -> Plan:
        logger = LoggerSettings(
            snapshot_mode=self.snapshot_mode,
            snapshot_gap=self.snapshot_gap,
            metrics=AUTO if self.metrics == AUTO else check_metrics(self.metrics),
        )
        container, launcher = self._container(), self.launcher()
        policy = Policy(
            retries=whole(self.retries, "retries", 0),
            backoff=seconds(self.backoff, "backoff"),
            timeout=None if self.timeout is None else seconds(self.timeout, "timeout"),
            expect=None if self.expect is None else seconds(self.expect, "expect"),
            grace=seconds(self.grace, "grace"),
            memory=self.resources.memory,
            max_failures=(
                None if self.max_failures is None else whole(self.max_failures, "max_failures", 1)
            ),
            resumable=self.resumable,
            start=self.start,
            nice=self._niceness(launcher),
        )
        elsewhere = container is not None or (launcher is not None and launcher.moves)
        if self.resources.runs_per_gpu == "auto" and not (launcher is None or launcher.recarves):
            raise InvalidInput(
                f"runs_per_gpu is auto, which {launcher.name} cannot do: see what a run uses there "
                "(`runslot results DIR --system`), and give the number"
            )
        interpreter = None if self.python is None or elsewhere else look_at(self.python)
        with contextlib.nullcontext() if self.code is None else self._clone.inside():
            opening = None
            variants: Any = self.variants
            seeds: Any = self.seeds
            if self.search is not None:
                from runslot.launch.growth import opening_of

                names = (self.name, variants, seeds, self.plain_names)
                opening = opening_of(self.search, *names, launcher)
                variants, seeds = opening.variants, opening.seeds
            parts = (self.name, self.work, variants, seeds, self.resources, policy, logger)
            plan = make_plan(*parts, elsewhere=elsewhere, interpreter=interpreter)
        if self.plain_names:
            plan = with_plain_names(plan)
        if opening is not None:
            from runslot.launch.growth import with_search

            plan = with_search(plan, opening)
        file = replace(
            plan.file,
            container=container,
            launcher=None if launcher is None else entry_of(launcher),
            env=dict(self.env),
            fetch=self._patterns("fetch"),
            no_fetch=self._patterns("no_fetch"),
        )
        notes = (*plan.notes, *self._idle_patterns(launcher))
        return self._cut(replace(plan, file=file, notes=notes))

    def _idle_patterns(self, launcher: LauncherConfig | None) -> Iterable[str]:
        code, fetch = self.code_include or self.code_exclude, self.fetch or self.no_fetch
        if not code and not fetch:
            return ()
        return idle_patterns(
            moves=launcher is not None and launcher.moves,
            copies=self.snapshot_code or self.code is not None,
            code=bool(code),
            fetch=bool(fetch),
            remedy=": snapshot_code makes a copy",
        )

    def _niceness(self, launcher: LauncherConfig | None) -> int | None:
        if self.nice is None:
            return None
        from runslot.execute.spawn import LEAST_NICENESS, MOST_NICENESS, niceness_problem

        niceness = whole(self.nice, "nice", LEAST_NICENESS, MOST_NICENESS)
        here = launcher is None and self.container is None
        if here and (problem := niceness_problem(niceness)):
            raise InvalidInput(f"nice: {problem}")
        return niceness

    def _cut(self, plan: Plan) -> Plan:
        """Return the plan of the first run alone, where that is asked for; of code that is a clone,
        what is in it.
        """
        if self.code is not None:
            self._clone.refuse_outside(plan)
        if not self.first or len(plan.runs) == 1:
            return plan
        file = replace(plan.file, space=f"the first of {len(plan.runs)}: {plan.file.space}")
        return replace(plan, file=file, runs=plan.runs[:1])

    @functools.cached_property
    def _clone(self) -> Clone:
        from runslot.launch.code_change import Clone  # few launches need it

        return Clone.of(self.code)

    def launcher(self) -> LauncherConfig | None:
        """Return the launcher that `on` means, on another machine with the `python` there; None:
        this machine.
        """
        launcher = launcher_named(self.on) if isinstance(self.on, str) else self.on
        if launcher is None or isinstance(launcher, ThisMachine):
            return None
        if self.python is None or self.container is not None or not launcher.moves:
            return launcher
        return launcher.with_values(python=os.fspath(self.python))

    def _container(self) -> Container | None:
        container = Container(self.container) if isinstance(self.container, str) else self.container
        if container is None or self.python is None:
            return container
        python = os.fspath(self.python)
        if container.python not in (Container.python, python):
            raise InvalidInput(
                f"python is {python} and the container's python {container.python}: leave one of"
                " them out"
            )
        return replace(container, python=python)

    def prepare(
        self, observer: Observer = silent, ask: Callable[[Sequence[str]], bool] | None = None
    ) -> ExperimentDir:
        """Make the experiment's directory, or add to the one given as `into`; start nothing.

        `ask` is asked whether to go on where code has changed; without it that is said.
        """
        with refusals():
            return self._prepare(observer, ask)

    def _prepare(
        self, observer: Observer, ask: Callable[[Sequence[str]], bool] | None
    ) -> ExperimentDir:
        plan = self.plan()
        for note in plan.notes:
            observer(Said(f"note: {note}"))
        launcher = self.launcher()
        snapshot = (
            self.snapshot_code or self.code is not None or (launcher is not None and launcher.moves)
        )
        root = default_root() if self.root is None else path_of(self.root, "root").absolute()
        if self.into is None:
            directory = create(plan, root, self._source(plan, (root,)) if snapshot else None)
            if self.first:
                rest = f"--into {shlex.quote(str(directory.path))}"
                observer(
                    Said(
                        f"note: the first run alone; the same with {rest} instead of --first runs"
                        " the others too"
                    )
                )
            return directory
        directory = ExperimentDir(os.path.realpath(path_of(self.into, "into")))
        if self.code is not None and directory.experiment_file.exists():
            self._clone.refuse_other_commit(directory.read())
        widened = compare(directory, plan)
        before = directory.read()
        if before.code is not None and not (snapshot and self.accept_code_change):
            plan = keep_copy(plan, before)
            for change in widened.changes:
                observer(
                    Said(f"note: {change}; the runs use the copy of the code that was made before")
                )
        else:
            OnChange(self.strict, self.accept_code_change, ask).settle(
                directory, widened.changes, observer
            )
        copies = snapshot and plan.file.code is None
        source = self._source(plan, (root, directory.path)) if copies else None
        opened = OpenExperiment.open(directory, {})
        try:
            widen(
                directory, plan if source is None else with_copy(directory, plan, source), widened
            )
        finally:
            opened.close()
        return directory

    def _source(self, plan: Plan, without: Sequence[Path]) -> CodeSource:
        """Return the files of the code that are copied for the runs."""
        patterns = Patterns(self._patterns("code_include"), self._patterns("code_exclude"))
        source = find_source(plan.code, without, patterns, plan.script)
        return source if self.code is None else replace(source, origin=self._clone.repository.shown)

    def launch(
        self, observer: Observer | None = None, notify: Sequence[str] = (), wait: bool = True
    ) -> Outcomes:
        """Run what is asked, as many at a time as there are slots, and return the outcomes.

        Without `wait`, runs that go to an engine with a queue of its own (Slurm) are left to it.
        `notify` are URLs of services (apprise's) that are told of the end and of the first failure.

        `observer` is told what happens; by default a line is printed for each event. Raises
        `InvalidInput` before anything starts, and KeyboardInterrupt after Ctrl-C has stopped the
        runs.
        """
        notify = [notify] if isinstance(notify, str) else notify
        if observer is not None and not callable(observer):
            raise InvalidInput(f"observer must be a function of an event, not {observer!r:.80}")
        if observer is not None:
            directory = self.prepare(observer)
            return launch(directory, observer, fresh=self.into is None, notify=notify, wait=wait)
        from runslot.launch.printer import Printer, next_step

        observer = Printer()
        directory = self.prepare(observer)
        outcomes = launch(directory, observer, fresh=self.into is None, notify=notify, wait=wait)
        observer(Said(next_step(directory.path, outcomes.left)))
        return outcomes


def _of_kind(value: object, name: str, kind: type, example: str) -> None:
    if not isinstance(value, kind):
        raise InvalidInput(f"{name} must be {example}, not {value!r:.80}")


def seconds(value: Any, name: str) -> float:
    """Return a length of time, or refuse it by name."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LONGEST_S:
        raise InvalidInput(
            f"{name} must be a number of seconds above 0, a hundred years at most, not"
            f" {value!r:.80}"
        )
    return float(value)
