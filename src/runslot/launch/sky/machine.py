"""On a rented machine: restore what is in the bucket, have the runs done by a worker, push, and end in time.

Started by the task as `python -m runslot.launch.sky.machine DIR TASK`, with the one-file runslot as its import path.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from runslot.errors import RunslotError
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.bucket import Pusher, TakenOver, Unreachable, open_store, pull
from runslot.launch.bucket.store import Store
from runslot.launch.sky.job import EXPERIMENT, TASKS, Job, job_file
from runslot.launch.work import UNFINISHED_STATUS

_LOOK = 1.0
"""Seconds between looks at the worker and the clock."""
_LOOK_FOR_NOTICE = 5.0
_PATIENCE = 3600.0
"""Seconds in which a bucket that does not answer is tried again at the end, where the deadline leaves them."""


def main(directory: Path, task: int) -> int:
    """Do one of the jobs in `directory` and return the worker's exit status; 75 where the share was not finished."""
    job = Job.from_json(json.loads((directory / job_file(task)).read_text()))
    home = directory / "work" / "experiments" / job.experiment  # a launchkit call's runs lie two levels above it
    _unpack(directory, home)
    store = open_store(job.store)
    root = Path(os.path.normpath(home / ExperimentDir(home).read().runs_root))
    worker = f"{job.share.batch}-{job.share.number}"
    extra = [os.path.relpath(ExperimentDir(home).worker_journal(worker), root)] if root == home else []
    machine = f"{job.name}-{uuid.uuid4().hex[:8]}"
    pusher = Pusher(store, job.share, root, job.runs, machine, extra)
    _restore(job, store, root, pusher)
    return _Machine(job, directory, home, worker, pusher, _deadline(job)).run()


def _unpack(directory: Path, home: Path) -> None:
    """Lay the experiment out; a machine that starts again has it already, with what its runs have written."""
    if ExperimentDir(home).experiment_file.exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    with tarfile.open(directory / f"{EXPERIMENT}.tar.gz") as archive:
        archive.extractall(home, filter="tar") if hasattr(tarfile, "tar_filter") else archive.extractall(home)  # noqa: S202


def _restore(job: Job, store: Store, root: Path, pusher: Pusher) -> None:
    """Claim the share, and bring what machines before have done of its runs."""
    wanted = tuple(f"{run}/" for run in job.runs)
    while True:
        try:
            before = pusher.claim()
            for share in (*job.earlier, job.share):
                brought = pull(store, share, root, wanted=lambda path: path.startswith(wanted))
                if brought.files:
                    _say(f"restored {brought.files} files, {brought.size} bytes, of {share.name}")
            pusher.trust_restored()
        except Unreachable as error:
            _say(f"{error}; trying again")
            time.sleep(10)
        else:
            _say(f"{len(before.files)} files of this share were in the bucket")
            return


def _deadline(job: Job) -> float:
    """Return the Unix time at which the machine must be idle: counted from when the task armed it."""
    armed = os.environ.get("RUNSLOT_ARMED")
    return (float(armed) if armed else time.time()) + job.seconds - job.reserve


@dataclass
class _Machine:
    job: Job
    directory: Path
    home: Path
    worker_name: str
    pusher: Pusher
    deadline: float
    asked: list[str] = field(default_factory=list)
    """Why the runs are brought to an end, in order."""

    def run(self) -> int:
        """Watch the worker to its end, push all the while, and once more at the end."""
        self._listen()
        worker = self._start()
        told = False
        next_push = next_notice = time.monotonic()
        while worker.poll() is None:
            now = time.monotonic()
            if time.time() >= self.deadline and not self.asked:
                self.asked.append("deadline")
            if now >= next_notice:
                next_notice = now + _LOOK_FOR_NOTICE
                if not self.asked and spot_notice(self.job.cloud):
                    _say("the cloud takes this machine back")
                    self.asked.append("notice")
            if self.asked and not told:
                told = True
                _say(f"stopping the runs: {self.asked[0]}")
                worker.send_signal(signal.SIGTERM)
                next_push = now  # what there is, before the runs have ended
            if now >= next_push:
                if not self._push():
                    worker.terminate()
                    worker.wait()
                    return 1
                next_push = time.monotonic() + self.job.sync_interval
            self._wait(worker)
        return self._end(worker.returncode)

    def _listen(self) -> None:
        def ask(_number: int, _frame: FrameType | None) -> None:
            self.asked.append("stopped")

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, ask)

    def _start(self) -> subprocess.Popen[bytes]:
        archive = next(self.directory.glob("runslot-*.pyz"))
        argv = [self.job.python, str(archive), "work", str(self.home), "--moved", "--name", self.worker_name]
        argv += ["--batch", str(self.directory / TASKS), "--task", str(self.job.task)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        # A group of its own: whoever ends this job ends it through us, and once.
        return subprocess.Popen(argv, env=environment, start_new_session=True)

    def _wait(self, worker: subprocess.Popen[bytes]) -> None:
        try:
            worker.wait(_LOOK)
        except subprocess.TimeoutExpired:
            pass

    def _push(self, state: str = "working", said: str = "") -> bool:
        """Push once; False where another machine has the share."""
        try:
            sent = self.pusher.push(state, said)
        except TakenOver as error:
            _say(str(error))
            return False
        except RunslotError as error:
            _say(f"{error}; the next push sends it")
            return True
        if sent:
            _say(f"pushed {sent} bytes")
        return True

    def _end(self, status: int) -> int:
        """Push until the bucket has everything, or the deadline is over."""
        state = "done" if status in {0, 1} else ("stopped" if status == UNFINISHED_STATUS else "failed")
        if self.asked[:1] == ["deadline"]:
            state = "deadline"
        said = f"the worker ended with status {status}" if state == "failed" else ""
        last = min(time.time() + _PATIENCE, self.deadline + self.job.reserve)
        while True:
            try:
                sent = self.pusher.push(state, said)
            except TakenOver as error:
                _say(str(error))
                return 1
            except RunslotError as error:
                if time.time() >= last:
                    _say(f"{error}: given up, the results are still in {self.home}")
                    return 1
                _say(f"{error}; trying again")
                time.sleep(5)
            else:
                _say(f"pushed {sent} bytes; {state}")
                return status


def spot_notice(cloud: str) -> bool:
    """Tell whether the cloud has announced that it takes this machine back (2 minutes on EC2, 30 s on GCP)."""
    try:
        if cloud == "aws":
            return _ask_ec2()
        if cloud == "gcp":
            return _ask_gcp()
    except OSError:  # no such page yet, or no metadata service at all
        return False
    return False


def _ask_ec2() -> bool:
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    head = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = _ask(urllib.request.Request(f"{base}/latest/api/token", headers=head, method="PUT"))  # noqa: S310
    page = f"{base}/latest/meta-data/spot/instance-action"
    return bool(_ask(urllib.request.Request(page, headers={"X-aws-ec2-metadata-token": token})))  # noqa: S310


def _ask_gcp() -> bool:
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    page = f"http://{host}/computeMetadata/v1/instance/preempted"
    return _ask(urllib.request.Request(page, headers={"Metadata-Flavor": "Google"})) == "TRUE"


def _ask(request: urllib.request.Request) -> str:
    with urllib.request.urlopen(request, timeout=1) as answer:  # noqa: S310
        return str(answer.read().decode()).strip()


def _say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]).resolve(), int(sys.argv[2])))
    except RunslotError as error:
        sys.exit(f"runslot: {error}")
