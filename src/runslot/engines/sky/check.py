"""What is tried before machines are rented: credentials, the machine, the account's quotas and what
to ask for where they are too small, the bucket, the code that travels.
"""

from __future__ import annotations

import importlib.util
import sysconfig
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Finding
from runslot.engines.sky.client import Offer, SkyPilot
from runslot.engines.sky.driver.quota import Quota
from runslot.engines.sky.tasks import NO_JOB, task_of
from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.records import Function
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve
from runslot.hardware.topology import Gpu, flat_topology
from runslot.record import record
from runslot.transport.bucket.store import Store, Unreachable, open_store

if TYPE_CHECKING:
    from runslot.engines.sky.config import Sky


_LOGIN = {
    "aws": "run `aws configure` (or `aws sso login`), then `sky check aws`",
    "gcp": (
        "run `gcloud auth application-default login` and `gcloud config set project NAME`, then"
        " `sky check gcp`"
    ),
}


def findings(entry: Sky) -> Iterator[Finding]:
    """Try what an entry needs, one thing after the other; what hangs on something that failed is
    left out.
    """
    sky = SkyPilot(entry.skypilot_python)
    cloud = entry.cloud
    try:
        well, text = sky.credentials(cloud)
    except RunslotError as error:
        yield Finding("SkyPilot", False, "", str(error))
        return
    login = "" if well else _LOGIN.get(cloud, f"run `sky check {cloud}`")
    yield Finding(f"credentials for {cloud}", well, text, login)
    if well:
        yield from _machine(entry, sky)
    yield _bucket(entry)


def _machine(entry: Sky, sky: SkyPilot) -> Iterator[Finding]:
    task = task_of(entry, NO_JOB, ".", {})
    try:
        offer = sky.offer(task)
    except RunslotError as error:
        yield Finding("machine", False, "", str(error))
        return
    yield Finding("machine", True, f"{offer.what or 'any'}, ${offer.price:.3f} an hour")
    if entry.rents_whole:
        yield _identity(sky, entry.cloud)
        room = _room(sky, task, entry.machines, entry.cloud)
        is_enough = room.machines is None or room.machines >= entry.machines
        yield Finding("quota", is_enough, room.said, room.fix)


def _identity(sky: SkyPilot, cloud: str) -> Finding:
    """Look whether machines can have an identity of their own: the laptop's keys stay at home."""
    try:
        well, text = sky.identity(cloud)
    except RunslotError as error:
        well, text = None, f"not known: {error}"
    fix = (
        "have the rights granted, or have somebody who has them rent one machine with SkyPilot; or"
        f" name another identity in ~/.sky/config.yaml ({cloud}: remote_identity: …)"
    )
    is_missing = well is False
    return Finding("identity of the machines", not is_missing, text, fix if is_missing else "")


def check_quota(
    sky: SkyPilot, task: Mapping[str, Any], machines: int, cloud: str, say: Callable[[str], None]
) -> None:
    """Refuse where a public cloud's quotas do not give one machine; say where they give fewer than
    are wanted.

    Fewer are no refusal: those that can be had do their share, more may be granted meanwhile, a
    resume does the rest.
    """
    room = _room(sky, task, machines, cloud)
    if room.machines is None:  # what cannot be read does not hold a launch up
        return
    if room.machines == 0:
        raise InvalidInput(f"the account's quota does not allow it: {room.said}; {room.fix}")
    if room.machines < machines:
        say(
            f"the account's quota is short: {room.said}; `runslot resume` does what is left then;"
            f" {room.fix}"
        )


def _room(sky: SkyPilot, task: Mapping[str, Any], machines: int, cloud: str) -> Room:
    """Return what the quotas of a public cloud leave room for."""
    try:
        return room_for(machines, sky.quotas(task), cloud)
    except RunslotError as error:
        return Room(None, f"not known: {error}")


def _bucket(entry: Sky) -> Finding:
    if not entry.bucket:
        return Finding("bucket", False, "", 'add bucket = "s3://NAME/runs" (or gs://) to the entry')
    try:
        check_bucket(open_store(entry.bucket))
    except RunslotError as error:
        return Finding(f"bucket {entry.bucket}", False, "", str(error))
    return Finding(f"bucket {entry.bucket}", True, "written to, read from, and cleaned")


def check_bucket(store: Store, patience: float = 45.0) -> None:
    """Write, read and delete a small object; the bucket's own refusal where that cannot be done.

    A push may wait for minutes until a bucket answers again; who asks whether it works hears it
    within `patience`.
    """
    problems: list[BaseException | None] = []
    thread = threading.Thread(target=lambda: problems.append(_tried(store)), daemon=True)
    thread.start()
    thread.join(patience)
    if not problems:
        raise Unreachable(
            f"{store.url} has not answered within {patience:.0f} s: is this machine online, does a"
            " firewall or a proxy stand between, and is the region right?"
        )
    if problems[0] is not None:
        raise problems[0]


def _tried(store: Store) -> BaseException | None:
    name = f"check/{uuid.uuid4().hex}"
    try:
        store.put(name, b"runslot")
        store.get(name)
        store.delete([name])
    except Exception as error:  # noqa: BLE001  it is raised where it is waited for
        return error
    return None


def refuse_left_behind(experiment: OpenExperiment) -> None:
    """Refuse a function whose module would not be on the machine: it lies neither in the code nor
    in a package.
    """
    work = experiment.file.work
    code = experiment.file.code
    if code is None:
        raise InvalidInput(
            f"{experiment.directory.path} has no copy of the code, so it cannot go to another"
            " machine"
        )
    module = work.module if isinstance(work, Function) else None
    if not module:
        return
    top = module.partition(".")[0]
    copy = experiment.directory.path.resolve() / code.copy
    roots = [
        copy,
        *(Path(entry) for entry in experiment.file.path if Path(entry).is_relative_to(copy)),
    ]
    if any((root / top).is_dir() or (root / f"{top}.py").is_file() for root in roots):
        return
    spec = importlib.util.find_spec(top)
    origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
    packages = [
        Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")
    ]
    if origin is not None and any(origin.is_relative_to(place) for place in packages):
        return  # an installed package: the user's setup lines, or image, have it
    raise InvalidInput(
        f"the function's module {module!r} lies in {origin.parent if origin else 'no file'}, which"
        f" does not travel: the code that goes to the machine is {code.tree}. Move it there, or"
        " install it with a line of setup"
    )


# ---- quotas --------------------------------------------------------------------------------------


@record
class Room:
    """What quotas leave room for."""

    machines: int | None
    """How many of those that are wanted, in the region with most room; None: not known."""
    said: str
    fix: str = ""
    """What to ask for, where it is too few."""


def room_for(machines: int, quotas: Sequence[Quota], cloud: str) -> Room:
    """Judge quotas by their limits: what others have rented at this moment may be gone before the
    machines come up.
    """
    known = [quota for quota in quotas if quota.limit is not None]
    everywhere = [quota for quota in known if not quota.region]
    regions = dict.fromkeys(quota.region for quota in quotas if quota.region)
    tightest = [
        min([*here, *everywhere], key=_machines)
        for region in regions
        if (here := [quota for quota in known if quota.region == region])
    ]
    best = max(tightest, key=_machines, default=None)
    unknown = next((quota for quota in quotas if quota.limit is None), None)
    if best is None or (_machines(best) < machines and unknown is not None):
        return Room(
            None, f"not known: {unknown.said}" if unknown else "not known: the cloud names none"
        )
    count = min(_machines(best), machines)
    used = f" ({best.used:g} of them in use)" if best.used else ""
    where = f" in {best.region}" if best.region else ""
    takes = f"take {best.one:g} each" if machines > 1 else f"takes {best.one:g}"
    text = (
        f"{best.limit:g} {best.unit}{used} of {best.name!r}{where}, {machines}"
        f" machine{'s' * (machines > 1)} {takes}"
    )
    if len(regions) > 1:
        text = f"the most of {len(regions)} regions is {text}"
    if count == machines:
        return Room(count, text)
    rest = f"enough for {count} of them" if count else "too few for one"
    return Room(count, f"{text}: {rest}", _fix(best, machines, cloud))


def _machines(quota: Quota) -> int:
    return int((quota.limit or 0) // quota.one) if quota.one else 0


def _fix(quota: Quota, machines: int, cloud: str) -> str:
    need = f"{quota.one * machines:g}"
    if cloud == "aws":
        return (
            f"ask for {need}, which may take a day: aws service-quotas"
            f" request-service-quota-increase --region {quota.region} --service-code ec2"
            f" --quota-code {quota.code} --desired-value {need}; or in the console: Service Quotas,"
            f" Amazon EC2, {quota.name}"
        )
    where = f", region {quota.region}" if quota.region else ""
    return (
        f"ask for {need}, which may take a day: in the console, IAM & Admin, Quotas & System"
        f" Limits, metric {quota.name}{where} (https://console.cloud.google.com/iam-admin/quotas)"
    )


# ---- capacity ------------------------------------------------------------------------------------


def at_once(offer: Offer, resources: Resources, runs: int) -> int:
    """Return how many of these runs a machine has slots for; `InvalidInput` where it has room for
    none.

    Clouds count hardware threads: two are taken for a core, unless the runs only fit where each is
    one.
    """
    if not offer.vcpus:
        return 1
    gpus = tuple(Gpu(number, str(number)) for number in range(offer.gpus))
    problem: InvalidInput | None = None
    for cores in (int(offer.vcpus) // 2, int(offer.vcpus)):
        machine = replace(flat_topology("", tuple(range(max(1, cores)))), gpus=gpus)
        try:
            return max(1, len(carve(machine, resources, runs)))
        except InvalidInput as error:
            problem = error
    raise InvalidInput(f"{offer.what} has no room for a run: {problem}") from problem
