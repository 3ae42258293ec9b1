"""The process of a rented machine, as its task starts it: asked to stop, told by its cloud, at its
deadline.

The process, its worker and runs are real; the metadata service is a server of its own, and `sudo`
is one that notes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cloud.conftest import Server, free_port

from runslot.engines.sky.config import Sky
from runslot.engines.sky.tasks import Job, stage, task_of
from runslot.launch.experiment import Experiment
from runslot.transport.bucket import (
    Inventory,
    MachineShare,
    Pulled,
    Pusher,
    Store,
    open_store,
    pull,
)
from runslot.transport.bucket.inventory import PART, StopRequest, read_stop_request, request_stop

# slow faults: grouped with those of the other launchers; the limit is for what hangs
pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]
HERE = Path(__file__).parent

TRAIN = """
import os, time
from pathlib import Path
from runslot import logger

def train(variant):
    snapshot = Path(logger.get_snapshot_dir())
    mark = snapshot / 'params.txt'
    first = int(mark.read_text()) if mark.exists() else 0
    with open(os.environ["LEDGER"], "a") as file:
        file.write(f"{variant['lr']} from {first}\\n")
    if variant.get("megabytes") and not first:
        with (snapshot / 'large.pkl').open('wb') as file:
            for _ in range(variant["megabytes"]):
                file.write(os.urandom(2**20))
    for i in range(first, 3 if variant.get("megabytes") else variant["steps"]):
        logger.record_tabular("i", i)
        logger.dump_tabular()
        mark.with_suffix('.new').write_text(str(i + 1))
        mark.with_suffix('.new').replace(mark)
        time.sleep(0.2)
    ledger = Path(os.environ["LEDGER"])
    while ledger.with_name("held").exists() and not ledger.with_name("free").exists():
        time.sleep(0.05)
"""


class Rented:
    """A share of runs that is staged for a machine, and what is run on that machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bucket = f"file://{path}/bucket"
        self.ledger = path / "ledger"
        self.ledger.touch()
        (path / "sudo").mkdir()
        sudo = path / "sudo" / "sudo"
        sudo.write_text(f'#!/bin/sh\necho "$@" >> {path}/armed\n')
        sudo.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{path}/sudo:{os.environ['PATH']}",
            "LEDGER": str(self.ledger),
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def hold(self) -> None:
        """Have runs wait at their end, so that none is over before the test has seen what it looks
        for.
        """
        (self.path / "held").touch()

    def let_go(self) -> None:
        """Let them end."""
        (self.path / "free").touch()

    def stage(self, variants: Mapping[str, list[Any]], **job: Any) -> None:
        """Make what travels to a machine that does all runs; `job` is what is not as usual."""
        (self.path / "project" / "train.py").write_text(TRAIN)
        experiment = Experiment(
            "train", "train.py:train", variants, root=self.path / "runs", resumable=True
        )
        self.home = replace(experiment, snapshot_code=True).prepare()
        runs = self.home.read_runs()
        usual = Job(
            "rs-train-1",
            self.home.path.name,
            0,
            tuple(run.directory for run in runs),
            self.bucket,
            MachineShare("b1"),
        )
        made = replace(usual, **{"sync_interval": 1.0, "python": sys.executable, **job})
        code = self.home.read().code
        assert code is not None
        self.place = stage(self.home, code.copy, [(run.id, 1) for run in runs], [made])

    @property
    def job_file(self) -> Path:
        return self.place / "job-0.json"

    @property
    def job(self) -> dict[str, Any]:
        return dict(json.loads(self.job_file.read_text()))

    def change(self, **changes: Any) -> None:
        self.job_file.write_text(json.dumps({**self.job, **changes}))

    @property
    def share(self) -> MachineShare:
        return MachineShare(*self.job["share"])

    @property
    def store(self) -> Store:
        return open_store(self.bucket)

    @property
    def runs(self) -> list[str]:
        return [str(run) for run in self.job["runs"]]

    def start(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a machine with this name, which has a directory of its own, and one core: a run at
        a time.
        """
        directory = self.path / name
        if not directory.exists():
            subprocess.run(["cp", "-r", self.place, directory], check=True)
        (directory / "job-0.json").write_text(self.job_file.read_text())
        (self.path / f"{name}-locks").mkdir(exist_ok=True)
        own = {**self.environment, "RUNSLOT_LOCKS": str(self.path / f"{name}-locks"), **environment}
        own["PYTHONPATH"] = str(next(directory.glob("runslot-*.pyz")))
        with (self.path / f"{name}.log").open("ab") as log:
            core = str(min(os.sched_getaffinity(0)))
            command = [
                "taskset",
                "-c",
                core,
                sys.executable,
                "-m",
                "runslot.remote.sky",
                str(directory),
                "0",
            ]
            process = subprocess.Popen(
                command, cwd=directory, env=own, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def has_rows(self, name: str) -> bool:
        """Whether a run has written rows on that machine."""
        home = self.path / name / "work" / "experiments" / str(self.job["experiment"])
        return any((home / run / "progress.csv").exists() for run in self.runs)

    def log(self, name: str) -> str:
        return (self.path / f"{name}.log").read_text()

    def listing(self) -> Inventory:
        try:
            return Inventory.from_bytes(self.store.get(self.share.listing))
        except Exception:
            return Inventory()

    def pull(self, to: str = "home") -> Pulled:
        return pull(self.store, self.share, self.path / to)

    def outcomes(self, to: str = "home") -> dict[str, dict[str, Any]]:
        """What has arrived of how runs ended."""
        self.pull(to)
        files = {run: self.path / to / run / "outcome.json" for run in self.runs}
        return {run: json.loads(file.read_text()) for run, file in files.items() if file.exists()}

    def began(self) -> list[str]:
        return self.ledger.read_text().splitlines()

    def lose(self, process: subprocess.Popen[bytes]) -> None:
        """Kill everything of a machine at once."""
        self.freeze(process)  # so that none begins another meanwhile
        for pid in [process.pid, *_below(process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()

    def freeze(self, process: subprocess.Popen[bytes]) -> None:
        """Stop everything of a machine for a while."""
        stopped: set[int] = set()
        while new := {process.pid, *_below(process.pid)} - stopped:
            for pid in new:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            stopped |= new  # look again: one may have begun another meanwhile

    def thaw(self, process: subprocess.Popen[bytes]) -> None:
        """Let it go on."""
        for pid in [process.pid, *_below(process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _below(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except OSError:
            continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def wait_for(what: Callable[[], Any], seconds: float = 120) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return found


@pytest.fixture
def rented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rented]:
    made = Rented(tmp_path)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    yield made
    for process in made.processes:
        if process.poll() is None:
            made.lose(process)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Server]:
    """A metadata service; what it says lies in `metadata`."""
    (tmp_path / "metadata").mkdir()
    port = free_port()
    command = [
        sys.executable,
        str(HERE / "metadata_stand_in"),
        str(port),
        str(tmp_path / "metadata"),
    ]
    server = Server(command, port, tmp_path / "metadata" / "log")
    server.start()
    yield server
    server.kill()


def of_cloud(cloud: str, service: Server) -> dict[str, str]:
    """The environment of a machine of that cloud."""
    return {
        "aws": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url},
        "gcp": {"GCE_METADATA_HOST": service.url[7:]},
    }[cloud]


# ---- asked through the bucket --------------------------------------------------------------------


def test_what_is_asked_only_grows_and_a_damaged_object_is_nothing_asked(rented: Rented) -> None:
    share, store = MachineShare("b1"), rented.store
    assert read_stop_request(store, share) == StopRequest()
    assert request_stop(store, share, ["a", "b"]) == StopRequest(runs=frozenset({"a", "b"}))
    assert request_stop(store, share, ["c"]).runs == {"a", "b", "c"}
    assert request_stop(store, share, None) == StopRequest(True, frozenset({"a", "b", "c"}))
    assert request_stop(store, share, []).everything
    assert read_stop_request(store, share) == StopRequest(True, frozenset({"a", "b", "c"}))
    store.put(share.asked, b'{"format": 1, "every')
    assert read_stop_request(store, share) == StopRequest()
    store.put(share.asked, b"\xff\xfe[]")
    assert request_stop(store, share, ["a"]).runs == {"a"}


def test_asked_to_stop_all_runs_are_stopped_and_what_they_wrote_arrives(rented: Rented) -> None:
    rented.stage({"lr": [0.1, 0.2, 0.3], "steps": [1000]}, sync_interval=600)
    machine = rented.start("one")
    wait_for(lambda: rented.has_rows("one"))
    began = time.monotonic()
    request_stop(rented.store, rented.share, None)
    assert machine.wait(120) == 0
    print(f"asked: everything arrived after {time.monotonic() - began:.1f} s")
    assert rented.listing().state == "stopped"
    outcomes = rented.outcomes()
    assert [each["kind"] for each in outcomes.values()] == ["stopped"]
    assert all((rented.path / "home" / run / "progress.csv").exists() for run in outcomes)


def test_a_machine_whose_share_was_asked_to_stop_before_begins_nothing(rented: Rented) -> None:
    rented.stage({"lr": [0.1, 0.2], "steps": [3]})
    request_stop(rented.store, rented.share, None)
    assert rented.start("one").wait(120) == 0
    assert rented.listing().state == "stopped"
    assert rented.began() == []


def test_single_runs_are_stopped_and_no_others_and_one_that_waits_never_starts(
    rented: Rented,
) -> None:
    rented.hold()
    rented.stage({"lr": [0.1, 0.2, 0.3, 0.4], "steps": [3]}, sync_interval=600)
    machine = rented.start("one")
    wait_for(lambda: rented.has_rows("one"))
    under_way, waiting = rented.runs[0], rented.runs[3]
    began = time.monotonic()
    request_stop(rented.store, rented.share, [under_way, waiting])
    wait_for(lambda: rented.outcomes().keys() == {under_way, waiting})
    print(f"asked: outcomes of single runs arrived after {time.monotonic() - began:.1f} s")
    outcomes = rented.outcomes()
    assert outcomes[under_way]["kind"] == outcomes[waiting]["kind"] == "stopped"
    assert outcomes[waiting]["message"] == "stopped before it started"
    assert (rented.path / "home" / under_way / "progress.csv").exists()
    wait_for(lambda: rented.listing().settled == tuple(sorted([under_way, waiting])))
    assert machine.poll() is None
    rented.let_go()
    assert machine.wait(120) == 1  # not all of its runs succeeded
    assert rented.listing().state == "done"
    kinds = [rented.outcomes()[run]["kind"] for run in rented.runs]
    assert kinds == ["stopped", "succeeded", "succeeded", "stopped"]
    assert [line[:3] for line in rented.began()] == ["0.1", "0.2", "0.3"]


def test_a_replacement_sees_what_was_asked_of_the_share_before(rented: Rented) -> None:
    rented.hold()
    rented.stage({"lr": [0.1, 0.2, 0.3], "steps": [3]})
    machine = rented.start("one")
    wait_for(rented.began)
    wait_for(lambda: any(path.endswith("params.txt") for path in rented.listing().files))
    rented.lose(machine)
    request_stop(rented.store, rented.share, rented.runs[:2])
    rented.let_go()
    assert rented.start("two").wait(120) == 1
    outcomes = rented.outcomes()
    assert [outcomes[run]["kind"] for run in rented.runs] == ["stopped", "stopped", "succeeded"]
    assert [line[:3] for line in rented.began()] == ["0.1", "0.3"]
    assert "its machine was lost" in outcomes[rented.runs[0]]["message"]
    assert set(rented.listing().settled) == set(rented.runs[:2])


# ---- sending -------------------------------------------------------------------------------------


def test_a_push_that_is_broken_off_goes_on_at_the_part_where_it_was(rented: Rented) -> None:
    share, root, parts = (
        MachineShare("b1"),
        rented.path / "root",
        rented.path / "bucket" / "b1" / "share-1-of-1" / "parts",
    )
    (root / "a").mkdir(parents=True)
    (root / "a" / "large.pkl").write_bytes(os.urandom(6 * PART))
    os.utime(root / "a" / "large.pkl", (1e9, 1e9))
    pusher = Pusher(rented.store, share, root, ["a", "b"], "machine")
    pusher.claim()
    pusher.settled.add("b")
    assert pusher.push(until=lambda: len(list(parts.rglob("*"))) >= 3) == 0
    there = {path: path.stat().st_ino for path in parts.rglob("*") if path.is_file()}
    assert 1 <= len(there) < 6
    assert rented_listing(rented).files == {}
    assert rented_listing(rented).settled == ()
    (root / "b").mkdir()
    (root / "b" / "progress.csv").write_text("i\n1\n")
    assert pusher.push() == 6 * PART + 4
    assert rented_listing(rented).files.keys() == {"a/large.pkl", "b/progress.csv"}
    assert rented_listing(rented).settled == ("b",)
    assert {path: path.stat().st_ino for path in there} == there  # none was written again
    assert len([path for path in parts.rglob("*") if path.is_file()]) == 7


def rented_listing(rented: Rented) -> Inventory:
    """The list of the share of those tests that have no job."""
    return Inventory.from_bytes(rented.store.get(MachineShare("b1").listing))


# ---- a share's time ------------------------------------------------------------------------------


def armed(seconds_ago: float) -> dict[str, str]:
    """The environment of a machine whose task armed its switch-off so long ago."""
    return {"RUNSLOT_ARMED": str(int(time.time() - seconds_ago)), "RUNSLOT_SHUTDOWN": "1"}


def test_the_time_of_a_share_is_counted_over_its_machines(rented: Rented) -> None:
    rented.stage({"lr": [0.1], "steps": [1000]}, seconds=7200.0, reserve=60.0)
    switch_off = rented.path / "armed"
    began_at = int(time.time())

    def lived(seconds: float) -> bool:
        """Whether so long was lived before, and what this took so far."""
        return seconds < rented.listing().lived <= seconds + time.time() - began_at

    environment = armed(3600)
    one = rented.start("one", **environment)
    wait_for(rented.began)
    wait_for(lambda: lived(3600))
    rented.lose(one)
    one = rented.start(
        "one", **environment
    )  # its process alone is started again: the time is not counted twice
    wait_for(lambda: len(rented.began()) == 2)
    assert not switch_off.exists()
    assert lived(3600)
    rented.lose(one)
    two = rented.start("two", **armed(1200))
    wait_for(switch_off.exists)
    minutes = int(switch_off.read_text().removeprefix("shutdown -h +"))
    # of 120, 60 and 20 are over, and what this took so far
    assert 39.5 - (time.time() - began_at) / 60 <= minutes <= 40
    wait_for(lambda: lived(4800))
    rented.lose(two)
    began = len(rented.began())
    three = rented.start("three", **armed(2400))
    assert three.wait(120) == 0
    assert rented.listing().state == "deadline"
    assert "no run is begun: deadline" in rented.log("three")
    assert len(rented.began()) == began


def test_the_list_says_how_long_the_machine_lives_though_nothing_changes(rented: Rented) -> None:
    root = rented.path / "root"
    root.mkdir()

    def pusher_of(beat: float) -> Pusher:
        since = time.time() - 100
        made = Pusher(rented.store, MachineShare("b1"), root, ["a"], "m", armed=since, beat=beat)
        made.claim()
        return made

    pusher = pusher_of(3600)
    first = rented_listing(rented)
    pusher.beat()
    pusher.push()
    assert rented_listing(rented) == first
    pusher = pusher_of(0.5)
    for write in (pusher.beat, pusher.push):
        time.sleep(0.6)
        before, _ = rented_listing(rented), write()
        after = rented_listing(rented)
        assert after.sequence == before.sequence + 1
        assert after.lived > before.lived + 0.5


# ---- told by the cloud ---------------------------------------------------------------------------

NOTICES = {
    "aws": ("instance-action", '{"action": "terminate", "time": "2026-01-01T08:22:00Z"}'),
    "gcp": ("preempted", ""),
}


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_at_a_notice_runs_are_stopped_and_everything_arrives(
    rented: Rented, service: Server, cloud: str
) -> None:
    rented.stage({"lr": [0.1, 0.2], "steps": [1000]}, sync_interval=600, cloud=cloud)
    machine = rented.start("one", **of_cloud(cloud, service))
    wait_for(lambda: rented.has_rows("one"))
    wait_for(lambda: (rented.path / "metadata" / "requests").read_text().count("GET") >= 2)
    assert machine.poll() is None  # asked twice, and nothing was announced
    run = rented.runs[0]
    file, text = NOTICES[cloud]
    (rented.path / "metadata" / file).write_text(text)
    began = time.monotonic()
    wait_for(lambda: any(path.endswith("progress.csv") for path in rented.listing().files))
    rows = time.monotonic() - began
    wait_for(lambda: rented.listing().state == "stopped")
    print(f"{cloud}: rows after {rows:.1f} s, everything after {time.monotonic() - began:.1f} s")
    assert machine.wait(60) == 75
    assert time.monotonic() - began < 60  # seven on an idle machine; pushes come every 600
    assert rented.outcomes()[run]["kind"] == "stopped"
    steps = int((rented.path / "home" / run / "params.txt").read_text())
    assert steps >= 1
    # Another machine goes on from there.
    rented.change(cloud="")
    again = rented.start("two")
    wait_for(lambda: len(rented.began()) == 2)
    assert int(rented.began()[1].split()[-1]) == steps
    rented.lose(again)


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
@pytest.mark.parametrize("how", ["hangs", "is absent"])
def test_a_metadata_service_that_does_not_answer_holds_nothing_up(
    rented: Rented, service: Server, cloud: str, how: str
) -> None:
    rented.stage({"lr": [0.1], "steps": [1000]}, sync_interval=600, cloud=cloud)
    if how == "hangs":  # with a byte now and then, so that no patience ends
        (rented.path / "metadata" / "hangs").touch()
    else:
        service.kill()
    machine = rented.start("one", **of_cloud(cloud, service))
    wait_for(rented.began)
    if how == "hangs":
        wait_for((rented.path / "metadata" / "requests").exists)
    began = time.monotonic()
    machine.send_signal(signal.SIGTERM)
    wait_for(lambda: "stopping the runs: stopped" in rented.log("one"))
    print(f"{cloud}, {how}: heard after {time.monotonic() - began:.2f} s")
    assert machine.wait(120) == 75


@pytest.mark.parametrize("why", ["notice", "deadline"])
def test_what_ends_goes_before_the_rest_of_a_large_snapshot(
    rented: Rented, service: Server, moto: Server, s3: str, why: str
) -> None:
    """A line of 4 MB a second, a snapshot of 150 MB under way on it, and the end is announced."""
    rented.bucket = s3
    rented.stage({"megabytes": [150, 0], "steps": [1000], "lr": [0.1]}, cloud="aws")
    port, sent = free_port(), rented.path / "sent"
    command = [
        sys.executable,
        str(HERE / "slow_line"),
        str(port),
        str(moto.port),
        str(4 * 2**20),
        str(sent),
    ]
    line = Server(command, port, rented.path / "line.log")
    line.start()
    names = (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
    )
    keys = {name: os.environ[name] for name in names}
    if why == "deadline":
        rented.change(seconds=97, reserve=85)
    try:
        machine = rented.start("one", **of_cloud("aws", service), **keys, AWS_ENDPOINT_URL=line.url)
        wait_for(lambda: len(rented.began()) == 2)  # the first has ended, its snapshot travels
        large, small = rented.runs
        if why == "notice":
            (rented.path / "metadata" / "instance-action").write_text(NOTICES["aws"][1])
        began = time.monotonic()
        wait_for(lambda: f"{small}/outcome.json" in rented.listing().files)
        print(
            f"{why}: the outcome arrived after {time.monotonic() - began:.1f} s, large:"
            f" {sent.read_text()} sent"
        )
        assert f"{large}/large.pkl" not in rented.listing().files
        assert machine.wait(90) == (75 if why == "notice" else 0)
        print(
            f"{why}: everything arrived after {time.monotonic() - began:.1f} s, {sent.read_text()}"
            " bytes sent"
        )
    finally:
        line.kill()
    assert rented.listing().state == ("deadline" if why == "deadline" else "stopped")
    outcomes = rented.outcomes()
    assert (outcomes[large]["kind"], outcomes[small]["kind"]) == ("succeeded", "stopped")
    assert (rented.path / "home" / large / "large.pkl").stat().st_size == 150 * 2**20
    assert int(sent.read_text()) < 160 * 2**20  # nothing travelled twice


# ---- deleted, and not only stopped ---------------------------------------------------------------


def set_up(rented: Rented, cloud: str, **environment: str) -> str:
    """Execute the setup of the task for a machine of that cloud, in a home of its own; return what
    it prints.
    """
    home = rented.path / "machine-home"
    (home / ".runslot").mkdir(parents=True)
    (home / ".runslot" / "sync").symlink_to(sys.prefix)
    job = Job.from_json(rented.job)
    task = task_of(Sky(infra=cloud, setup=("echo 'its own setup'",)), job, str(rented.place), {})
    own = {**rented.environment, **environment, "HOME": str(home)}
    done = subprocess.run(
        ["bash", "-c", task["setup"]],
        cwd=rented.place,
        env=own,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("its own setup\n")
    minutes = int((rented.path / "armed").read_text().removeprefix("shutdown -h +"))
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    passed = since_boot if since_boot < 3600 else 0
    assert minutes == pytest.approx((86_400 - passed) / 60, abs=2)
    assert float((home / ".runslot" / "armed").read_text()) == pytest.approx(
        time.time() - passed, abs=60
    )
    assert (home / ".runslot" / "shutdown").exists()
    return done.stdout


def test_a_machine_of_ec2_is_terminated_when_it_switches_itself_off(
    rented: Rented, service: Server, s3: str
) -> None:
    import boto3

    rented.stage({"lr": [0.1]})
    client = boto3.client("ec2")
    image, *_ = client.describe_images()["Images"]
    (instance,) = client.run_instances(ImageId=image["ImageId"], MinCount=1, MaxCount=1)[
        "Instances"
    ]
    named = {"InstanceId": instance["InstanceId"], "Attribute": "instanceInitiatedShutdownBehavior"}
    assert (
        client.describe_instance_attribute(**named)["InstanceInitiatedShutdownBehavior"]["Value"]
        == "stop"
    )
    (rented.path / "metadata" / "instance-id").write_text(instance["InstanceId"])
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    keys = {name: os.environ[name] for name in names}
    said = set_up(rented, "aws", **keys, **of_cloud("aws", service))
    assert "this machine is deleted when it switches itself off" in said
    assert (
        client.describe_instance_attribute(**named)["InstanceInitiatedShutdownBehavior"]["Value"]
        == "terminate"
    )


def test_a_machine_of_ec2_that_may_not_goes_on(rented: Rented, service: Server, s3: str) -> None:
    rented.stage({"lr": [0.1]})
    (rented.path / "metadata" / "instance-id").write_text("i-0123456789abcdef0")
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    said = set_up(
        rented, "aws", **{name: os.environ[name] for name in names}, **of_cloud("aws", service)
    )
    assert "EC2 refuses to delete this machine" in said
    assert "i-0123456789abcdef0" in said
    assert "its disk costs until" in said


@pytest.mark.parametrize("may", [True, False])
def test_a_machine_of_compute_engine_deletes_itself_at_its_deadline(
    rented: Rented, service: Server, may: bool
) -> None:
    rented.stage({"lr": [0.1], "steps": [1000]}, cloud="gcp", seconds=3600.0, reserve=60.0)
    if not may:
        (rented.path / "metadata" / "forbidden").touch()
    environment = {
        **of_cloud("gcp", service),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{service.url}/compute/v1/",
    }
    machine = rented.start("one", **environment, **armed(3530))  # 10 s are left
    assert machine.wait(120) == 0
    assert rented.listing().state == "deadline"
    deleted = rented.path / "metadata" / "deleted"
    if may:
        path = "/compute/v1/projects/my-project/zones/us-central1-a/instances/rs-train-1-head"
        assert deleted.read_text() == f"{path}\n"
    else:
        assert not deleted.exists()
        assert "Required 'compute.instances.delete' permission" in rented.log("one")


def test_a_machine_whose_container_hangs_is_deleted_at_its_deadline(
    rented: Rented, service: Server
) -> None:
    """A container has no shutdown, and the setup no process of ours yet: one waits beside it."""
    rented.stage({"lr": [0.1]}, cloud="gcp", seconds=1.0)
    home = rented.path / "machine-home"
    (home / ".runslot").mkdir(parents=True)
    (home / ".runslot" / "sync").symlink_to(sys.prefix)
    machine = Sky(infra="gcp", image="docker:python:3.12", setup=("sleep 600",))
    setup = task_of(machine, Job.from_json(rented.job), str(rented.place), {})["setup"]
    environment = {
        **rented.environment,
        **of_cloud("gcp", service),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{service.url}/compute/v1/",
        "HOME": str(home),
    }
    hanging = subprocess.Popen(
        ["bash", "-c", setup], cwd=rented.place, env=environment, start_new_session=True
    )
    try:
        deleted = rented.path / "metadata" / "deleted"
        wait_for(deleted.exists)
    finally:
        os.killpg(hanging.pid, signal.SIGKILL)
        hanging.wait()
    assert not (rented.path / "armed").exists()  # nothing was asked of a host that is not seen


def test_a_machine_that_is_not_ours_alone_is_never_deleted(rented: Rented, service: Server) -> None:
    rented.stage({"lr": [0.1], "steps": [1000]}, cloud="gcp", seconds=60.0, reserve=58.0)
    environment = {
        **of_cloud("gcp", service),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{service.url}/compute/v1/",
    }
    assert rented.start("one", **environment).wait(120) == 0
    assert rented.listing().state == "deadline"
    assert "DELETE" not in (rented.path / "metadata" / "requests").read_text()
