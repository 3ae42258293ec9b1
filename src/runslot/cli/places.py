"""What the user means by DIR and RUN: experiments and runs named by path, by name below the root,
or by run id.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runslot.errors import InvalidInput, NotFound, RunslotError, nearest, refusals
from runslot.experiment.records import Run
from runslot.experiment.rundir import COLLECTION, LATEST, ExperimentDir, RunDir
from runslot.experiment.settings import default_root, path_of
from runslot.experiment.status import ExperimentStatus, find_experiments, read_status
from runslot.record import record
from runslot.terminal_text import shown


def experiments_at(path: Path | None) -> list[ExperimentDir]:
    """Return the experiments of a directory, oldest launch first; the newest below the root where
    none is named.

    A path inside an experiment means that experiment, and a name that is not here is looked up
    below the root.
    """
    if path is None:
        return [newest(default_root())]
    place = existing_place(path)
    experiments = (
        sorted(find_experiments(place), key=lambda experiment: experiment.launched)
        if place.is_dir()
        else []
    )
    if experiments:
        return experiments
    if around := _experiments_around(place):
        return around
    if not place.is_dir():
        raise InvalidInput(
            f"{path} is a file, and of no experiment; name an experiment's directory"
        )
    raise NotFound(f"there is no experiment in {path}")


def experiments_to_act_on(path: Path | None) -> list[ExperimentDir]:
    """Return the experiments of a directory for a command that starts, stops or changes them.

    A home, what is above a home or the root, and a directory of everyone's (`/tmp`) may hold
    experiments that nobody has in mind: they are refused.
    """
    if path is not None:
        _refuse_too_wide(path, existing_place(path))
    return experiments_at(path)


def _refuse_too_wide(path: Path, place: Path) -> None:
    if _experiments_of(place):
        return
    root, home = (
        default_root().resolve(),
        Path(os.path.expanduser("~")).resolve(),  # noqa: PTH111
    )
    if place in {home, *home.parents, *root.parents} or (
        place != root and place.stat().st_mode & stat.S_ISVTX
    ):
        raise InvalidInput(
            f"{path} holds more than experiments of one place, and what lies there would be acted"
            f" on: name an experiment, or a directory of some, as {shown(root)}"
        )


def _experiments_around(place: Path) -> list[ExperimentDir]:
    return next(
        (experiments for parent in place.parents if (experiments := _experiments_of(parent))), []
    )


@dataclass
class Isolation:
    """Several experiments, of which one that is refused is said and costs no other: `with
    isolation.guard():`.

    It may be damaged, another user's, held by somebody, or removed at this moment.
    """

    alone: bool
    """Whether there is one: then its error is the command's."""
    problems: int = 0

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Say, on standard error, that what is done inside cannot be done with this experiment."""
        try:
            with refusals():
                yield
        except RunslotError as error:
            if isinstance(error.__cause__, BrokenPipeError):  # who read the output has gone
                raise error.__cause__ from None
            if self.alone:
                raise
            self.problems += 1
            print(f"runslot: {error}", file=sys.stderr)


def current_status(experiment: ExperimentDir) -> ExperimentStatus:
    """Return how an experiment stands; of one on an engine, with what that knows better."""
    status = read_status(experiment)
    if status.file.launcher is None:
        return status
    from runslot.engines.registry import refreshed

    return refreshed(status)


def newest(root: Path) -> ExperimentDir:
    """Return the experiment below `root` that was launched last."""
    experiment = (
        max(find_experiments(root), key=lambda candidate: candidate.launched, default=None)
        if root.is_dir()
        else None
    )
    if experiment is None:
        raise NotFound(f"there is no experiment in {root}; name a directory")
    return experiment


def places_of(paths: Sequence[Path] | None) -> list[Path]:
    """Return the directories that are meant: paths from here, or names below the root; else the
    newest experiment.
    """
    return [_place_of(path) for path in paths] if paths else [newest(default_root()).place]


def _place_of(path: Path) -> Path:
    """Return what a path means to whoever reads results.

    A file of an experiment's own stands for the experiment, and the record of a call for its
    collection, where the runs are.
    """
    place = existing_place(path)
    experiment = ExperimentDir(
        place.parent if place == ExperimentDir(place.parent).experiment_file else place
    )
    return experiment.place if os.path.lexists(experiment.experiment_file) else place


def one_experiment(path: Path) -> ExperimentDir:
    """Return the experiment that is meant; of a directory that holds several launches, the
    newest.
    """
    return experiments_at(path)[-1]


def existing_place(path: Path) -> Path:
    """Return a path that is there, here or below the root."""
    for candidate in (path_of(path, "DIR"), default_root() / path):
        if candidate.exists():
            return candidate.resolve()
    root = default_root()
    near = nearest(str(path), [entry.name for entry in root.glob("*")])
    raise NotFound(f"there is no {path}, neither here nor in {root}{near}")


@record
class RunPlace:
    """A run, and the experiment whose it is."""

    experiment: ExperimentDir
    run: Run

    @property
    def run_dir(self) -> RunDir:
        """Where it lies."""
        return self.experiment.run_dir(self.run, self.experiment.read())


def find_run(text: str) -> RunPlace:
    """Return the run that `text` names: a run directory, EXPERIMENT/RUN, or a run of the newest
    experiment.

    RUN is a run's directory below the experiment, the beginning of its id, or a part of its
    directory that no other run has.
    """
    path = path_of(text, "RUN")
    for candidate in (Path.cwd() / path, default_root() / path):
        for parent in (candidate, *candidate.parents):
            if experiments := _experiments_of(parent.resolve()):
                inside = candidate.relative_to(parent)
                return one_run(experiments, "" if inside == Path() else str(inside))
        # NAME/RUN means the newest launch of that name
        for parent in (
            candidate,
            *candidate.parents,
        ):
            if parent.is_dir() and (parent / LATEST).is_dir():
                inside = candidate.relative_to(parent)
                return one_run(
                    [ExperimentDir((parent / LATEST).resolve())],
                    "" if inside == Path() else str(inside),
                )
    return one_run([newest(default_root())], text)


def _experiments_of(directory: Path) -> list[ExperimentDir]:
    """Return the experiment whose directory this is, or those of the collection that it is."""
    if (
        os.path.lexists(ExperimentDir(directory).experiment_file)
        or (directory / COLLECTION).is_dir()
    ):
        return list(find_experiments(directory))
    return []


def _directories(experiment: ExperimentDir, text: str) -> set[str]:
    """Return which directories below an experiment a path from here, or from the root, may mean:
    its own, and those around it where there is such a file.
    """
    directories: set[str] = set()
    path = path_of(text, "RUN")
    for place in {(Path.cwd() / path).resolve(), (default_root() / path).resolve()}:
        for home in {experiment.path.resolve(), experiment.place.resolve()}:
            if place.is_relative_to(home):
                inside = place.relative_to(home)
                around = inside.parents if os.path.lexists(place) else ()
                directories |= {str(inside), *map(str, around)}
    return directories


def runs_inside(experiment: ExperimentDir, path: Path) -> list[str]:
    """Return the ids of the runs that a path below an experiment is of, or has below it; none where
    it is the experiment itself.
    """
    home, place = experiment.path.resolve(), existing_place(path).resolve()
    if home == place or not place.is_relative_to(home):
        return []
    inside = place.relative_to(home)
    directories = [(run.id, Path(run.directory)) for run in experiment.read_runs()]
    return [
        run
        for run, directory in directories
        if inside.is_relative_to(directory) or directory.is_relative_to(inside)
    ]


def one_run(experiments: Sequence[ExperimentDir], text: str) -> RunPlace:
    """Return the one run of these experiments that `text` names; an error lists those that it could
    mean.
    """
    isolation = Isolation(len(experiments) == 1)
    runs: list[RunPlace] = []
    for experiment in experiments:
        with isolation.guard():
            runs += [RunPlace(experiment, run) for run in experiment.read_runs()]
    exact = [match for match in runs if text in (match.run.directory, match.run.id)]
    exact = exact or [
        match for match in runs if text.startswith(f"{match.run.directory}/")
    ]  # a file of the run
    if not exact and text:
        by_path = {experiment.path: _directories(experiment, text) for experiment in experiments}
        exact = [match for match in runs if match.run.directory in by_path[match.experiment.path]]
    matches = exact or [
        match for match in runs if match.run.id.startswith(text) or text in match.run.directory
    ]
    if len(matches) == 1:
        return matches[0]
    where = shown(experiments[0].path)
    if not matches:
        hint = nearest(text, [match.run.directory for match in runs])
        raise NotFound(f"{where} has no run {text!r}{hint}")
    several = "".join(f"\n  {match.run.id}  {match.run.directory}" for match in matches[:10])
    more = f"\n  and {len(matches) - 10} more" if len(matches) > 10 else ""
    ambiguity = (
        f"{text!r} could be {len(matches)} runs of {where}"
        if text
        else f"{where} has {len(matches)} runs"
    )
    raise InvalidInput(f"{ambiguity}; name one:{several}{more}")
