"""From an entry of the configuration to SkyPilot's tasks, one a machine, as dicts that its YAML
files hold. Pure.

What a rented machine is to do: one file that travels with the experiment, read by `remote.sky`.
Pure.

What travels to the machines: the experiment without what its runs wrote, the one-file runslot,
each one's job.
"""

from __future__ import annotations

import json
import shlex
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runslot.experiment.rundir import ExperimentDir
from runslot.transport.bucket.inventory import MachineShare
from runslot.transport.bucket.pool import SILENCE_S
from runslot.transport.contents import what_runs_need
from runslot.transport.zipapp import experiment_archive

_SYNC = "$HOME/.runslot/sync"
"""The environment of the push on the machine, apart from the user's."""

TAKEN_BACK = 75
"""Exit status of a job whose share another machine is to go on with (EX_TEMPFAIL)."""

PUBLIC_CLOUDS = {"aws": "s3", "gcp": "gs"}
"""Clouds that rent whole machines, with the scheme of their buckets."""

DISK_GB = 64
"""Of a machine that a public cloud rents, where the entry names no size (SkyPilot takes 256)."""

_FILESYSTEMS = {"s3": "s3fs", "gs": "gcsfs"}


@dataclass(frozen=True)
class Machine:
    """What is rented: one of the machines of a launch."""

    infra: str
    """SkyPilot's: `aws`, `aws/us-east-1`, `gcp`, `kubernetes`, `slurm/NAME`."""
    instance_type: str | None = None
    accelerators: str | None = None
    """As `T4:1`."""
    cpus: str | None = None
    memory: str | None = None
    """In GB."""
    spot: bool = False
    max_price: float | None = None
    """Dollars an hour that it may cost at most."""
    disk: int | None = None
    """GB; else `DISK_GB` where a public cloud rents the machine."""
    image: str | None = None
    setup: tuple[str, ...] = ()
    idle_minutes: int = 5
    managed: bool = False
    """Rented by a managed job of SkyPilot's."""
    more: Mapping[str, Any] | None = None
    """Further keys of SkyPilot's `resources`, as they are."""

    @property
    def cloud(self) -> str:
        """The first word of the infra."""
        return self.infra.partition("/")[0].lower()

    @property
    def disk_gb(self) -> int | None:
        """Size of its disk; None where the place decides."""
        return self.disk or (DISK_GB if self.is_own else None)

    @property
    def is_own(self) -> bool:
        """Whether the machine is ours alone, as one of EC2 is, and a node of a cluster is not."""
        return self.cloud in PUBLIC_CLOUDS

    @property
    def in_container(self) -> bool:
        """Whether the task sees a container of the machine, which cannot switch its host off."""
        return (self.image or "").startswith("docker:")


def resources_of(machine: Machine, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return SkyPilot's `resources`."""
    resources = {
        "infra": machine.infra,
        "instance_type": machine.instance_type,
        "accelerators": machine.accelerators,
        "cpus": machine.cpus,
        "memory": machine.memory,
        "use_spot": machine.spot or None,
        "max_hourly_cost": machine.max_price,
        "disk_size": machine.disk_gb,
        "image_id": machine.image,
        "labels": dict(labels) if machine.cloud in {"aws", "gcp"} else None,
        # A machine that was told that it is taken back has ended its job before it went.
        "job_recovery": {"recover_on_exit_codes": [TAKEN_BACK]} if machine.managed else None,
        # On the machine itself: it goes when its job has ended, whatever became of who launched it.
        "autostop": {"idle_minutes": machine.idle_minutes, "down": True, "wait_for": "jobs"},
        **(machine.more or {}),
    }
    return {key: value for key, value in resources.items() if value is not None}


def settings_of(machine: Machine, store: str, seconds: float) -> dict[str, Any]:
    """Return what SkyPilot's configuration is to say while this machine is rented.

    The switch-off is armed as the machine boots, on the host, before anything else can hang: EC2
    takes commands for that (cloud-init's `runcmd`), Compute Engine's template none, there it is the
    task's first line. The laptop's keys stay at home; those of another cloud travel only where
    the bucket lies there.
    """
    if not machine.is_own:
        return {}
    bucket = store.partition("://")[0]
    settings: dict[str, Any] = {
        cloud: {"remote_identity": "NO_UPLOAD"}
        for cloud, scheme in PUBLIC_CLOUDS.items()
        if cloud != machine.cloud and scheme != bucket
    }
    settings[machine.cloud] = {"remote_identity": "SERVICE_ACCOUNT"}
    if machine.cloud == "aws":
        settings["aws"]["post_provision_runcmd"] = [f"shutdown -h +{_minutes(seconds)}"]
    return settings


def _minutes(seconds: float) -> int:
    return max(1, round(seconds / 60))


def task_of(machine: Machine, job: Job, workdir: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the task of one machine; `workdir` is the directory that travels."""
    return {
        "name": job.name,
        "workdir": workdir,
        "resources": resources_of(machine, labels),
        "setup": "\n".join(_setup(machine, job)) + "\n",
        "run": "\n".join(_run(job)) + "\n",
    }


def _setup(machine: Machine, job: Job) -> list[str]:
    scheme = job.store.partition("://")[0]
    lines = ["set -e", "mkdir -p ~/.runslot"]
    if machine.is_own:
        lines += _deadline(machine, job)
    else:
        lines.append("date +%s > ~/.runslot/armed")
    if scheme in _FILESYSTEMS:
        package = _FILESYSTEMS[scheme]
        lines += [
            f"if ! {_SYNC}/bin/python -c 'import {package}' 2>/dev/null; then",
            (
                '  if [ -x "$HOME/.local/bin/uv" ]; then "$HOME/.local/bin/uv" venv -q --clear'
                f' --python "$(command -v python3)" {_SYNC} && VIRTUAL_ENV={_SYNC}'
                f' "$HOME/.local/bin/uv" pip install -q {package}'
            ),
            f"  else python3 -m venv {_SYNC} && {_SYNC}/bin/python -m pip install -q {package}; fi",
            "fi",
        ]
    if machine.is_own and machine.cloud == "aws":
        lines += [
            f'for RUNSLOT_PYTHON in {_SYNC}/bin/python "$HOME/skypilot-runtime/bin/python"; do',
            "  if \"$RUNSLOT_PYTHON\" -c 'import botocore' 2>/dev/null; then break; fi",
            "done",
            (
                'PYTHONPATH="$(echo "$PWD"/runslot-*.pyz)" "$RUNSLOT_PYTHON" -m'
                " runslot.remote.sky.lifetime || true"
            ),
        ]
    return [*lines, *machine.setup]


def _deadline(machine: Machine, job: Job) -> list[str]:
    """First of all: whatever happens from here on, the machine ends.

    The time counts from the boot, as EC2's switch-off does that is armed there; a container reads
    its host's boot too.
    """
    lines = [
        "RUNSLOT_UPTIME=$(cut -d. -f1 /proc/uptime)",
        # A host that has been up for longer was not booted for this machine.
        "[ $RUNSLOT_UPTIME -lt 3600 ] || RUNSLOT_UPTIME=0",
        f"RUNSLOT_LEFT=$(( {round(job.seconds)} - RUNSLOT_UPTIME ))",
        "echo $(( $(date +%s) - RUNSLOT_UPTIME )) > ~/.runslot/armed",
    ]
    if not machine.in_container:
        lines.append(
            "if sudo shutdown -h +$(( RUNSLOT_LEFT > 60 ? RUNSLOT_LEFT / 60 : 1 )); then"
            " touch ~/.runslot/shutdown; "
            "else echo 'runslot: no deadline could be armed with shutdown'; fi"
        )
    if machine.cloud == "gcp":
        # A shutdown only stops it, and a container has none: it asks its cloud to delete it.
        lines += [
            "touch ~/.runslot/own",
            (
                'PYTHONPATH="$(echo "$PWD"/runslot-*.pyz)" RUNSLOT_OWN=1 nohup setsid'
                f" {shlex.quote(job.python)} -m runslot.remote.sky.lifetime delete $RUNSLOT_LEFT"
                " >~/.runslot/deadline.log 2>&1 </dev/null &"
            ),
        ]
    return lines


def _run(job: Job) -> list[str]:
    python = f"{_SYNC}/bin/python"
    return [
        "export RUNSLOT_ARMED=$(cat ~/.runslot/armed)",
        "[ ! -e ~/.runslot/shutdown ] || export RUNSLOT_SHUTDOWN=1",
        "[ ! -e ~/.runslot/own ] || export RUNSLOT_OWN=1",
        f"RUNSLOT_PYTHON={python}; [ -x {python} ] || RUNSLOT_PYTHON={shlex.quote(job.python)}",
        (
            'PYTHONPATH="$(echo "$PWD"/runslot-*.pyz)" exec "$RUNSLOT_PYTHON" -m'
            f' runslot.remote.sky "$PWD" {job.task}'
        ),
    ]


def labels_of(experiment: str) -> dict[str, str]:
    """Return the labels of an experiment's machines, as all clouds take them: 63 lower-case
    letters, digits, `-`.
    """
    return {"runslot": _plain(experiment)[:63].strip("-") or "experiment"}


def name_of(experiment: str, digest: str, number: int) -> str:
    """Return a machine's name, as all clouds take it: lower-case letters, digits and `-`, a letter
    first, short.
    """
    plain = _plain(experiment)[:14].strip("-")
    return f"rs-{plain}-{digest[:6]}-{number}" if plain else f"rs-{digest[:6]}-{number}"


def _plain(name: str) -> str:
    plain = "".join(
        letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()
    )
    return "-".join(part for part in plain.split("-") if part)


# ---- a job's names -------------------------------------------------------------------------------


RUNS = "runs.json"
EXPERIMENT = "experiment"
"""Names of files in what travels: ids of the batch's runs with their attempts, the experiment's
archive.
"""


def job_file(task: int) -> str:
    """Return the name of a machine's job in what travels."""
    return f"job-{task}.json"


@dataclass(frozen=True)
class Job:
    """The work of one machine."""

    name: str
    """The machine's."""
    experiment: str
    """The experiment's name, which its directory on the machine gets too."""
    task: int
    """Which of the tasks, from 0."""
    runs: tuple[str, ...]
    """Directories of the batch's runs, relative to where the experiment's runs lie; the machine
    takes of them what nobody has.
    """
    store: str
    """Address of the experiment's place in the bucket."""
    share: MachineShare
    earlier: tuple[MachineShare, ...] = ()
    """Shares of machines before, which may hold what its runs have done already."""
    sync_interval: float = 180.0
    """Seconds between two pushes."""
    seconds: float = 86_400.0
    """How long the machines of the share may live, one after the other, each from the arming of its
    deadline.
    """
    reserve: float = 120.0
    """How long before its deadline the machine stops its runs and pushes."""
    python: str = "python3"
    """The interpreter of the runs."""
    cloud: str = ""
    """`aws` or `gcp`, whose notices of a spot machine's end are looked for."""
    silence: float = SILENCE_S
    """Seconds of silence after which the others take a machine for lost."""

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON values."""
        shares = [[share.batch, share.number, share.of] for share in (self.share, *self.earlier)]
        return {"format": 1, **self.__dict__, "share": shares[0], "earlier": shares[1:]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Job:
        """Make the job from what `to_json` gave."""
        fields = {key: value[key] for key in cls.__dataclass_fields__ if key in value}
        earlier = tuple(MachineShare(*share) for share in value["earlier"])
        return cls(
            **{
                **fields,
                "runs": tuple(value["runs"]),
                "share": MachineShare(*value["share"]),
                "earlier": earlier,
            }
        )


# ---- what travels to the machines ----------------------------------------------------------------


def stage(
    experiment: ExperimentDir,
    code: str,
    runs: Sequence[tuple[str, int]],
    jobs: Sequence[Job],
) -> Path:
    """Make the directory that travels, and return it: `code` is the name of the copy of the code,
    `runs` are ids, each with the attempt that is asked for.

    Machines of one launch share it; each reads its own job in it.
    """
    batch, copy = jobs[0].share.batch, experiment.path / code
    place = experiment.path / "cloud" / batch
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    archive = experiment_archive(experiment)
    shutil.copy2(archive, place / archive.name)
    (place / RUNS).write_text(json.dumps(runs))
    for job in jobs:
        (place / job_file(job.task)).write_text(json.dumps(job.to_json(), indent=1))
    with tarfile.open(place / f"{EXPERIMENT}.tar.gz", "w:gz", compresslevel=6) as packed:
        for path in what_runs_need(experiment, experiment.read(), experiment.provenance, copy):
            packed.add(path, path.relative_to(experiment.path).as_posix())
    return place
