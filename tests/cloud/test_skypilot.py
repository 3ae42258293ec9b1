"""Real SkyPilot: sweeps on its `slurm/` infra over a Slurm on this machine, and dry runs of what is
built for EC2.

Its environment is large (`make test-cloud` makes it); elsewhere these tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runslot.engines.sky.client import SkyPilot
from runslot.engines.sky.config import Sky
from runslot.engines.sky.tasks import Job, settings_of, task_of
from runslot.errors import InvalidInput
from runslot.transport.bucket import MachineShare

REPOSITORY = Path(__file__).parent.parent.parent
TESTBEDS = REPOSITORY / "tests" / "testbeds"
PYTHON = os.environ.get("RUNSLOT_TEST_SKYPILOT", "")

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not PYTHON, reason="no environment with SkyPilot: make test-cloud makes one"
    ),
]

GPU = (
    "\"{'Gpus': [{'Name': 'T4', 'Manufacturer': 'NVIDIA', 'Count': 1, 'MemoryInfo': {'SizeInMiB':"
    " 16384}}], 'TotalGpuMemoryInMiB': 16384}\""
)


def write_catalogs(home: Path, image: str) -> None:
    """Write a few rows of SkyPilot's catalogs, which it would fetch."""
    place = home / ".sky" / "catalogs" / "v8"
    for name in ("aws", "common"):
        (place / name).mkdir(parents=True, exist_ok=True)
    rows = [
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone,Arch"
    ]
    for kind, gpu, cpus, memory, price, spot in (
        ("m6i.large", "", 2, 8, 0.096, 0.04),
        ("m6i.xlarge", "", 4, 16, 0.192, 0.08),
        ("g4dn.xlarge", "T4", 4, 16, 0.526, 0.1578),
    ):
        info, count = (GPU, 1) if gpu else ("", "")
        rows.append(
            f"{kind},{gpu},{count},{cpus},{memory},{info},{price},{spot},us-east-1,use1-az6,x86_64"
        )
    (place / "aws" / "vms.csv").write_text("\n".join(rows) + "\n")
    tags = ["cpu-ubuntu", "gpu-ubuntu", "gpu-ubuntu-cuda13"]
    images = [
        f"skypilot:custom-{tag},us-east-1,ubuntu,22.04,{image},20250101,{image}" for tag in tags
    ]
    head = "Tag,Region,OS,OSVersion,ImageId,CreationDate,BaseImageId"
    (place / "aws" / "images.csv").write_text("\n".join([head, *images]) + "\n")
    quota = "InstanceType,OnDemandInstanceCode,SpotInstanceCode\n"
    (place / "aws" / "instance_quota_mapping.csv").write_text(quota)
    (place / "common" / "accelerators.csv").write_text("AcceleratorName,Clouds\nT4,aws\n")


@pytest.fixture(scope="module")
def user(moto: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of somebody who has SkyPilot, Slurm's testbed, and a bucket at moto's
    server.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("the Slurm testbed wants root on Debian or Ubuntu")
    place = tmp_path_factory.mktemp("sky")
    aws = {
        "AWS_ENDPOINT_URL": moto.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    environment = {**os.environ, **aws, "SKY_NODE_ENV": " ".join([*aws, "LEDGER"])}
    environment |= {
        "RUNSLOT_LOCKS": str(place / "locks"),
        "LEDGER": str(place / "ledger"),
        "RUNSLOT_YES": "1",
        # Two controllers of jobs, not one for each 0.8 GB here: each takes seconds of CPU to start.
        "SKYPILOT_POD_MEMORY_GB_LIMIT": "8",
    }
    outside = subprocess.run(
        [TESTBEDS / "outside-up", place / "outside"], check=True, capture_output=True, text=True
    )
    trusting = outside.stdout.strip().removeprefix("export ").split()
    environment |= dict(each.split("=", 1) for each in trusting)
    # how packages are reached from here
    for name in (
        "SSL_CERT_FILE",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
    ):
        if name in environment:
            environment["SKY_NODE_ENV"] += f" {name}"
    (place / "locks").mkdir()
    (place / "ledger").touch()
    # Machines on one host, each of which has the cores to itself, as one that is rented has.
    python = place / "python"
    python.write_text(
        f'#!/bin/sh\nexport RUNSLOT_LOCKS="{place}/locks/$SLURM_JOB_ID"\nmkdir -p "$RUNSLOT_LOCKS"\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    subprocess.run([TESTBEDS / "slurm-up"], check=True, capture_output=True)
    uv = Path(PYTHON).parent / "uv"
    said = subprocess.run(
        [TESTBEDS / "sky-up", place / "sky", uv],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    home = said.stdout.strip().removeprefix("export HOME=")
    environment |= {"HOME": home, "PATH": f"{Path(PYTHON).parent}:{environment['PATH']}"}
    environment |= {
        "XDG_STATE_HOME": f"{home}/.state",
        "XDG_CACHE_HOME": f"{home}/.cache",
        "XDG_CONFIG_HOME": f"{home}/.config",
    }
    _boto(environment, "import boto3; boto3.client('s3').create_bucket(Bucket='results')")
    image = _boto(
        environment,
        "import boto3; print(boto3.client('ec2').describe_images()['Images'][0]['ImageId'])",
    )
    write_catalogs(Path(home), image)
    # The controller of managed jobs is a part of the API server: Slurm hosts none.
    (Path(home) / ".sky" / "config.yaml").write_text(
        "jobs:\n  controller:\n    consolidation_mode: true\n"
    )
    sky = Path(PYTHON).parent / "sky"
    subprocess.run([sky, "api", "stop"], env=environment, check=False, capture_output=True)
    yield environment
    for ended in (["jobs", "cancel", "--all", "--yes"], ["down", "--all", "--yes"]):
        subprocess.run([sky, *ended], env=environment, check=False, capture_output=True)
    kill_machines("rs-")
    subprocess.run([sky, "api", "stop"], env=environment, check=False, capture_output=True)
    subprocess.run([TESTBEDS / "sky-up", "--down", place / "sky"], check=False)
    subprocess.run([TESTBEDS / "outside-up", "--down", place / "outside"], check=False)


def _boto(environment: dict[str, str], script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


class Project:
    """A project whose launcher `rented` is SkyPilot's slurm/testbed."""

    def __init__(self, path: Path, environment: dict[str, str]) -> None:
        self.path = path
        self.launches: list[subprocess.Popen[bytes]] = []
        self.environment = {**environment, "RUNSLOT_ROOT": str(path / "runs")}
        self.configure()

    def configure(self, machines: int = 2, more: str = "") -> None:
        python = Path(self.environment["LEDGER"]).with_name("python")
        (self.path / "runslot.toml").write_text(
            '[launchers.rented]\nkind = "sky"\ninfra = "slurm/testbed"\nbucket ='
            f' "s3://results/runs"\nmachines = {machines}\ncpus = "2"\nsync_interval ='
            f' 2\nlook_interval = 3\nmax_hours = 1\npython = "{python}"\nskypilot_python ='
            f' "{PYTHON}"\n{more}'
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "runslot", *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.path, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Launch, and write to `out`; killed at the test's end, so that it asks no SkyPilot that is
        gone.
        """
        with (self.path / "out").open("wb") as out:
            launch = subprocess.Popen(
                self.command(*arguments), cwd=self.path, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.launches.append(launch)
        return launch


@pytest.fixture
def project(tmp_path: Path, user: dict[str, str]) -> Iterator[Project]:
    made = Project(tmp_path, user)
    yield made
    for launch in made.launches:
        launch.kill()
        launch.wait()


def test_digits_on_two_machines_gives_the_same_table_as_here(project: Project) -> None:
    shutil.copy(REPOSITORY / "examples" / "digits.py", project.path)
    sweep = [
        "run",
        "digits.py:train",
        "--grid",
        "lr=0.1,0.01",
        "--grid",
        "hidden=16",
        "--seeds",
        "2",
    ]
    away = project.call(*sweep, "--on", "rented", "--name", "away")
    assert away.returncode == 0, away.stdout + away.stderr
    here = project.call(*sweep, "--name", "here")
    assert here.returncode == 0, here.stdout + here.stderr
    assert _table(project, "away") == _table(project, "here")
    left = project.call("cloud", "ls", "--skypilot-python", PYTHON)
    assert left.stdout.strip() == "no machine is rented"
    assert not subprocess.run(
        ["squeue", "-h", "-o", "%j"], check=True, capture_output=True, text=True
    ).stdout.count("rs-away")


def _table(project: Project, name: str) -> list[str]:
    done = project.call("results", str(project.path / "runs" / name / "latest"))
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("in ")]


TRAIN = """
import os, time
from pathlib import Path
from runslot import logger

def train(variant):
    ledger = Path(os.environ["LEDGER"])
    with open(ledger.with_name("begun"), "a") as file:
        file.write(f"{os.environ['SLURM_JOB_ID']} {variant['lr']}\\n")
    for i in range(30):
        logger.record_tabular("Loss", variant["lr"] * i)
        logger.dump_tabular()
        time.sleep(0.1)
    while variant["lr"] >= 0.03 and not ledger.with_name("gate").exists():
        time.sleep(0.1)
    with open(ledger, "a") as file:
        file.write(f"{variant['lr']}\\n")
"""


class Held:
    """A sweep whose first runs end, and the others when the gate is opened: no machine is without
    work before that, however slow what is tested.
    """

    def __init__(self, project: Project, name: str) -> None:
        self.project = project
        self.ledger = Path(project.environment["LEDGER"])
        self.gate, self.begun = self.ledger.with_name("gate"), self.ledger.with_name("begun")
        self.gate.unlink(missing_ok=True)
        self.begun.write_text("")
        self.ledger.write_text("")
        self.rates = [str(number / 100) for number in range(1, 11)]
        (project.path / "train.py").write_text(TRAIN)
        self.launch = project.launch(
            "run", "train.py:train", f"--grid=lr={','.join(self.rates)}", "--on=rented", f"--name={name}"
        )  # fmt: skip

    def machines(self) -> dict[str, set[str]]:
        """Return the rates of the held runs that each machine has begun, by its Slurm job."""
        begun: dict[str, set[str]] = {}
        for machine, rate in (line.split() for line in self.begun.read_text().splitlines()):
            if float(rate) >= 0.03:
                begun.setdefault(machine, set()).add(rate)
        return begun

    def until(self, look: Callable[[], Any]) -> None:
        """Return when something is true, which the launch may not outlast."""
        end = time.monotonic() + 1200
        while not look():
            said = (self.project.path / "out").read_text()
            assert time.monotonic() < end, f"{said}\n{self.machines()}"
            assert self.launch.returncode is not None or self.launch.poll() is None, said
            time.sleep(0.2)

    def arrivals(self) -> set[str]:
        """Return the rates of the runs that have come home."""
        return {
            str(json.loads((path.parent / "variant.json").read_text())["lr"])
            for path in (self.project.path / "runs").rglob("outcome.json")
        }

    def assert_done(self, arrived: set[str]) -> None:
        """Every run is done, and what had arrived is not done again."""
        done = self.ledger.read_text().split()
        assert sorted(set(done)) == self.rates
        for rate in arrived:
            assert done.count(rate) == 1


def kill_machines(name: str) -> None:
    """Kill Slurm jobs that are machines, with everything in them."""
    jobs = subprocess.run(
        ["squeue", "-h", "-o", "%A %j"], check=True, capture_output=True, text=True
    ).stdout
    for line in [line for line in jobs.splitlines() if line.split()[1].startswith(name)]:
        kill_machine(line.split()[0])


def kill_machine(job: str) -> None:
    """Kill a Slurm job that is a machine, with everything in it."""
    subprocess.run(["scancel", "--signal=KILL", "--full", job], check=True)


def test_the_others_take_the_runs_of_a_lost_machine(project: Project) -> None:
    """The Slurm job that is the machine is killed, with everything in it, half-way."""
    project.configure(2, "managed = false\n")
    sweep = Held(project, "lost")
    sweep.until(lambda: len(sweep.machines()) == 2 and sweep.arrivals())
    arrived, (lost, other) = sweep.arrivals(), sweep.machines()
    kill_machine(lost)
    taken = sweep.machines()[lost]
    sweep.until(lambda: "has ended without its work" in (project.path / "out").read_text())
    sweep.gate.touch()
    assert sweep.launch.wait(800) == 0, (project.path / "out").read_text()
    sweep.assert_done(arrived)
    assert taken <= sweep.machines()[other]
    assert (
        project.call("cloud", "ls", "--skypilot-python", PYTHON).stdout.strip()
        == "no machine is rented"
    )


def test_managed_jobs_replace_a_lost_machine_while_nobody_looks(project: Project) -> None:
    """The launch is killed too: SkyPilot's controller alone finishes the sweep."""
    project.configure(2, "managed = true\n")
    sweep = Held(project, "jobs")
    sweep.until(lambda: len(sweep.machines()) == 2 and sweep.arrivals())
    arrived = sweep.arrivals()
    sweep.launch.kill()
    sweep.launch.wait()
    kill_machine(next(iter(sweep.machines())))
    listed = project.call("cloud", "ls", "--skypilot-python", PYTHON)
    assert len(listed.stdout.splitlines()) == 2, listed.stdout + listed.stderr
    sweep.until(lambda: len(sweep.machines()) == 3)
    sweep.gate.touch()
    until = time.monotonic() + 600
    while "10 succeeded" not in (status := project.call("status", "jobs")).stdout:
        assert time.monotonic() < until, status.stdout + status.stderr
        time.sleep(5)
    sweep.assert_done(arrived)
    while (
        left := project.call("cloud", "ls", "--skypilot-python", PYTHON).stdout.strip()
    ) != "no machine is rented":
        assert time.monotonic() < until, left
        time.sleep(5)


def test_stop_ends_managed_jobs_and_brings_home_what_there_is(project: Project) -> None:
    project.configure(1, "managed = true\n")
    (project.path / "train.py").write_text(TRAIN.replace("range(30)", "range(3000)"))
    Path(project.environment["LEDGER"]).with_name("gate").unlink(missing_ok=True)
    launch = project.launch(
        "run", "train.py:train", "--grid", "lr=0.1,0.2", "--on=rented", "--name=ended"
    )
    until = time.monotonic() + 600
    while len(list((project.path / "runs").rglob("progress.csv"))) < 2:
        assert time.monotonic() < until, (project.path / "out").read_text()
        time.sleep(0.2)
    stopped = project.call("stop", "ended")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    launch.wait(300)
    assert "2 stopped" in project.call("status", "ended").stdout
    assert (
        project.call("cloud", "ls", "--skypilot-python", PYTHON).stdout.strip()
        == "no machine is rented"
    )


@pytest.fixture
def sky(user: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> SkyPilot:
    for name, value in user.items():
        monkeypatch.setenv(name, value)
    return SkyPilot(PYTHON)


@pytest.mark.parametrize(
    ("machine", "what", "price"),
    [
        (Sky(infra="aws/us-east-1", instance_type="m6i.large"), "m6i.large", 0.096),
        (
            Sky(infra="aws/us-east-1", accelerators="T4:1", spot=True),
            "g4dn.xlarge, T4:1, spot",
            0.1578,
        ),
        (Sky(infra="aws/us-east-1", cpus="4+", image="docker:python:3.12"), "m6i.xlarge", 0.192),
    ],
)
def test_tasks_for_ec2_pass_a_dry_run(
    sky: SkyPilot, tmp_path: Path, machine: Sky, what: str, price: float
) -> None:
    assert sky.credentials("aws") == (True, "")
    task = task_of(
        machine,
        Job("rs-dry-1", "x", 0, ("a",), "s3://results/x", MachineShare("b1")),
        str(tmp_path),
        {"runslot": "x"},
    )
    offered = sky.offer(task)
    assert (offered.what, offered.price) == (what, price)
    sky.rent(task, "rs-dry-1", {}, dryrun=True)


@pytest.mark.parametrize("image", [None, "docker:python:3.12"])
def test_a_machine_of_ec2_is_told_its_end_as_it_boots_and_gets_no_key_of_ours(
    sky: SkyPilot, user: dict[str, str], tmp_path: Path, image: str | None
) -> None:
    """On the host, before SkyPilot or a setup does anything: as cloud-init is rendered."""
    machine = Sky(infra="aws/us-east-1", instance_type="m6i.xlarge", image=image)
    job = Job("rs-boot-1", "x", 0, ("a",), "s3://results/x", MachineShare("b1"), seconds=7200.0)
    settings = settings_of(machine, job.store, job.seconds)
    task = task_of(machine, job, str(tmp_path), {"runslot": "x"})
    sky.rent(task, "rs-boot-1", settings, dryrun=True)
    (rendered,) = Path(user["HOME"]).glob(".sky/generated/rs-boot-1.yml*")
    cluster = yaml.safe_load(rendered.read_text())
    (head,) = cluster["available_node_types"].values()
    cloud_init = yaml.safe_load(head["node_config"]["UserData"])
    assert cloud_init["runcmd"] == ["shutdown -h +120"]
    assert not [name for name in cluster["file_mounts"] if ".aws" in name or "gcloud" in name]
    assert head["node_config"]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 64
    rendered.unlink()


def test_an_unknown_instance_type_is_refused_with_those_near_to_it(
    sky: SkyPilot, tmp_path: Path
) -> None:
    machine = Sky(infra="aws/us-east-1", instance_type="m6i.lage")
    task = task_of(
        machine,
        Job("rs-dry-1", "x", 0, ("a",), "s3://results/x", MachineShare("b1")),
        str(tmp_path),
        {},
    )
    with pytest.raises(InvalidInput, match=r"m6i\.lage.*Near to m6i\.lage: m6i\.large"):
        sky.offer(task)


def test_a_task_for_google_cloud_is_one_of_skypilots_schema(sky: SkyPilot, tmp_path: Path) -> None:
    """A dry run wants an account: what is built is checked by SkyPilot's own reading of it."""
    machine = Sky(
        infra="gcp/us-central1",
        cpus="8+",
        spot=True,
        disk=100,
        setup=("pip install torch",),
    )
    task = task_of(
        machine,
        Job("rs-dry-1", "x", 0, ("a",), "gs://results/x", MachineShare("b1")),
        str(tmp_path),
        {"runslot": "x"},
        managed=True,
    )
    script = (
        "import sys, json, sky\ntask = sky.Task.from_yaml_config(json.load(sys.stdin))\n"
        "(resources,) = task.resources\nprint(json.dumps(resources.to_yaml_config()))"
    )
    done = subprocess.run(
        [PYTHON, "-c", script], input=json.dumps(task), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout.splitlines()[-1])
    assert read["infra"] == "gcp/us-central1"
    assert read["use_spot"] is True
    assert read["autostop"]["down"] is True
    assert read["job_recovery"]["recover_on_exit_codes"] == [75]
    unknown = {**task, "resources": {**task["resources"], "instance_typ": "x"}}
    done = subprocess.run(
        [PYTHON, "-c", script],
        input=json.dumps(unknown),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
