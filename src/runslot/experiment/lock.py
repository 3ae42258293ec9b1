"""The launcher's lock: one launcher at a time acts on an experiment, named by host, boot, pid and
start time.

The lock is a file made by `link`, which holds on NFS too; a holder that is dead is replaced, one on
another host is not, unless the user says so (`--take-over`).

What other terminals ask of the launcher at work, or of a worker: files in its `requests/`,
oldest first.

Who stops, pauses, or continues leaves them; `engines.open_experiment` reads and removes them. A
file appears whole, by rename, or is its name alone.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from runslot.errors import Busy, Damaged
from runslot.experiment.files import open_to_append, read_json, write_json
from runslot.experiment.owner import refuse_links_of_others
from runslot.experiment.processes import ProcessIdentity, identify, is_alive
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.shape import FORMAT, Shape


def lock_holder(experiment: ExperimentDir) -> ProcessIdentity | None:
    """Return who holds the lock, dead or alive; None where nobody does."""
    return read_identity(experiment.lock_file)


def read_identity(file: Path) -> ProcessIdentity | None:
    """Return the process that a file names; None where there is no such file, `Damaged` where it
    names none.
    """
    value = read_json(file)
    if value is None:
        return None
    try:
        _IDENTITY.check(value)
    except Damaged as error:
        raise type(error)(f"{file}: {error}") from error
    return ProcessIdentity(value["host"], value["boot_id"], value["pid"], value["start_time"])


_IDENTITY = Shape({"host": "str", "boot_id": "str", "pid": "int", "start_time": "int"})


def living_launcher(experiment: ExperimentDir) -> ProcessIdentity | None:
    """Return the launcher at work on the experiment; one on another host is taken to live."""
    holder = lock_holder(experiment)
    return None if holder is None or is_alive(holder) is False else holder


class LauncherLock:
    """The lock, held from `acquire` to `release`, by this process."""

    def __init__(self, experiment: ExperimentDir) -> None:
        self._experiment = experiment
        self._identity = identify()

    def acquire(self, take_over: bool = False) -> None:
        """Take the lock, or raise `Busy` naming its holder.

        Locks of dead holders are broken under an `flock` on the journal, so that of two who find
        the same dead holder one wins; `take_over` also breaks one whose host cannot be asked from
        here.
        """
        self._experiment.require_own()
        if self._link():
            return
        with os.fdopen(open_to_append(self._experiment.journal_file), "ab") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            try:
                holder = lock_holder(self._experiment)
            except Damaged as error:
                if not take_over:
                    raise Busy(
                        f"{error}; if it is certain that no launcher runs, add --take-over"
                    ) from error
                holder = None
            alive = None if holder is None else is_alive(holder)
            if holder is not None and (alive or (alive is None and not take_over)):
                raise Busy(self._refusal(holder, bool(alive)))
            self._experiment.lock_file.unlink(missing_ok=True)
            if not self._link():
                raise Busy(
                    f"another launcher took {self._experiment.path} at this moment; try again"
                )

    def release(self) -> None:
        """Give the lock back, if it is still this process's."""
        try:
            is_own = lock_holder(self._experiment) == self._identity
        except Damaged:  # no longer what this process wrote
            return
        if is_own:
            self._experiment.lock_file.unlink(missing_ok=True)

    def _link(self) -> bool:
        lock = self._experiment.lock_file
        temporary = lock.with_name(f".{lock.name}.{self._identity.host}.{self._identity.pid}")
        try:
            temporary.unlink(
                missing_ok=True
            )  # of a launcher of this pid that was killed, or what somebody laid there
            with temporary.open("x") as file:
                json.dump(dataclasses.asdict(self._identity), file)
            os.link(temporary, lock)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _refusal(self, holder: ProcessIdentity, alive: bool) -> str:
        where = f"process {holder.pid} on {holder.host}"
        path: Path = self._experiment.path
        if alive:
            return (
                f"{path} is held by its launcher ({where}); `runslot stop {path}` asks it to stop"
            )
        return (
            f"{path} is held by a launcher that cannot be asked from here ({where}); "
            "if it is certain that it no longer runs, add --take-over"
        )


# ---- what others ask of the launcher -------------------------------------------------------------


REQUEST_NAME = re.compile(r"\d{1,24}-\d{1,24}\.(json|stop|kill)")
"""Of a request's file: when, and which process asked."""


def leave_request(
    directory: ExperimentDir, verb: str, arguments: Sequence[str] = (), worker: str | None = None
) -> Path:
    """Leave a request for the launcher at work, or a worker, by rename; returns its file, which
    that removes.
    """
    directory.require_own()
    requests = directory.requests if worker is None else directory.worker_requests(worker)
    refuse_links_of_others(str(directory.path), requests.relative_to(directory.path).as_posix())
    file = _next_request(requests, "json")
    write_json(file, {"format": FORMAT, "verb": verb, "arguments": list(arguments)})
    return file


def leave_bare_request(directory: ExperimentDir, verb: Literal["stop", "kill"]) -> Path:
    """Leave a request about all runs that is its name alone: for a full disk, which still takes an
    empty file.
    """
    directory.require_own()
    file = _next_request(directory.requests, verb)
    file.touch()
    return file


def _next_request(requests: Path, suffix: str) -> Path:
    requests.mkdir(exist_ok=True, parents=True)
    names = os.listdir(requests)  # noqa: PTH208
    before = [int(name.partition("-")[0]) for name in names if REQUEST_NAME.fullmatch(name)]
    number = max([time.time_ns(), *(number + 1 for number in before)])  # clocks are set back
    return requests / f"{number}-{os.getpid()}.{suffix}"
