"""Every file name of an experiment and of a run, in two classes.

Nothing else in runslot spells these names: `RunDir` is one run's directory, `ExperimentDir` an
experiment's.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runslot.errors import Damaged, NotFound
from runslot.experiment.files import read_json, read_lines, read_record, write_json
from runslot.experiment.journal import append_lines
from runslot.experiment.owner import (
    LeadsOut,
    other_link,
    other_owner,
    refuse_links_of_others,
    require_own,
)
from runslot.experiment.records import Attempt, ExperimentFile, Outcome, Run, RunFile

_ATTEMPT, _OUTCOME = "attempt.json", "outcome.json"


class RunDir:
    """The directory of one run: the contract between who launches and who executes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._place = os.fspath(path)
        self._run: RunFile | None = None

    def __repr__(self) -> str:
        return f"RunDir({str(self.path)!r})"

    @functools.cached_property
    def path(self) -> Path:
        """Where it is; made when it is asked for, since of 10,000 runs few are looked into."""
        return Path(self._place)

    @property
    def run_file(self) -> Path:
        """What to execute; also the file on which a keeper holds its lock."""
        return self.path / "run.json"

    @property
    def variant_file(self) -> Path:
        """The variant, as viskit reads it."""
        return self.path / "variant.json"

    @property
    def variant_pickle(self) -> Path:
        """The variant by value, where JSON cannot hold it."""
        return self.path / "variant.pkl"

    @property
    def attempt_file(self) -> Path:
        """Who executes the run, or last did."""
        return self.path / _ATTEMPT

    @property
    def outcome_file(self) -> Path:
        """How the last attempt ended."""
        return self.path / _OUTCOME

    @property
    def contained_file(self) -> Path:
        """How the attempt under way ended in its container, for the keeper outside."""
        return self.path / "contained.json"

    @property
    def console(self) -> Path:
        """All that the run printed."""
        return self.path / "console.log"

    @property
    def progress(self) -> Path:
        """One row a `dump_tabular`."""
        return self.path / "progress.csv"

    @property
    def objective(self) -> Path:
        """What the run is judged by, where it reported that: a row a report."""
        return self.path / "objective.csv"

    @property
    def system(self) -> Path:
        """What the run used while it went on: a row a look, from the age `SYSTEM_FROM_S` on."""
        return self.path / SYSTEM

    @property
    def params_file(self) -> Path:
        """What rlpyt's `logger_context` writes: the script's settings, `name` and `run_ID`."""
        return self.path / PARAMS

    @property
    def debug_log(self) -> Path:
        """What the logger was told in words."""
        return self.path / "debug.log"

    @property
    def logger_problems(self) -> Path:
        """What the logger could not write: an object with a list `problems`, a sentence each."""
        return self.path / "logger_problems.json"

    @property
    def git_infos(self) -> Path:
        """Commit and branch of the code that was run."""
        return self.path / "git_infos.txt"

    @property
    def script_name(self) -> Path:
        """The script that launched."""
        return self.path / "script_name.txt"

    @property
    def environment(self) -> Path:
        """Python, packages and host."""
        return self.path / "environment.json"

    @property
    def experiment_pickle(self) -> Path:
        """launchkit's keyword arguments of the run."""
        return self.path / "experiment.pkl"

    def kept_attempt(self, attempt: int) -> Path:
        """Where an earlier attempt's files are kept, under names that no reader takes for a run."""
        return self.path / f"attempt_{attempt}"

    def read_run(self) -> RunFile:
        """Read `run.json`, which never changes; `NotFound` where this is no run directory."""
        if self._run is None:
            self._run = read_record(self.run_file, RunFile)
            if self._run is None:
                raise NotFound(
                    f"{self.path} is not a run directory: it has no {self.run_file.name}"
                )
        return self._run

    def write_run(self, file: RunFile) -> None:
        """Write `run.json`, last of what makes the directory complete."""
        write_json(self.run_file, file.to_json())
        self._run = file

    def read_attempt(self) -> Attempt | None:
        """Return who executes the run or last did; None before the first start."""
        value = read_json(f"{self._place}/{_ATTEMPT}")
        if value is None:
            return None
        try:
            return attempt_of(value)
        except Damaged as error:
            raise type(error)(f"{self.attempt_file}: {error}") from error

    def read_outcome(self) -> Outcome | None:
        """Return how the last attempt ended; None while none has."""
        return read_record(f"{self._place}/{_OUTCOME}", Outcome)

    def write_end(self, outcome: Outcome, attempt: Mapping[str, Any] | None) -> None:
        """Write how an attempt ended; of one that succeeded, `attempt.json` is the same file."""
        if attempt is None or outcome.kind != "succeeded":
            write_json(self.outcome_file, outcome.to_json())
            return
        write_json(self.outcome_file, {**attempt, **outcome.to_json(), LEASE: attempt.get("slot")})
        # One block of the disk instead of two: 80 MB of 20,000 runs that log nothing.
        name = f"{self.path}/.{self.attempt_file.name}.{os.getpid()}"
        try:
            os.link(self.outcome_file, name)
            os.replace(name, self.attempt_file)  # noqa: PTH105
        except OSError:  # a file system without links: it stays a file of its own
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108

    def complete_variant(self, variant: Mapping[str, Any]) -> None:
        """Write `variant.json` where it is missing: a run that logs nothing has none."""
        if not os.path.exists(self.variant_file):  # noqa: PTH110
            self.write_variant(variant)

    def complete_params(self, variant: Mapping[str, Any]) -> None:
        """Write `variant.json` where a script of rlpyt's logged rows and no `params.json`, which
        viskit reads as well.

        Where there are both, viskit reads the first alone: the script's configuration, and what
        rlpyt's `add_exp_param` adds to it afterwards, would be hidden.
        """
        if os.path.exists(self.progress) and not os.path.exists(self.params_file):  # noqa: PTH110
            self.complete_variant(variant)

    def about_code(self) -> RunDir:
        """Return where the files about the code, the script and the host are, under a run's names:
        here, or shared.

        A launch writes them once, into its experiment's `provenance`; runs of the ancestors' doors
        have links.
        """
        if any(map(os.path.lexists, (self.git_infos, self.script_name, self.environment))):
            return self
        for above in self.path.parents:
            if os.path.lexists(ExperimentDir(above).experiment_file):
                return RunDir(ExperimentDir(above).provenance)
        return self

    def write_variant(self, variant: Mapping[str, Any]) -> None:
        """Write `variant.json`."""
        write_json(self.variant_file, variant)


COLLECTION = ".runslot"
"""Where a collection keeps the records of the calls that share it."""
LATEST = "latest"
"""Link in an experiment's name directory to its newest launch."""

_OWN_DIRECTORIES = ("requests", "workers", "payloads", "provenance", "turns", ".incoming")
_ENGINE_DIRECTORIES = ("slurm", "pbs", "cloud")
"""What runslot makes in an experiment's directory beside its runs, itself and by its engines."""

_BENEATH = frozenset({"", ".", ".."})
"""Parts of a path that no run's directory has: it would not lie below the experiment."""

PARAMS = "params.json"
"""rlpyt's file with the configuration of a run."""

VARIANT_CONFIG = "variant_config.json"
"""rlpyt's file with the variant, in the directory above its runs."""

LEASE = "lease"
"""Where both files are one: the key of the attempt's slot, since `slot` is the outcome's, its
number.
"""

SYSTEM = "system.csv"
SYSTEM_FROM_S = 2.0
"""Age of a run from which it is written; one that ends before has none."""

KEPT_PROGRESS = "progress_of_attempt.csv"
"""Name of an earlier attempt's `progress.csv`."""


def attempt_of(value: Mapping[str, Any]) -> Attempt:
    """Make the record from what `attempt.json` holds, also where that has the outcome, too."""
    return Attempt.from_json({**value, "slot": value[LEASE]} if LEASE in value else value)


class ExperimentDir:
    """The directory that records an experiment; its runs lie in it, or beside it (launchkit)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"ExperimentDir({str(self.path)!r})"

    @property
    def experiment_file(self) -> Path:
        """What was asked."""
        return self.path / "experiment.json"

    @property
    def runs_file(self) -> Path:
        """The runs, one JSON line each, in the order they start; a widened grid appends."""
        return self.path / "runs.jsonl"

    @property
    def journal_file(self) -> Path:
        """What happened."""
        return self.path / "journal.jsonl"

    @property
    def study_log(self) -> Path:
        """A search's trials for optuna-dashboard: a copy, which nothing here reads."""
        return self.path / "study.log"

    @property
    def best_file(self) -> Path:
        """The best of a search, as sweepers of Hydra leave it."""
        return self.path / "optimization_results.yaml"

    @property
    def lock_file(self) -> Path:
        """Which launcher is at work."""
        return self.path / "launcher.lock"

    @property
    def turns(self) -> Path:
        """Whose turn it is, where several processes decide (`turn`)."""
        return self.path / "turns"

    @property
    def launcher_log(self) -> Path:
        """What the launcher had to say, for when something went wrong."""
        return self.path / "launcher.log"

    @property
    def requests(self) -> Path:
        """What other terminals ask of the launcher, a file each."""
        return self.path / "requests"

    @property
    def workers(self) -> Path:
        """What the workers of engines write, a directory each."""
        return self.path / "workers"

    def worker(self, name: str) -> Path:
        """Return the directory of one worker."""
        return self.workers / name

    def worker_journal(self, name: str) -> Path:
        """Return what happened in one worker."""
        return self.worker(name) / "journal.jsonl"

    def worker_requests(self, name: str) -> Path:
        """Return where others ask something of a worker, a file each."""
        return self.worker(name) / "requests"

    @property
    def function_pickle(self) -> Path:
        """The function, where it travels by value."""
        return self.path / "function.pkl"

    @property
    def payloads(self) -> Path:
        """Variants that JSON cannot hold, a cloudpickle file each."""
        return self.path / "payloads"

    @property
    def provenance(self) -> Path:
        """Commit, diffs, packages and host at the launch; the runs have links to these files."""
        return self.path / "provenance"

    @property
    def confirmation_file(self) -> Path:
        """Which variants were run again on fresh seeds (`runslot confirm`), after which only these
        count."""
        return self.path / "confirmation.json"

    @property
    def experiments_tree(self) -> Path:
        """rlpyt's list of what will run."""
        return self.path / "experiments_tree.txt"

    @property
    def num_launched(self) -> Path:
        """rlpyt's count of what was started."""
        return self.path / "num_launched.txt"

    @property
    def launched(self) -> float:
        """When what was asked was last written; Unix time, 0 where nobody can tell."""
        try:
            return os.lstat(self.experiment_file).st_mtime
        except OSError:
            return 0.0

    def run_dir(self, run: Run, file: ExperimentFile) -> RunDir:
        """Return where `run` lies: inside the experiment, or its collection, whatever files say."""
        base = self.runs_base(file)
        if not _BENEATH.isdisjoint(run.directory.split("/")):
            raise LeadsOut(
                f"{self.runs_file} names the directory {run.directory!r} of a run: it is not inside"
                f" {base}"
            )
        if self._is_others and (link := other_link(base, run.directory, every=True)):
            raise LeadsOut(
                f"{link} is a link in an experiment of another user: it may lead anywhere"
            )
        return RunDir(f"{base}/{run.directory}")

    def refuse_others_links(self, run: Run, file: ExperimentFile) -> None:
        """Raise `LeadsOut` where a link that another user made would lead what is written for `run`
        elsewhere.
        """
        refuse_links_of_others(self.runs_base(file), run.directory)
        require_own(Path(self.runs_base(file), run.directory))  # or it may be changed into one

    @property
    def place(self) -> Path:
        """What is named to whoever looks for its runs: its directory, or that of the collection."""
        return self.path.parent.parent if self.path.parent.name == COLLECTION else self.path

    def runs_base(self, file: ExperimentFile) -> str:
        """Return the directory below which the runs lie: the experiment's own, or that of its
        collection.
        """
        if file.runs_root == ".":
            return os.path.normpath(self.path)
        # On a rented machine what was a collection's lies elsewhere; there all files are this
        # user's.
        if file.runs_root == "../.." and (
            self.path.parent.name == COLLECTION or not self._is_others
        ):
            return os.path.normpath(self.path.parent.parent)
        raise LeadsOut(
            f"{self.experiment_file} says that its runs lie in {file.runs_root!r}, outside of the"
            " experiment"
        )

    @functools.cached_property
    def _is_others(self) -> bool:
        return other_owner(self.path) is not None

    def require_own(self) -> None:
        """Raise `OthersFiles` where the experiment is another user's: before anything is written or
        signalled.

        `LeadsOut` where another user laid a link in the place of one of its own directories.
        """
        require_own(self.path, self.experiment_file, self.runs_file)
        for name in (*_OWN_DIRECTORIES, *_ENGINE_DIRECTORIES):
            refuse_links_of_others(str(self.path), name)

    def make_worker(self, name: str) -> Path:
        """Make the directory of one worker, and return it."""
        refuse_links_of_others(str(self.path), f"{self.workers.name}/{name}")
        self.worker(name).mkdir(parents=True, exist_ok=True)
        return self.worker(name)

    def read(self) -> ExperimentFile:
        """Read `experiment.json`; `NotFound` where this is no experiment directory."""
        file = read_record(self.experiment_file, ExperimentFile)
        if file is None:
            raise NotFound(
                f"{self.path} is not an experiment directory: it has no {self.experiment_file.name}"
            )
        return file

    def read_runs(self) -> list[Run]:
        """Return the runs in the order they were asked for."""
        runs: list[Run] = []
        try:
            for value in read_lines(self.runs_file):
                runs.append(Run.from_json(value))
        except Damaged as error:
            where = f"{self.runs_file}, line {len(runs) + 1}: "
            where = "" if str(error).startswith(str(self.path)) else where
            raise type(error)(f"{where}{error}") from error
        if not runs:
            raise Damaged(
                f"{self.runs_file} lists no runs, as after a power cut; `runslot resume`"
                " rebuilds it"
            )
        return runs

    def append_runs(self, runs: Iterable[Run]) -> None:
        """Record further runs."""
        append_lines(self.runs_file, [run.to_json() for run in runs])
