"""An experiment under a launcher's lock: its journal is written, its run directories are made, its
requests read.

What the door through which an experiment came asks of its launch: runslot's own, rlpyt's,
launchkit's.

`ExperimentFile.front_door` is the word on disk; whoever opens or launches an experiment reads its
record here, and nobody compares words.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from runslot.errors import Busy, Damaged, NotFound
from runslot.execute.spawn import allow_many, why_no_further
from runslot.experiment.attempts import keep_attempt, keep_damaged, last_attempt
from runslot.experiment.files import make_below, read_json, write_atomically, write_json
from runslot.experiment.journal import Journal, read_events
from runslot.experiment.launchers import enlist
from runslot.experiment.lock import REQUEST_NAME, LauncherLock
from runslot.experiment.owner import other_owner
from runslot.experiment.placeholders import fill
from runslot.experiment.provenance import link_provenance
from runslot.experiment.records import Command, ExperimentFile, Outcome, Policy, Run, RunFile, Work
from runslot.experiment.rundir import VARIANT_CONFIG, ExperimentDir, RunDir
from runslot.experiment.shape import Shape
from runslot.hardware.lockfile import user_name
from runslot.record import record
from runslot.transport.code_snapshot import as_here, from_copy


@record
class Request:
    """What another terminal asks of this launcher."""

    file: Path
    verb: str
    arguments: tuple[str, ...]


@record
class OddRequest:
    """A file among the requests that is none: an editor's, a sync client's, a torn one."""

    file: Path
    why: str


_REQUEST = Shape({"verb": ("stop", "kill", "pause", "continue"), "arguments": "tuple[str, ...]"})


@record(frozen=False)
class OpenExperiment:
    """An experiment that this process launches; `close` gives it back."""

    directory: ExperimentDir
    file: ExperimentFile
    environment: Mapping[str, str]
    """The caller's, for its runs."""
    lock: LauncherLock | None
    """None for a worker, which shares the experiment with others: what it does, its runs' own
    claims keep apart.
    """
    journal: Journal
    requests_at: Path
    """Where others leave requests."""
    launched: int = 0
    """How many runs were started, for rlpyt's count."""
    total: int = 0
    starting: int | None = None
    """How many runs this launch is to start; None where they are added one by one."""
    launcher_file: Path | None = None
    """This launch's file among those of the user's launchers."""
    closed: bool = False
    odd_requests: set[Path] = field(default_factory=set)
    """Files among the requests that are none, and that were named."""
    identity: tuple[int, int] = (0, 0)
    """Device and inode of the directory as it was opened: what is at its path later may be another
    one.
    """

    def __post_init__(self) -> None:
        status = self.directory.path.stat()
        self.identity = (status.st_dev, status.st_ino)

    @classmethod
    def open(
        cls, directory: ExperimentDir, environment: Mapping[str, str], take_over: bool = False
    ) -> OpenExperiment:
        """Take the lock and open the journal; `Busy` where another launcher is at work, or too many
        files are open.
        """
        allow_many()
        if crowded := why_no_further():
            raise Busy(f"{directory.path} cannot be opened: {crowded}")
        lock = LauncherLock(directory)
        lock.acquire(take_over)
        _withdraw_requests(directory)
        file = _as_it_runs(directory)
        opened = cls(directory, file, environment, lock, _journal(directory), directory.requests)
        if front_door(file).counts_launched:
            events = read_events(directory.journal_file)
            opened.launched = len({event["run"] for event in events if event["event"] == "start"})
        return opened

    @classmethod
    def as_worker(
        cls, directory: ExperimentDir, name: str, environment: Mapping[str, str], moved: bool
    ) -> OpenExperiment:
        """Open an experiment as one of its workers, with a journal of its own; `moved` where it was
        brought here.
        """
        directory.require_own()
        file = _as_it_runs(directory)
        if moved:
            file, environment = as_here(file, directory, environment)
        directory.make_worker(name)
        journal = Journal(directory.worker_journal(name))
        return cls(directory, file, environment, None, journal, directory.worker_requests(name))

    @property
    def policy(self) -> Policy:
        """How its runs are treated."""
        return self.file.policy

    def place(self) -> Path | None:
        """Return where the directory is now: it may have been moved; None where it was removed."""
        path = self.directory.path
        if self._is_at(path):
            return path
        journal = self.journal.place()
        above = None if journal is None else journal.parent
        while above is not None and above != above.parent:  # a worker's journal lies deeper
            if self._is_at(above):
                return above
            above = above.parent
        return None

    def _is_at(self, path: Path) -> bool:
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity

    def run_dir(self, run: Run) -> RunDir:
        """Return where the run lies."""
        return self.directory.run_dir(run, self.file)

    def prepare(self, run: Run, attempt: int) -> RunDir:
        """Make the run's directory complete, or clean again for a further attempt."""
        run_dir = self.run_dir(run)
        self.directory.refuse_others_links(run, self.file)
        first = make_below(run_dir.path, self.directory.path)
        if not first:
            self._keep_earlier(run_dir, attempt)
        # else than at first: brought from another machine, or damaged
        if first or not _is_complete(run_dir):
            if not _reads_above(self.file):
                link_provenance(self.directory, run_dir)
            write_run(run_dir, run, self.file, self.directory.path)
        return run_dir

    def _keep_earlier(self, run_dir: RunDir, attempt: int) -> None:
        earlier = last_attempt(run_dir, damaged=attempt - 1)
        # Not where it is this attempt: a keeper of a launcher that was killed may have begun it
        # just now.
        if earlier is None or earlier >= attempt:
            return
        if self.policy.resumable:
            keep_damaged(run_dir, earlier)
        else:
            keep_attempt(run_dir)

    def requests(self) -> list[Request | OddRequest]:
        """Return what was asked since, oldest first; what is no request is set aside, or left, and
        named once.
        """
        place = self.place()
        if place is None:
            return []
        requests_at = place / self.requests_at.relative_to(self.directory.path)
        try:
            names = sorted(os.listdir(requests_at))  # noqa: PTH208  looked at twice a second
        except FileNotFoundError:
            return []
        except OSError as error:
            return self._name_once(requests_at, f"cannot be listed: {error.strerror}")
        requests: list[Request | OddRequest] = []
        for name in names:
            if name.startswith("."):
                continue
            file = requests_at / name
            owner = other_owner(file)
            if owner is not None:
                requests += self._name_once(
                    file, f"was left by {user_name(owner)}, and is not carried out"
                )
                continue
            if REQUEST_NAME.fullmatch(name) is None:
                requests += self._name_once(file, "is no request, and stays where it is")
                continue
            try:
                requests.append(_read_request(file))
            except Damaged as error:
                requests += self._set_aside(file, str(error))
        return requests

    def _set_aside(self, file: Path, reason: str) -> list[Request | OddRequest]:
        try:
            file.rename(file.with_name(f".{file.name}"))
        except OSError:
            return self._name_once(file, f"is no request ({reason}), and cannot be moved away")
        return self._name_once(file, f"is no request ({reason}); it is now .{file.name}")

    def _name_once(self, file: Path, reason: str) -> list[Request | OddRequest]:
        if file in self.odd_requests:
            return []
        self.odd_requests.add(file)
        return [OddRequest(file, reason)]

    def ended(self, run: Run, outcome: Outcome, now: float, retry: bool = False) -> None:
        """Note how an attempt ended, and whether another follows."""
        self.journal.write("ended", now, run=run.id, outcome=outcome.to_json(), retry=retry)

    def count_launched(self) -> None:
        """Count one more start in `num_launched.txt`, where the front door wants it."""
        if not front_door(self.file).counts_launched:
            return
        self.launched += 1
        if not self.total:
            self.total = len(self.directory.read_runs())
        text = f"Experiments launched so far: {self.launched} out of {self.total}.\n"
        # a full disk: the next start writes it, and no run waits for it
        with contextlib.suppress(OSError):
            write_atomically(self.directory.num_launched, text)

    def enlist(self) -> None:
        """Have the launch listed among those of this user on this machine, until it is closed; a
        worker is not.
        """
        if self.lock is not None:
            self.launcher_file = enlist(self.directory)

    def close(self) -> None:
        """Close the journal and give the lock back; once is enough."""
        if self.closed:
            return
        self.closed = True
        if self.launcher_file is not None:
            self.launcher_file.unlink(missing_ok=True)
        place = self.place()  # which the open journal knows, where it was moved
        self.journal.close()
        self._release_at(place)

    def release(self) -> None:
        """Give the lock back."""
        self._release_at(self.place())

    def _release_at(self, place: Path | None) -> None:
        if self.lock is not None and place is not None:
            (
                self.lock if place == self.directory.path else LauncherLock(ExperimentDir(place))
            ).release()


def _journal(directory: ExperimentDir) -> Journal:
    """Return the journal of an experiment, which other processes may write as well."""
    if directory.turns.is_dir():
        from runslot.experiment.turn import SharedJournal  # few launches take turns

        return SharedJournal(directory.turns, directory.journal_file)
    return Journal(directory.journal_file)


def _as_it_runs(directory: ExperimentDir) -> ExperimentFile:
    """Return the experiment with the paths and the import path that its runs have."""
    file = directory.read()
    return _with_package(file if file.code is None else from_copy(file, directory))


def _with_package(file: ExperimentFile) -> ExperimentFile:
    if file.interpreter is None:
        return file
    from runslot.transport.zipapp import (
        with_package,
    )  # archives are slow to load, and few launches need one

    return with_package(file)


def _reads_above(file: ExperimentFile) -> bool:
    """Tell whether a run's readers look into its experiment for what all its runs share.

    Those of the ancestors' doors do not, and on another machine a run may be alone.
    """
    return front_door(file).reads_above and file.launcher is None


def _read_request(file: Path) -> Request:
    if file.suffix != ".json":  # its name is all of it: the disk was full
        return Request(file, file.suffix[1:], ())
    value = _REQUEST.values(read_json(file) or {})
    return Request(file, value["verb"], value["arguments"])


def _withdraw_requests(directory: ExperimentDir) -> None:
    """Remove what was asked of an earlier launcher, which is dead: this one would stop because of
    it.

    All that is asked of this one is younger than its lock, on the same file system's clock.
    """
    try:
        locked = directory.lock_file.stat().st_mtime_ns
        names = [name for name in os.listdir(directory.requests) if REQUEST_NAME.fullmatch(name)]  # noqa: PTH208
    except OSError:
        return
    for name in names:
        # what is no request, this launcher sets aside and says
        with contextlib.suppress(OSError, Damaged):
            file = directory.requests / name
            if file.lstat().st_mtime_ns < locked and other_owner(file) is None:
                _read_request(file).file.unlink()


def write_run(run_dir: RunDir, run: Run, file: ExperimentFile, home: Path) -> None:
    """Write what executes the run into its directory, which exists; `home` is the experiment's
    directory.
    """
    # its script's logger writes `params.json`, which is to be read
    if front_door(file).variant_above:
        write_json(run_dir.path.parent / VARIANT_CONFIG, dict(run.variant))
    # else its logger does, beside the first row
    elif not _reads_above(file) or isinstance(file.work, Command):
        run_dir.write_variant({**run.variant, **run.extras})
    value = RunFile(
        run=run,
        experiment=file.name,
        work=_work(run_dir, run, file),
        cwd=file.cwd,
        python=file.python,
        path=file.path,
        python_path=file.python_path,
        home=os.path.relpath(home, run_dir.path),
        policy=file.policy,
        logger=replace(file.logger, prefix=file.logger.prefix.replace("{run}", run_dir.path.name)),
        seeding=file.seeding,
        affinity_code=file.affinity_code,
        set_egl_device=file.set_egl_device,
        gpu_visibility=file.gpu_visibility,
        container=file.container,
        env=file.env,
        interpreter=file.interpreter,
    )
    run_dir.write_run(value)


def _work(run_dir: RunDir, run: Run, file: ExperimentFile) -> Work:
    if not isinstance(file.work, Command):
        return file.work
    if not any(sign in word for word in file.work.argv for sign in "{}"):
        return replace(file.work, argv=(*file.work.argv, *run.arguments))
    values = command_values(run, run_dir)
    if front_door(file).log_dir_above:
        values = {"log_dir": str(run_dir.path.parent), "run_ID": run.run_ID}
    return replace(file.work, argv=(*fill(file.work.argv, values), *run.arguments))


def command_values(run: Run, run_dir: RunDir) -> dict[str, Any]:
    """Return what `{names}` in a command stand for in this run."""
    from runslot.variants.variant import flatten  # the room of variants, which few starts need

    values = {**flatten(run.variant), "seed": run.seed}
    return values | {
        "run_dir": str(run_dir.path),
        "run_id": run.id,
        "variant_file": str(run_dir.variant_file),
    }


def _is_complete(run_dir: RunDir) -> bool:
    """Tell whether `run.json` is there and can be read."""
    try:
        run_dir.read_run()
    except (Damaged, NotFound):
        return False
    return True


# ---- the door through which it came --------------------------------------------------------------


@record
class FrontDoor:
    """What differs between the doors."""

    points_latest: bool = False
    """The link `latest` beside the experiment points to its newest launch."""
    reads_above: bool = False
    """A run's readers look into its experiment for what all its runs share."""
    counts_launched: bool = False
    """`num_launched.txt` tells how many runs have started."""
    variant_above: bool = False
    """A run's variant is its `variant_config.json`, in the directory above the run's."""
    log_dir_above: bool = False
    """A command's arguments name the directory above the run's, as `log_dir`, and the `run_ID` in
    it.
    """


_DOORS: Mapping[str, FrontDoor] = {
    "native": FrontDoor(points_latest=True, reads_above=True),
    "rlpyt": FrontDoor(counts_launched=True, variant_above=True, log_dir_above=True),
    "launchkit": FrontDoor(),
    "hydra": FrontDoor(reads_above=True),
}


def front_door(file: ExperimentFile) -> FrontDoor:
    """Return what the door of an experiment asks for."""
    return _DOORS[file.front_door]
