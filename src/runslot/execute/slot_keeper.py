"""Who is to keep a run: the claim on it, and the keeper process, which executes the runs of one
slot, one after another, each in a process forked from it.

It outlives its launcher for as long as its run does. Being the parent of each run, it can have the
kernel kill the run when it is killed itself, and collect what the run leaves behind.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.errors import Busy, RunslotError, shortage_of
from runslot.execute.keeper import Keeper
from runslot.execute.placement import place, run_environment
from runslot.execute.process import make_job
from runslot.experiment.claim import take_claim
from runslot.experiment.files import absence_of
from runslot.experiment.records import Outcome, RunFile
from runslot.experiment.rundir import RunDir
from runslot.hardware.slots import Slot

if TYPE_CHECKING:
    from runslot.execute.channel import Channel  # a keeper of one run has none


def keep(
    run_dir: RunDir,
    slot: Slot | None,
    attempt: int,
    caller: Mapping[str, str],
    function: Callable[..., Any] | None = None,
) -> Outcome:
    """Execute the run in `run_dir` as its attempt number `attempt` and return how it ended, which
    is also written.

    `Busy` where another keeper executes the run; the outcome that is there where this attempt has
    ended already. `function` is given where this process, forked from a template, has imported it.
    """
    claimed = claim(run_dir, slot, attempt, caller, function)
    if isinstance(claimed, Outcome):
        return claimed
    try:
        return claimed.run()
    finally:
        claimed.release()


def claim(
    run_dir: RunDir,
    slot: Slot | None,
    attempt: int,
    caller: Mapping[str, str],
    function: Callable[..., Any] | None,
    keepers_own: tuple[int, ...] = (),
) -> Keeper | Outcome:
    """Claim the run and work out all that its process needs, before the fork; else as `keep`.

    `keepers_own` are descriptors of this process that the run must not have.
    """
    lock = _take_claim(run_dir)
    try:
        ended = run_dir.read_outcome()
        if ended is not None and ended.attempt >= attempt:
            os.close(lock)
            return ended
        file = run_dir.read_run()
        if file.container is not None:
            return _contained(run_dir, file, slot, attempt, caller, (lock, *keepers_own))
        placement = place(file, slot)
        environment = run_environment(run_dir, file, attempt, placement, caller)
        job = make_job(run_dir, file, placement, environment, function, (lock, *keepers_own))
        return Keeper(job, slot, attempt, lock)
    except BaseException:
        os.close(lock)
        raise


def _contained(
    run_dir: RunDir,
    file: RunFile,
    slot: Slot | None,
    attempt: int,
    caller: Mapping[str, str],
    descriptors: tuple[int, ...],
) -> Keeper:
    from runslot.execute.outside import (
        ContainedKeeper,
        contained_job,
    )  # what few keepers need is no other's memory

    return ContainedKeeper(
        contained_job(run_dir, file, slot, attempt, caller, descriptors),
        slot,
        attempt,
        descriptors[0],
    )


def _take_claim(run_dir: RunDir) -> int:
    for _ in range(10):
        try:
            return take_claim(run_dir)
        except BlockingIOError:  # another keeper, or a launcher that looks whether there is one
            time.sleep(0.005)
    raise Busy(f"{run_dir.path} is being executed by another process")


class SlotKeeper:
    """The state of the process: its channel to the launcher, the environments it was told, an
    imported function.
    """

    def __init__(self, channel: Channel, function: Callable[..., Any] | None) -> None:
        self._channel = channel
        self._function = function
        self._environments: list[Mapping[str, str]] = []
        self._slot: tuple[dict[str, Any] | None, Slot | None] = (None, None)
        """As it was told last, which hardly ever changes, and what it means."""

    def serve(self) -> None:
        """Execute what it is told, and say how each run ended, until the launcher is gone."""
        while True:
            message, leases = self._channel.receive()
            if message is None:
                return
            values = message.pop("values")
            if values is not None:
                self._environments.append(values)
            answer = self._execute(leases, **message)
            _close(leases)
            if not self._channel.send(answer):
                return

    def _execute(
        self,
        leases: list[int],
        run_dir: str,
        attempt: int,
        slot: dict[str, Any] | None,
        environment: int,
    ) -> dict[str, Any]:
        for lease in leases:
            os.set_inheritable(
                lease, True
            )  # held by the run's own processes, for as long as any lives
        try:
            if slot != self._slot[0]:
                self._slot = (slot, None if slot is None else Slot.from_json(slot))
            place = self._slot[1]
            caller = self._environments[environment]
            claimed = claim(
                RunDir(run_dir), place, attempt, caller, self._function, (self._channel.fileno(),)
            )
            if isinstance(claimed, Outcome):  # written by a keeper of a launcher that was killed
                return {"outcome": claimed.to_json()}
        except Busy:
            return {"busy": True}
        except (OSError, RunslotError) as error:
            return _not_started(error, run_dir)
        try:
            return {"outcome": claimed.run(functools.partial(self._tell, leases)).to_json()}
        except OSError as error:
            return _not_started(error, run_dir)
        finally:
            claimed.release()

    def _tell(self, leases: list[int], outcome: Outcome) -> None:
        """Say how the run ended whose outcome cannot be written yet, and let others have its slot
        meanwhile.

        The launcher then has another keeper for the slot: this one ends once it is written.
        """
        self._channel.send({"outcome": outcome.to_json(), "unwritten": True})
        _close(leases)


def _close(leases: list[int]) -> None:
    while leases:
        os.close(leases.pop())


def _not_started(error: Exception, run_dir: str) -> dict[str, Any]:
    """Return the answer for a run that has not begun; with `short`, what the machine was out of, or
    that the run's directory was moved this moment.
    """
    short = shortage_of(error) or absence_of(error, Path(run_dir))
    return {"failed": f"could not be started: {error}", "short": short}
