"""What a rented machine is told: SkyPilot's task, as a dict that its YAML files hold, and the job
that travels with the experiment and is read by `remote.sky`. Pure, but for `stage`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shlex
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.experiment.records import ExperimentFile
from runslot.experiment.rundir import ExperimentDir
from runslot.record import record
from runslot.transport.bucket.inventory import MachineShare
from runslot.transport.bucket.pool import SILENCE_S
from runslot.transport.contents import what_runs_need
from runslot.transport.zipapp import experiment_archive

if TYPE_CHECKING:
    from runslot.engines.sky.config import Sky

_SYNC = "$HOME/.runslot/sync"
"""The environment of the push on the machine, apart from the user's."""

TAKEN_BACK = 75
"""Exit status of a job whose share another machine is to go on with (EX_TEMPFAIL)."""

PUBLIC_CLOUDS = {"aws": "s3", "gcp": "gs"}
"""Clouds that rent whole machines, with the scheme of their buckets."""

DISK_GB = 64
"""Of a machine that a public cloud rents, where the entry names no size (SkyPilot takes 256)."""

_FILESYSTEMS = {"s3": "s3fs", "gs": "gcsfs"}


def settings_of(config: Sky, store: str, seconds: float) -> dict[str, Any]:
    """Return what SkyPilot's configuration is to say while this machine is rented.

    The switch-off is armed as the machine boots, on the host, before anything else can hang: EC2
    takes commands for that (cloud-init's `runcmd`), Compute Engine's template none, there it is the
    task's first line. The laptop's keys stay at home; those of another cloud travel only where
    the bucket lies there.
    """
    bucket = store.partition("://")[0]
    settings: dict[str, Any] = {
        cloud: {"remote_identity": "NO_UPLOAD"}
        for cloud, scheme in PUBLIC_CLOUDS.items()
        if cloud != config.cloud and scheme != bucket
    }
    if config.rents_whole:
        settings[config.cloud] = {"remote_identity": "SERVICE_ACCOUNT"}
    if config.cloud == "aws":
        settings["aws"]["post_provision_runcmd"] = [f"shutdown -h +{max(1, round(seconds / 60))}"]
    return settings


def task_of(
    config: Sky, job: Job, workdir: str, labels: Mapping[str, str], managed: bool = False
) -> dict[str, Any]:
    """Return the task of one machine, of a managed job where it is one; `workdir` is the directory
    that travels.
    """
    resources = {
        "infra": config.place,
        "instance_type": config.instance_type,
        "accelerators": config.accelerators,
        "cpus": config.cpus,
        "memory": config.memory,
        "use_spot": config.spot or None,
        "max_hourly_cost": config.max_price,
        "disk_size": config.disk_gb,
        "image_id": config.image,
        "labels": dict(labels) if config.rents_whole else None,
        # A machine that was told that it is taken back has ended its job before it went.
        "job_recovery": {"recover_on_exit_codes": [TAKEN_BACK]} if managed else None,
        # On the machine itself: it goes when its job has ended, whatever became of who launched it.
        "autostop": {"idle_minutes": config.idle_minutes, "down": True, "wait_for": "jobs"},
        **config.resources,
    }
    return {
        "name": job.name,
        "workdir": workdir,
        "resources": {key: value for key, value in resources.items() if value is not None},
        "setup": "\n".join(_setup(config, job)) + "\n",
        "run": "\n".join(_run(job)) + "\n",
    }


def _setup(config: Sky, job: Job) -> list[str]:
    scheme = job.store.partition("://")[0]
    lines = ["set -e", "mkdir -p ~/.runslot"]
    if config.rents_whole:
        lines += _deadline(config, job)
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
    if config.rents_whole and config.cloud == "aws":
        lines += [
            f'for RUNSLOT_PYTHON in {_SYNC}/bin/python "$HOME/skypilot-runtime/bin/python"; do',
            "  if \"$RUNSLOT_PYTHON\" -c 'import botocore' 2>/dev/null; then break; fi",
            "done",
            (
                'PYTHONPATH="$(echo "$PWD"/runslot-*.pyz)" "$RUNSLOT_PYTHON" -m'
                " runslot.remote.sky.lifetime || true"
            ),
        ]
    return [*lines, *config.setup]


def _deadline(config: Sky, job: Job) -> list[str]:
    """First of all: whatever happens from here on, the machine ends.

    The time counts from the boot, as EC2's switch-off does that is armed there; a container reads
    its host's boot too.
    """
    lines = [
        "RUNSLOT_UPTIME=$(cut -d. -f1 /proc/uptime)",
        # A host that has been up for longer was not booted for this config.
        "[ $RUNSLOT_UPTIME -lt 3600 ] || RUNSLOT_UPTIME=0",
        f"RUNSLOT_LEFT=$(( {round(job.seconds)} - RUNSLOT_UPTIME ))",
        "echo $(( $(date +%s) - RUNSLOT_UPTIME )) > ~/.runslot/armed",
    ]
    if not config.in_container:
        lines.append(
            "if sudo shutdown -h +$(( RUNSLOT_LEFT > 60 ? RUNSLOT_LEFT / 60 : 1 )); then"
            " touch ~/.runslot/shutdown; "
            "else echo 'runslot: no deadline could be armed with shutdown'; fi"
        )
    if config.cloud == "gcp":
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


def digest_of(directory: ExperimentDir, file: ExperimentFile) -> str:
    """Return what tells the experiment's machines and objects from any other's."""
    return hashlib.sha256(f"{directory.path.name}{file.created}".encode()).hexdigest()


def name_of(experiment: str, digest: str, number: int) -> str:
    """Return a machine's name, as all clouds take it: lower-case letters, digits and `-`, a letter
    first, short.
    """
    plain = _plain(experiment)[:14].strip("-")
    return f"rs-{plain}-{digest[:6]}-{number}" if plain else f"rs-{digest[:6]}-{number}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


# ---- a job's names -------------------------------------------------------------------------------


RUNS = "runs.json"
EXPERIMENT = "experiment"
"""Names of files in what travels: ids of the batch's runs with their attempts, the experiment's
archive.
"""


def job_file(task: int) -> str:
    """Return the name of a machine's job in what travels."""
    return f"job-{task}.json"


@record
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
        earlier = [dataclasses.astuple(share) for share in self.earlier]
        return {**self.__dict__, "share": dataclasses.astuple(self.share), "earlier": earlier}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Job:
        """Make the job from what `to_json` gave, in the same runslot: it travels with the job."""
        share, *earlier = (MachineShare(*each) for each in (value["share"], *value["earlier"]))
        lists = {"runs": tuple(value["runs"]), "earlier": tuple(earlier)}
        return cls(**{**value, **lists, "share": share})


NO_JOB = Job("rs-price", "x", 0, (), "file:///x", MachineShare("b0"))
"""In the task of which the price is asked."""


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
