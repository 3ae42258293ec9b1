"""The entries `sky`, `ec2` and `gcp` of the configuration: what to rent, what it may cost, where
results arrive.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runslot.engines.events import Observer, Said
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Engine, Facts, Finding, LauncherConfig
from runslot.engines.sky import cost as money
from runslot.engines.sky.check import (
    at_once,
    check_bucket,
    check_quota,
    findings,
    refuse_left_behind,
)
from runslot.engines.sky.client import SkyPilot
from runslot.engines.sky.launcher import SkyLauncher
from runslot.engines.sky.rental import Record, bring, read_record, without_machines
from runslot.engines.sky.tasks import (
    DISK_GB,
    NO_JOB,
    PUBLIC_CLOUDS,
    digest_of,
    labels_of,
    task_of,
)
from runslot.errors import Busy, InvalidInput, RunslotError
from runslot.experiment.processes import identify
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import ExperimentStatus, read_status
from runslot.transport.bucket.store import Store, check_url, open_store

_WORDS = ("region", "instance_type", "accelerators", "cpus", "memory", "image", "skypilot_python")
_ABOVE_ZERO = (
    "machines", "sync_interval", "max_hours", "max_cost", "max_price", "hours_per_run",
    "look_interval", "disk",
)  # fmt: skip


@dataclass(frozen=True)
class Sky(LauncherConfig):
    """Machines of any place that SkyPilot knows: `infra` is `aws`, `gcp/us-central1`, `kubernetes`,
    `slurm/NAME`, …
    """

    name: str = "sky"
    """For messages; in `runslot.toml` the name of the table."""
    infra: str = ""
    """SkyPilot's word for the place."""
    bucket: str = ""
    """Where results arrive: `s3://BUCKET/…`, `gs://BUCKET/…`."""
    region: str | None = None
    """The cloud's; None: the cheapest."""
    instance_type: str | None = None
    """The cloud's own name; None: the cheapest that has what the runs ask for."""
    accelerators: str | None = None
    """As `T4:1`; SkyPilot chooses the machine."""
    cpus: str | None = None
    """As `4` or `4+`."""
    memory: str | None = None
    """GB, as `16` or `16+`."""
    spot: bool = False
    """Take machines that the cloud may take back, at a third of the price."""
    max_price: float | None = None
    """Dollars an hour that a machine may cost."""
    machines: int = 1
    """How many; each takes the next runs as it has room for them."""
    disk: int | None = None
    """GB; 64 on EC2 and Compute Engine where it is not given."""
    image: str | None = None
    """`docker:NAME`, or the cloud's own name of an image."""
    setup: tuple[str, ...] = ()
    """Shell lines that make the user's environment, as `pip install torch`."""
    python: str = "python3"
    """The interpreter of the runs on the machine, 3.10 or newer."""
    sync_interval: float = 180.0
    """Seconds between two pushes to the bucket."""
    max_hours: float = 24.0
    """How long a machine may live."""
    max_cost: float | None = None
    """Dollars that all machines of an experiment may cost together."""
    hours_per_run: float | None = None
    """What a run takes, for the expected cost; else the runs' time limit."""
    idle_minutes: int = 5
    """After so many minutes without work a machine gives itself back."""
    recoveries: int | None = None
    """Without a meaning by now: managed jobs replace lost machines while time and money last."""
    managed: bool | None = None
    """SkyPilot's managed jobs rent lost machines anew, also while nobody looks from here; None:
    where their controller costs nothing.
    """
    look_interval: float = 30.0
    """Seconds between looks at a machine."""
    skypilot_python: str | None = None
    """An interpreter that has SkyPilot, where this one has not."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of SkyPilot's `resources`, as they are."""

    shares_machine = False
    limits = ("max_cost", "max_hours")

    def __post_init__(self) -> None:
        if not self.place:
            raise InvalidInput(
                'infra is missing: write infra = "aws/us-east-1", "kubernetes", "slurm/NAME", …'
            )
        if self.region and "/" in self.infra and self.region not in self.infra.split("/"):
            raise InvalidInput(
                f"region is {self.region!r}, but infra says {self.infra!r}: leave one of them out"
            )
        if self.bucket:
            check_url(self.bucket)
        for key in ("python", *_WORDS):
            if getattr(self, key) == "":
                raise InvalidInput(f"{key} is empty: give it a value, or leave it out")
        for key in _ABOVE_ZERO:
            value = getattr(self, key)
            if value is not None and not 0 < value < math.inf:
                raise InvalidInput(f"{key} is {value}, but must be a number above 0")
        if self.idle_minutes < 0:
            raise InvalidInput(f"idle_minutes is {self.idle_minutes}, but must be 0 or more")

    @property
    def place(self) -> str:
        """SkyPilot's `infra`, the region included."""
        infra = self.infra
        return f"{infra}/{self.region}" if self.region and "/" not in infra else infra

    @property
    def moves(self) -> bool:
        """The experiment travels, with a copy of the code."""
        return True

    @property
    def cloud(self) -> str:
        """The first word of the place."""
        return self.infra.partition("/")[0].lower()

    @property
    def rents_whole(self) -> bool:
        """Whether a machine is ours alone, as one of EC2 is, and a node of a cluster is not."""
        return self.cloud in PUBLIC_CLOUDS

    @property
    def disk_gb(self) -> int | None:
        """Size of its disk; None where the place decides."""
        return self.disk or (DISK_GB if self.rents_whole else None)

    @property
    def in_container(self) -> bool:
        """Whether the task sees a container of the machine, which cannot switch its host off."""
        return (self.image or "").startswith("docker:")

    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Check all that can be checked before money is spent, say what it costs, ask, and return
        the engine.
        """

        def say(text: str) -> None:
            observer(Said(text))

        directory = experiment.directory
        record = read_record(directory)
        store = self._store(experiment, record)
        refuse_left_behind(experiment)
        record = record or Record(store.url)
        sky = SkyPilot(self.skypilot_python, directory.path / "cloud" / "skypilot.log")
        runs = runs if experiment.starting is None else experiment.starting
        budget = None  # machines that work already are looked after
        if runs:
            check_bucket(store)
            task = task_of(self, NO_JOB, ".", labels_of(experiment.file.name))
            budget = self._budget(experiment, runs, record, sky, task)
            money.check(budget)
            if self.rents_whole:
                check_quota(sky, task, budget.machines, self.cloud, say)
            for line in money.table(budget):
                say(line)
            money.agree_to_rent()
            if self.recoveries is not None:
                say("recoveries has no meaning any more: managed = true replaces machines")
        launcher = SkyLauncher(experiment, self, budget, sky, store, record, observer)
        slots_text = (
            f"machines on {self.place}"
            if budget is None
            else f"{budget.machines} × {budget.offer.what} on {self.place}"
        )
        return Engine(launcher, slots_text)

    def _store(self, experiment: OpenExperiment, record: Record | None) -> Store:
        if record is not None:
            return open_store(record.store)
        if not self.bucket:
            raise InvalidInput(
                f"launchers.{self.name} needs the key bucket, where results arrive: bucket ="
                ' "s3://NAME/runs" (or gs://)'
            )
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", experiment.directory.path.parent.name)[:60]
        digest = digest_of(experiment.directory, experiment.file)
        return open_store(f"{self.bucket.rstrip('/')}/{plain}-{digest[:12]}")

    def _budget(
        self,
        experiment: OpenExperiment,
        runs: int,
        record: Record,
        sky: SkyPilot,
        task: Mapping[str, Any],
    ) -> money.Budget:
        well, reason = sky.credentials(self.cloud)
        if not well:
            raise InvalidInput(
                f"SkyPilot cannot use {self.cloud}: {reason}; `runslot launchers check {self.name}`"
                " says more"
            )
        offer = sky.offer(task, self.managed is not False)
        machines = min(self.machines, runs)
        hours = self.hours_per_run or (experiment.policy.timeout or 0) / 3600 or None
        share = -(-runs // machines)
        rounds = -(-share // at_once(offer, experiment.file.resources, share))
        return money.Budget(
            self,
            offer,
            machines,
            runs,
            spent=record.committed(time.time()),
            expected=None if hours is None else hours * rounds,
        )

    def check(self) -> Iterator[Finding]:
        """Try credentials, the machine in the catalog, the quota, and the bucket."""
        return findings(self)

    def give_back(self, experiment: OpenExperiment, observer: Observer) -> None:
        """Give back what is still rented for an experiment that has nothing further to do."""
        record = read_record(experiment.directory)
        if record is not None and record.alive:
            self.open(experiment, 0, observer).launcher.close()

    def facts(self, experiment: ExperimentDir, path_text: str) -> Facts | None:
        """Return what the machines have cost so far; None where none were rented."""
        record = read_record(experiment)
        if record is None:
            return None
        spent = record.spent(time.time())
        if not record.machines:
            return Facts(values={"spent": spent})
        going = "no machine is rented"
        if alive := record.alive:
            going = (
                f"${sum(machine.price for machine in alive):.3f} an hour on"
                f" {len(alive)} machine{'s' * (len(alive) != 1)}, which runslot cloud down"
                f" {path_text} gives back at once"
            )
        line = f"spent: ${spent:.2f} by the catalog's prices, {going}"
        return Facts(line, {"spent": spent})

    def refresh(self, status: ExperimentStatus) -> ExperimentStatus:
        """Return the status after what has arrived is brought home, where no launch at work does
        that.
        """
        record = read_record(status.directory)
        # This process may be the launch that is just to decide what is missing.
        if status.launcher not in {None, identify()} or _settled(status):
            return status
        if record is None:
            return without_machines(status, None)
        try:
            brought = bring(status.directory, record)
        except Busy:  # another process brings it
            return status
        except RunslotError as error:
            return replace(
                status,
                waits=(*status.waits, f"what has arrived in {record.store} is not here: {error}"),
            )
        return without_machines(read_status(status.directory) if brought.files else status, record)


def _settled(status: ExperimentStatus) -> bool:
    """Tell whether nothing can have arrived that changes how runs stand: one that was given up for
    lost may be done.
    """
    return all(run.state in {"succeeded", "failed", "timed_out"} for run in status.runs)


@dataclass(frozen=True)
class EC2(Sky):
    """Machines of Amazon EC2."""

    name: str = "ec2"
    """For messages; in `runslot.toml` the name of the table."""
    infra: str = "aws"
    """SkyPilot's word for the place."""


@dataclass(frozen=True)
class GCP(Sky):
    """Machines of Google Cloud."""

    name: str = "gcp"
    """For messages; in `runslot.toml` the name of the table."""
    infra: str = "gcp"
    """SkyPilot's word for the place."""
