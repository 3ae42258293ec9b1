"""Keeping a run: being its parent, which starts it, ends it in time, and writes how it ended.

It lives in a session of its own, so that neither a closed terminal nor a dead launcher reaches it,
and it is the subreaper of all that the run starts, so that nothing the run leaves behind survives
it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import resource  # noqa: F401  os.wait4 imports it at its first call, which would be in the middle of a run
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from runslot.errors import shortage_of
from runslot.execute.evidence import KillCount, kill_count, last_line, logger_notes, where_now
from runslot.execute.leftovers import group_of, memory_of_tree
from runslot.execute.process import (
    CANNOT_START,
    ProcessPlan,
    become_run,
    cannot_start,
    read_available,
)
from runslot.execute.spawn import Guard, become_subreaper, guard_of_process, niceness_problem, spawn
from runslot.experiment.files import open_to_append, write_json
from runslot.experiment.processes import ProcessIdentity, children_of, host_name, identify
from runslot.experiment.records import Attempt, Outcome, Usage
from runslot.experiment.rundir import SYSTEM_FROM_S, RunDir
from runslot.experiment.states import Kind
from runslot.hardware.slots import Slot
from runslot.record import record

if TYPE_CHECKING:
    from runslot.execute.usage import UsageMeter

WATCHED = (
    signal.SIGCHLD,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals that a keeper waits for, and that interrupt it nowhere else."""
_MEMORY_PERIOD = 0.5
_LEFTOVER_GRACE = 2.0
_WRITE_PATIENCE_S = 60.0
"""For an outcome that cannot be written for another reason than a shortage, which may last."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
"""Between tries to write an outcome."""


def _steady() -> float:
    """Return seconds on a clock that nobody sets, and that goes on while the machine sleeps, where
    there is one.
    """
    return (
        time.clock_gettime(time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic()
    )


@record(frozen=False)
class Keeper:
    """A claimed run and, once `run` is called, the process that keeps it."""

    job: ProcessPlan
    slot: Slot | None
    attempt: int
    lock: int
    """Descriptor that holds the claim."""
    started: float = field(default_factory=time.time)
    began: float = field(default_factory=_steady)
    child: int = 0
    status: int | None = None
    peak_memory: int | None = None
    end_kind: Kind | None = None
    """Why the keeper, not the run itself, brings it to an end."""
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    kills: KillCount | None = None
    """The kernel's kills for lack of memory, before the start."""
    run_dir: RunDir | None = None
    """Once the run has ended: where its directory is by now; None where it was removed."""
    record: Mapping[str, Any] | None = None
    """What `attempt.json` says."""
    last_words: int | None = None
    """Descriptor at which the run process says why it failed."""
    deadline: float | None = None
    """On the monotonic clock: when what was asked last is enforced."""
    next_look: float = math.inf
    """On the monotonic clock: when what the run uses is looked at next."""
    meter: UsageMeter | None = None
    cpu_seconds: float = 0.0
    """Of all processes of the run that have ended."""
    used: Usage | None = None
    """Once the run has ended."""

    def __post_init__(self) -> None:
        self.policy = self.job.file.policy

    def release(self) -> None:
        """Give the claim back, or leave it to the fork that has it too."""
        os.close(self.lock)

    def run(self, tell: Callable[[Outcome], None] = lambda _: None) -> Outcome:
        """Start the run, wait for its end, write and return how it ended.

        `OSError` where it could not be started: then nothing of the attempt is left. Where the
        outcome cannot be written, `tell` is called with it at once, and this goes on until it can.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        become_subreaper()
        self.kills = kill_count()
        try:
            self._write_attempt()
            self._start()
        except OSError:
            with contextlib.suppress(OSError):
                self.job.run_dir.attempt_file.unlink()  # it was no attempt
            raise
        self._watch()
        return self._finish(tell)

    def _finish(self, tell: Callable[[Outcome], None]) -> Outcome:
        """Write how the run ended before what it left behind is ended: whatever happens then, it
        has ended so.
        """
        self.run_dir = where_now(self.job.run_dir, self.lock)
        if self.meter is not None:
            self.used = self.meter.end(self.cpu_seconds, _steady() - self.began)
        self._settle()
        self._complete_params()
        outcome = self._outcome("" if self.last_words is None else read_available(self.last_words))
        problem = self._write(outcome)
        if problem is not None:
            tell(
                replace(
                    outcome,
                    notes=(*outcome.notes, f"its outcome is not written yet: {problem.strerror}"),
                )
            )
        notes = len(self.notes)
        self._end_leftovers()
        if len(self.notes) > notes:
            outcome = replace(outcome, notes=(*outcome.notes, *self.notes[notes:]))
            problem = self._write(outcome)
        if problem is not None:
            self._write_later(outcome, problem)
        return outcome

    def _settle(self) -> None:
        """Learn all that is to be known of the end of the run."""

    def _complete_params(self) -> None:
        """Leave the variant beside the rows of a script of rlpyt's that has written no parameters
        itself.
        """
        if self.job.file.affinity_code is not None and self.run_dir is not None:
            run = self.job.file.run
            with contextlib.suppress(OSError):
                self.run_dir.complete_params({**run.variant, **run.extras})

    def _write(self, outcome: Outcome) -> OSError | None:
        """Write how the run ended; what is in the way, if anything."""
        if self.run_dir is None:
            return FileNotFoundError(errno.ENOENT, "its directory was removed")
        try:
            self.run_dir.write_end(outcome, self.record)
        except OSError as error:
            return error
        return None

    def _write_later(self, outcome: Outcome, problem: OSError | None) -> None:
        """Try until it is written: the run may be a week's work, and the disk full over night.

        Whatever is no shortage, as a directory that may not be written to, has a minute to pass.
        """
        until = time.monotonic() + _WRITE_PATIENCE_S
        pause = _FIRST_PAUSE_S
        while problem is not None:
            self.run_dir = where_now(self.job.run_dir, self.lock)
            if self.run_dir is None or not (shortage_of(problem) or time.monotonic() < until):
                return
            time.sleep(pause)  # no signal shortens this: it would lose how the run has ended
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            problem = self._write(outcome)

    def _write_attempt(self) -> None:
        keeper = _identity(os.getpid())
        slot = None if self.slot is None else self.slot.to_json()
        group = group_of(keeper)
        attempt = Attempt(
            self.attempt,
            keeper.pid,
            keeper.start_time,
            keeper.boot_id,
            keeper.host,
            self.started,
            slot,
            group,
        )
        self.record = attempt.to_json()
        write_json(self.job.run_dir.attempt_file, self.record)

    def _start(self) -> None:
        console = open_to_append(self.job.run_dir.console)
        try:
            guard = guard_of_process()
            if self.policy.nice is not None:
                self._note_niceness(self.policy.nice)
                # The fork takes its niceness before the command takes over.
                self._fork(console, guard)
            elif self.job.function is None and guard is not None:
                self._spawn(console, guard)
            else:
                self._fork(console, guard)
        finally:
            os.close(console)
        started_at = time.monotonic()
        if self.policy.timeout is not None:
            self.deadline = started_at + self.policy.timeout
        if sys.platform == "linux":
            self.next_look = started_at + SYSTEM_FROM_S

    def _note_niceness(self, niceness: int) -> None:
        if problem := niceness_problem(niceness):
            self.notes.append(f"{problem}: it ran with {os.getpriority(os.PRIO_PROCESS, 0)}")

    def _spawn(self, console: int, guard: Guard) -> None:
        job = self.job
        try:
            if job.placement.pus:
                # This process keeps to its slot, and the command has it so.
                os.sched_setaffinity(0, job.placement.pus)
            os.chdir(job.file.cwd)
            standard = (_null() if job.stdin is None else job.stdin, console)
            self.child = spawn(job.argv, job.environment, standard)
        except (OSError, ValueError) as error:
            if shortage_of(error):
                raise
            self.status, self.reason = CANNOT_START << 8, cannot_start(job, error)
        else:
            guard.over(self.child)

    def _fork(self, console: int, guard: Guard | None) -> None:
        self.last_words, message = os.pipe()
        keeper = os.getpid()
        try:
            self.child = os.fork()
        except OSError:
            os.close(self.last_words)
            os.close(message)
            raise
        if self.child == 0:
            os.close(self.last_words)
            if guard is not None:
                guard.leave()
            become_run(self.job, keeper, console, message)
        os.close(message)
        if guard is not None:
            guard.over(self.child)

    def _watch(self) -> None:
        """Wait for the run to end; pass signals on, and enforce the limits."""
        while self.status is None:
            self._arm()
            received = signal.sigwait(WATCHED)
            if received == signal.SIGCHLD:
                self._reap()
            elif received in {signal.SIGTERM, signal.SIGINT}:
                self._stop()
            elif received in {signal.SIGUSR1, signal.SIGUSR2}:
                self._signal_run(received)
            else:
                self._enforce()

    def _arm(self) -> None:
        now = time.monotonic()
        waits = [] if self.deadline is None else [self.deadline - now]
        if self.next_look < math.inf:
            waits.append(self.next_look - now)
        if self.policy.memory is not None:
            waits.append(_MEMORY_PERIOD)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, min(waits)) if waits else 0)

    def _enforce(self) -> None:
        limit = self.policy.memory
        if limit is not None and self.end_kind is None:
            used = memory_of_tree(self.child)
            if used > limit:
                self._ask(
                    "failed",
                    f"used {used / 1e6:.0f} MB of memory, the limit is {limit / 1e6:.0f} MB",
                )
        if time.monotonic() >= self.next_look:
            self._look()
        if self.deadline is None or time.monotonic() < self.deadline:
            return
        if self.end_kind is None:
            self._ask("timed_out", f"ran longer than {self.policy.timeout:g} s")
        else:
            self._kill()

    def _look(self) -> None:
        """Look at what the run uses; it goes on without where that cannot be."""
        from runslot.execute.usage import UsageMeter  # runs of a second are never looked at

        self.next_look = math.inf
        try:
            if self.meter is None:
                self.meter = UsageMeter(self.child, self.slot, _steady() - self.began)
            self.next_look = self.meter.look(self.job.run_dir)
        except (OSError, ValueError) as error:
            self.notes.append(f"what it used was not looked at any more: {error}")

    def _stop(self) -> None:
        if self.end_kind is None:
            self._ask("stopped", "stopped on request")
        else:
            self._kill()

    def _ask(self, kind: Kind, reason: str) -> None:
        self.end_kind, self.reason = kind, reason
        self.deadline = time.monotonic() + self.policy.grace
        self._signal_run(signal.SIGTERM)

    def _kill(self) -> None:
        self.deadline = None
        self._signal_run(signal.SIGKILL)

    def _signal_run(self, number: int) -> None:
        try:
            os.killpg(self.child, number)
        except ProcessLookupError:  # not yet, or no longer, a group of its own
            if self.status is None:
                os.kill(self.child, number)

    def _reap(self) -> bool:
        """Take the exit status of every child that ended, the run or orphans; tell whether any
        child is left.
        """
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if self.meter is not None and pid == self.meter.helper:
                self.meter.forget_helper()
                continue
            self.cpu_seconds += usage.ru_utime + usage.ru_stime
            if pid == self.child:
                self.status = status
                self.peak_memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def _end_leftovers(self) -> None:
        """End whatever the run left behind: asked first, killed after a moment; orphans of orphans
        too.
        """
        signal.setitimer(signal.ITIMER_REAL, 0)
        patience = 0.0 if self.end_kind is not None else _LEFTOVER_GRACE
        killing_from = time.monotonic() + patience
        signalled: set[int] = set()
        while self._reap():
            helper = 0 if self.meter is None else self.meter.helper
            children = [pid for pid in children_of(os.getpid()) if pid != helper]
            if helper and not children:  # stuck in a driver: the kernel ends it when it can
                break
            kill = time.monotonic() >= killing_from
            for pid in children:
                if kill or pid not in signalled:
                    os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
                    signalled.add(pid)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            signal.sigwait(WATCHED)
        if signalled:
            self.notes.append(f"ended {len(signalled)} processes that the run had left behind")

    def _outcome(self, report: str) -> Outcome:
        code = os.waitstatus_to_exitcode(self.status or 0)
        kind: Kind = self.end_kind or ("succeeded" if code == 0 else "failed")
        problems = () if self.run_dir is None else logger_notes(self.run_dir.logger_problems)
        return Outcome(
            kind=kind,
            attempt=self.attempt,
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            started=self.started,
            ended=self.started
            + _steady()
            - self.began,  # a clock that was set makes no run end before it began
            host=host_name(),
            slot=None if self.slot is None else self.slot.index,
            peak_memory=self.peak_memory,
            message=self.reason or report or ("" if code == 0 else self._say_exit(code)),
            notes=(*self.notes, *problems, *(self._memory_note() if kind == "failed" else ())),
            used=self.used,
        )

    def _killed_for_memory(self) -> int:
        """Return how many processes the kernel killed since the start, for lack of memory: this
        run's or others'.
        """
        return 0 if self.kills is None else kill_count().since(self.kills)

    def _memory_note(self) -> tuple[str, ...]:
        """Return what may be why a run failed: a worker of it was killed, and not the run's own
        process.
        """
        killed = self._killed_for_memory()
        if not killed or self.kills is None:
            return ()
        where = "of its control group" if self.kills.of_group else "on this machine"
        processes = f"process{'es' * (killed > 1)}"
        return (f"out of memory: while it ran, the kernel killed {killed} {processes} {where}",)

    def _say_exit(self, code: int) -> str:
        if code == -signal.SIGKILL and self._killed_for_memory():
            peak = (
                ""
                if self.peak_memory is None
                else f"; its largest process had {self.peak_memory / 1e6:.0f} MB"
            )
            return f"out of memory: killed by the kernel{peak}"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        last = "" if self.run_dir is None else last_line(self.run_dir.console)
        return f"exit code {code}: {last}" if last else f"exit code {code}"


@functools.cache
def _identity(pid: int) -> ProcessIdentity:
    return identify(pid)


@functools.cache
def _null() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
