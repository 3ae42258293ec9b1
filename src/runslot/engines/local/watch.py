"""How a launcher notices that a run of this machine has ended, and that a keeper does not end it in
time.

`LocalLauncher` has a `Watch` for each run under way and one `Poller` for all. A keeper ends its run
at the time limit and when it is asked to; one that was stopped (SIGSTOP, a debugger) does not. So
each watch knows by when the run must be over: then the keeper is told to go on, and when that does
not help it is killed, and with it what it kept.
"""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import replace

from runslot.engines.local.template import KeeperProcess
from runslot.experiment.claim import find_keeper
from runslot.experiment.processes import ProcessHandle
from runslot.experiment.records import Outcome, Policy
from runslot.experiment.rundir import RunDir
from runslot.experiment.states import Kind
from runslot.record import record

MARGIN_S = 5.0
"""Seconds beyond the time limit, or the grace, that a keeper has to end its run."""
CONTAINER_MARGIN_S = 60.0
"""The same where an engine has to end a container, and to tidy up."""
AWAY_S = 10.0
"""For which a run's directory may be elsewhere until what became of it is given up."""


@record(frozen=False)
class Deadline:
    """By when a keeper must have ended its run, and how the run ended where it does not."""

    moment: float
    """On the monotonic clock."""
    kind: Kind
    reason: str
    extension: float
    """Seconds that the keeper gets once it was told to go on."""
    extended: bool = False
    passed: bool = False
    """Whether the keeper was killed for it."""


@record(frozen=False)
class Watch:
    """One run under way."""

    keeper: KeeperProcess | None = None
    """This launcher's own: it says how the run ended."""
    process: ProcessHandle | None = None
    """An adopted run's keeper: it has the claim, and ends."""
    deadline: Deadline | None = None
    next_look: float = 0.0
    """On the monotonic clock: when the claim is looked at again, where that is all that tells."""
    away_since: float | None = None
    """On the monotonic clock: when its directory was first found to be moved away."""

    @property
    def descriptor(self) -> int | None:
        """What is ready at the end; without one the run is looked at."""
        if self.keeper is not None:
            return self.keeper.fileno()
        return None if self.process is None else self.process.descriptor

    def limit(self, run_dir: RunDir, elapsed: float = 0.0) -> None:
        """Note by when the time limit of the run, which began `elapsed` seconds ago, must have been
        enforced.
        """
        # as of most runs, whose start takes a millisecond
        if run_dir.read_run().policy.timeout is None:
            return
        policy, margin = _terms(run_dir)
        assert policy.timeout is not None
        reason = f"ran longer than {policy.timeout:g} s"
        wait = policy.timeout + policy.grace + margin - elapsed
        self.deadline = Deadline(
            time.monotonic() + wait, "timed_out", reason, policy.grace + margin
        )

    def stop(self, run_dir: RunDir, kill: bool) -> None:
        """Ask the keeper to end its run, or to kill it, and note by when it must have done so.

        A keeper that is asked twice kills.
        """
        policy, margin = _terms(run_dir)
        process = self._open(run_dir)
        if process is not None:
            # The last is for one that was stopped: the others wait until it goes on.
            for number in (signal.SIGTERM, *((signal.SIGINT,) if kill else ()), signal.SIGCONT):
                process.send(number)
            self._release(process)
        if self.keeper is not None:
            self.keeper.signalled = True
        wait = margin if kill else policy.grace + margin
        if self.deadline is None or self.deadline.kind != "stopped" or kill:
            self.deadline = Deadline(
                time.monotonic() + wait, "stopped", "stopped on request", margin
            )

    def enforce(self, run_dir: RunDir) -> None:
        """Where the run should be over: have its keeper go on, and kill it where it has been told
        before.
        """
        deadline = self.deadline
        if deadline is None or deadline.passed or time.monotonic() < deadline.moment:
            return
        process = self._open(run_dir)
        if process is None:
            return
        if deadline.extended:
            deadline.passed = process.send(signal.SIGKILL)
        else:
            process.send(signal.SIGCONT)
            deadline.extended = True
            deadline.moment = time.monotonic() + deadline.extension
        self._release(process)

    def is_away(self, run_dir: RunDir) -> bool:
        """Tell whether its directory was moved away and may come back, with how the run ended."""
        if run_dir.run_file.exists():
            self.away_since = None
            return False
        now = time.monotonic()
        self.away_since = now if self.away_since is None else self.away_since
        return now - self.away_since < AWAY_S

    def outcome(self, lost: Outcome) -> Outcome:
        """Return how a run ended that its keeper wrote no end of: lost, or as it was to end when
        the keeper failed.
        """
        if self.deadline is None or not self.deadline.passed:
            return lost
        message = f"{self.deadline.reason}; the process that kept it did not answer, and was killed"
        return replace(lost, kind=self.deadline.kind, message=message)

    def close(self) -> None:
        """Let go of an adopted keeper."""
        if self.process is not None:
            self.process.close()

    def _open(self, run_dir: RunDir) -> ProcessHandle | None:
        """Return the keeper: this launcher's own, or who has the run's claim; never whom a file
        names.
        """
        if self.keeper is not None:
            return ProcessHandle.of(self.keeper.process)
        if self.process is not None and self.process.lives:
            return self.process
        attempt = run_dir.read_attempt()
        return find_keeper(run_dir, None if attempt is None else attempt.pid)

    def _release(self, process: ProcessHandle) -> None:
        if process is not self.process:
            process.close()


def _terms(run_dir: RunDir) -> tuple[Policy, float]:
    file = run_dir.read_run()
    return file.policy, MARGIN_S if file.container is None else CONTAINER_MARGIN_S


class Poller:
    """Waits for any of several descriptors, or for `wake`."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._poll.register(self._wake_read, select.POLLIN)

    def add(self, descriptor: int) -> None:
        """Wait for this one, too."""
        self._poll.register(descriptor, select.POLLIN)

    def remove(self, descriptor: int) -> None:
        """Wait for it no longer."""
        self._poll.unregister(descriptor)

    def wait(self, timeout: float | None) -> None:
        """Return when one is ready, on `wake`, or after `timeout` seconds."""
        ready = self._poll.poll(None if timeout is None else max(0.0, timeout) * 1000)
        if any(descriptor == self._wake_read for descriptor, _ in ready):
            try:
                os.read(self._wake_read, 4096)
            except BlockingIOError:
                pass

    def wake(self) -> None:
        """Make `wait` return; from any thread."""
        try:
            os.write(self._wake_write, b"\0")
        except (BlockingIOError, OSError):  # full: it will wake; closed: nobody waits
            pass

    def close(self) -> None:
        """Close what it waits with."""
        os.close(self._wake_read)
        os.close(self._wake_write)
