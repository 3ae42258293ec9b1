"""On a rented machine: restore what is in the bucket, take runs that nobody has and have them done
by a worker, push, and end in time.

Started by the task as `python -m runslot.remote.sky DIR TASK`, with the one-file runslot as its
import path.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from runslot.engines.sky.tasks import EXPERIMENT, RUNS, Job, job_file
from runslot.errors import RunslotError
from runslot.experiment.rundir import ExperimentDir
from runslot.remote.sky import lifetime
from runslot.remote.sky.holdings import Holdings
from runslot.remote.sky.lifetime import LOOK, Looking, Sender, say, spot_notice
from runslot.remote.sky.supplier import Supplier
from runslot.remote.worker import UNFINISHED_STATUS
from runslot.transport.bucket import Pusher, TakenOver, Unreachable, open_store
from runslot.transport.bucket.pool import Pool

_POLL_S = 1.0
"""Seconds between looks at the worker, the clock, and what the threads have found."""
_HASTE = 2.0
"""Seconds between two pushes while the runs end."""
_WORKERS = 4
"""How many workers are tried, one after the other, where something kills them alone (memory that
has run out).
"""
_NO_WORKER = 127
"""Status where there is none, as of a shell whose command is not found."""
_LAST_TAKE_S = 60.0
"""Seconds in which what is just being taken is to have come."""
_CLAIM_TIMEOUT_S = 600.0
"""Seconds in which the bucket is to answer at the start: a machine that cannot reach it costs money
for nothing.
"""
_PUSH_TIMEOUT_S = 3600.0
"""Seconds in which a bucket that does not answer is tried again at the end, where the deadline
leaves them.
"""


def main(directory: Path, task: int) -> int:
    """Do one of the jobs in `directory` and return an exit status.

    75 where another machine should go on with the share; else the worker's, or 0 where the runs
    were asked to stop.
    """
    job = Job.from_json(json.loads((directory / job_file(task)).read_text()))
    home = (
        directory / "work" / "experiments" / job.experiment
    )  # a launchkit call's runs lie two levels above it
    _unpack(directory, home)
    store = open_store(job.store)
    root = Path(os.path.normpath(home / ExperimentDir(home).read().runs_root))
    worker = f"{job.share.batch}-{job.share.number}"
    extra = (
        [os.path.relpath(ExperimentDir(home).worker_journal(worker), root)] if root == home else []
    )
    since = lifetime.armed()
    machine = f"{job.name}-{uuid.uuid4().hex[:8]}"
    pusher = Pusher(store, job.share, root, (), machine, extra, since, say=say)
    attempts = dict(json.loads((directory / RUNS).read_text()))
    pool = Pool(store, job.share, machine, tuple(attempts), job.silence, pusher.turns)
    directories = dict(zip(attempts, job.runs, strict=True))
    holdings = Holdings(
        job, store, ExperimentDir(home), root, worker, pool, pusher, directories, attempts
    )
    _restore(holdings)
    end = since + job.seconds - pusher.lived_before
    if pusher.lived_before:
        lifetime.arm_again(end)
    return _Machine(holdings, directory, end).run()


def _unpack(directory: Path, home: Path) -> None:
    """Lay the experiment out; a machine that starts again has it already, with what its runs have
    written.
    """
    if ExperimentDir(home).experiment_file.exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    with tarfile.open(directory / f"{EXPERIMENT}.tar.gz") as archive:
        (
            archive.extractall(home, filter="tar")
            if hasattr(tarfile, "tar_filter")
            else archive.extractall(home)  # noqa: S202
        )


def _restore(holdings: Holdings) -> None:
    """Begin where machines before ended; the bucket has some minutes to answer."""
    last = time.monotonic() + _CLAIM_TIMEOUT_S
    while True:
        try:
            return holdings.restore()
        except Unreachable as error:
            if time.monotonic() >= last:
                raise
            say(f"{error}; trying again")
            time.sleep(10)


@dataclass
class _Machine:
    holdings: Holdings
    directory: Path
    end: float
    """Unix time at which the machine must be gone."""
    reason: str = ""
    """Why the runs are brought to an end, where they are: the first one counts."""
    failure: str = ""
    """Why the worker could not do its runs."""
    is_all_done: bool = False
    """Whether nothing was left to take when the worker ended."""

    def run(self) -> int:
        """Watch the worker to its end, push all the while, and once more at the end."""
        self._listen()
        self._look()
        if self.reason:
            say(f"no run is begun: {self.reason}")
            return self._push_rest(UNFINISHED_STATUS)
        if not self._has_work():
            say("nothing is left to do")
            return self._push_rest(0)
        sender = Sender(self.holdings.pusher, self.holdings.job.sync_interval)
        status = self._work(sender)
        sender.close()
        if sender.taken_over:
            return 1
        self.holdings.settle()
        # What it never had is not done either.
        return self._push_rest(status or int(bool(self.holdings.pusher.settled)))

    def _has_work(self) -> bool:
        """Tell whether there are runs to do, of which the first are taken."""
        holdings = self.holdings
        while not (holdings.ready_runs() or self.reason):
            try:
                holdings.refuse()
                self.is_all_done = not holdings.take(1)
            except Unreachable as error:
                say(f"{error}; trying again")
                time.sleep(10)
                self._look()
            else:
                break
        return bool(holdings.ready_runs())

    def _work(self, sender: Sender) -> int:
        """Have the worker do the runs, and return its status; one that is killed alone is started
        again, and adopts.
        """
        Looking("mailbox", LOOK, self.holdings.look)
        notices = Looking("notices", LOOK, lambda: spot_notice(self.holdings.job.cloud))
        for again in range(_WORKERS):
            link, end = socket.socketpair()
            with link, end:
                try:
                    worker = self._start(end.fileno())
                except OSError as error:
                    python = self.holdings.job.python
                    self.failure = f"python = {python!r} cannot be started: {error.strerror}"
                    return _NO_WORKER
                end.close()
                supplier = Supplier(link, self.holdings, sender.now)
                self._watch(worker, sender, supplier, notices)
                supplier.close()
                link.shutdown(socket.SHUT_RDWR)
                supplier.join(_LAST_TAKE_S)
                self.is_all_done = supplier.has_ended
            if worker.returncode >= 0 or self.reason or again == _WORKERS - 1:
                break
            ended_by = signal.Signals(-worker.returncode).name
            say(f"the worker was ended by {ended_by}; another goes on with its runs")
        if worker.returncode not in {0, 1, UNFINISHED_STATUS}:
            self.failure = f"the worker ended with status {worker.returncode}"
        return worker.returncode

    def _watch(
        self,
        worker: subprocess.Popen[bytes],
        sender: Sender,
        supplier: Supplier,
        notices: Looking,
    ) -> None:
        """Return when the worker has ended; nothing here waits for the bucket or for the cloud."""
        signalled = False
        while worker.poll() is None:
            self._look()
            if notices.has_found:
                self._ask("notice")
            if sender.taken_over:
                self._ask("taken over")
            if self.reason and not signalled:
                signalled = True
                say(f"stopping the runs: {self.reason}")
                supplier.close()
                worker.send_signal(signal.SIGTERM)
                sender.interval = min(sender.interval, _HASTE)
                sender.now()  # what there is, before the runs have ended
            self.holdings.pass_on()
            if self.holdings.settle():
                sender.now()
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(_POLL_S)

    def _look(self) -> None:
        if time.time() >= self.end - self.holdings.job.reserve:
            self._ask("deadline")
        if self.holdings.request.everything:
            self._ask("stopped")

    def _ask(self, reason: str) -> None:
        self.reason = self.reason or reason

    def _listen(self) -> None:
        def hear(_number: int, _frame: FrameType | None) -> None:
            self._ask("stopped")

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, hear)

    def _start(self, link: int) -> subprocess.Popen[bytes]:
        archive = next(self.directory.glob("runslot-*.pyz"))
        holdings, batch = self.holdings, self.directory / "own.json"
        runs = [[run, holdings.attempts[run]] for run in holdings.ready_runs()]
        batch.write_text(json.dumps([runs]))
        most = -(-len(holdings.directories) // holdings.job.share.of)
        python = str(Path(holdings.job.python).expanduser())
        argv = [python, str(archive), "work", str(holdings.home.path)]
        argv += ["--moved", "--name", holdings.worker, "--batch", str(batch), "--task", "0"]
        argv += ["--supply", str(link), "--most", str(most)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        # A group of its own: whoever ends this job ends it through us, and once.
        return subprocess.Popen(argv, env=environment, start_new_session=True, pass_fds=(link,))

    def _push_rest(self, status: int) -> int:
        """Push until the bucket has everything, or the machine's end has come."""
        if self.reason and (  # it was asked before it could hear, or had just done what it had
            status == -signal.SIGTERM or (status in {0, 1} and not self.is_all_done)
        ):
            status = UNFINISHED_STATUS
        state, message = "done", ""
        if status == UNFINISHED_STATUS:
            state = "deadline" if self.reason == "deadline" else "stopped"
            message = "the cloud takes the machine back" if self.reason == "notice" else ""
        elif status not in {0, 1}:
            state, message = "failed", self.failure
        last = min(time.time() + _PUSH_TIMEOUT_S, self.end)
        while True:
            try:
                byte_count = self.holdings.pusher.push(state, message)
            except TakenOver as error:
                say(str(error))
                return 1
            except RunslotError as error:
                if time.time() >= last:
                    say(f"{error}: given up, the results are still in {self.holdings.home.path}")
                    return 1
                say(f"{error}; trying again")
                time.sleep(5)
            else:
                say(f"pushed {byte_count} bytes; {state}")
                if state == "deadline":
                    lifetime.end_early(self.holdings.job.cloud)
                asked_to = state == "stopped" and self.holdings.request.everything
                return 0 if asked_to or state == "deadline" else status


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]).resolve(), int(sys.argv[2])))
    except RunslotError as error:
        sys.exit(f"runslot: {error}")
