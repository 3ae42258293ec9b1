"""SkyPilot's managed jobs: a controller of its own rents lost machines anew, also while nobody
looks from here.

In the driver's process. A job has the name of our machine; the machines that it rents have
SkyPilot's names.

SkyPilot's module, and how it is said what it refuses. Loaded in the driver's process alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

PREFIX = "rs-"
"""Names of the machines that runslot rents begin with it."""
_STARTING = {"PENDING", "SUBMITTED", "STARTING", "RECOVERING"}
_WORKING = {"RUNNING", "WINDING_DOWN", "CANCELLING"}
_LOOK = 3.0
_PATIENCE = 900.0
"""Seconds in which the controller is to have given a cancelled job's machine back."""


def sights(sky: Any, machines: Mapping[str, bool] | None) -> list[dict[str, Any]]:
    """Return how the newest jobs of these names stand, in the words of `driver.look`; without names
    those of runslot's that may have a machine. Their price is not known here.
    """
    if machines is not None and not any(machines.values()):
        return []
    newest: dict[str, Any] = {}
    for job in sorted(_jobs(sky, None), key=lambda job: job.job_id):
        newest[str(job.job_name)] = job
    if machines is None:
        return [
            _sight(name, job)
            for name, job in newest.items()
            if name.startswith(PREFIX) and _has_machine(job)
        ]
    return [_sight(name, job) for name, job in newest.items() if machines.get(name)]


def _sight(name: str, job: Any) -> dict[str, Any]:
    status = _status(job)
    state = "starting" if status in _STARTING else "up" if status in _WORKING else "ended"
    return {
        "name": name,
        "managed": True,
        "state": state,
        "status": status,
        "job": {"starting": "INIT", "up": "RUNNING"}.get(state, status),
        "said": " ".join((job.failure_reason or "").split()),
        "recoveries": job.recovery_count or 0,
        "infra": (job.cloud or "").lower(),
        "since": job.submitted_at or 0.0,
    }


def log(sky: Any, name: str, stream: TextIO) -> None:
    """Write the last lines that a job printed."""
    newest = max((job.job_id for job in _jobs(sky, name)), default=None)
    if newest is not None:
        sky.jobs.tail_logs(job_id=newest, follow=False, tail=200, output_stream=stream)


def give_back(sky: Any, name: str) -> None:
    """Cancel a job and return when its machine is given back."""
    until = time.monotonic() + _PATIENCE
    is_cancelled = False
    while True:
        jobs = [job for job in _jobs(sky, name) if _has_machine(job)]
        if not jobs:
            return
        working = [job.job_id for job in jobs if _status(job) in _STARTING | _WORKING]
        if working and not is_cancelled:
            sky.get(sky.jobs.cancel(job_ids=working))
            is_cancelled = True
        elif time.monotonic() > until:
            raise TimeoutError(f"the controller has not ended the job {name} in {_PATIENCE:.0f} s")
        time.sleep(_LOOK)


def controller(task: Any) -> Iterable[Any]:
    """Return the resources of the machine that SkyPilot would rent for the controller; none where
    it is no machine.
    """
    from sky.server import common
    from sky.utils import controller_utils

    if not common.is_api_server_local() or controller_utils.is_jobs_consolidation_mode():
        return ()  # a part of the API server
    resources: Iterable[Any] = controller_utils.get_controller_resources(
        controller_utils.Controllers.JOBS_CONTROLLER, task.resources
    )
    return resources


def _jobs(sky: Any, name: str | None) -> list[Any]:
    """Return the jobs of a name, or all; none where there is no controller, as it stops only when
    it has none.
    """
    try:
        answer = sky.get(sky.jobs.queue_v2(refresh=False, name_match=name, fields=None))
    except Exception as error:
        if type(error).__name__ == "ClusterNotUpError":
            return []
        raise
    records = answer[0] if isinstance(answer, tuple) else answer
    return [job for job in records if name in {None, job.job_name}]


def _status(job: Any) -> str:
    return str(job.status.value)


def _has_machine(job: Any) -> bool:
    """Tell whether a job may have a machine: its status says that it has ended before that is given
    back, the state of its controller only then. Jobs of old records have no such state.
    """
    return _status(job) in _STARTING | _WORKING or job.schedule_state not in {None, "DONE"}


# ---- the SDK -------------------------------------------------------------------------------------


class Refused(Exception):
    """What was asked is not had; `kind` is `invalid`, `missing` (no SDK) or `later` (trying again
    can help).
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def sdk() -> Any:
    """Return SkyPilot's module."""
    os.environ.setdefault("SKYPILOT_DISABLE_USAGE_COLLECTION", "1")
    try:
        import sky
    except ImportError as error:
        raise Refused("missing", f"{sys.executable} has no SkyPilot ({error})") from error
    return sky


def launchable(choices: Iterable[Any]) -> list[tuple[float, Any]]:
    """Return the machines of the catalog that fit one of these resources, each with its price an
    hour, cheapest first.
    """
    machines = []
    for resources in choices:
        if resources.cloud:
            feasible = resources.cloud.get_feasible_launchable_resources(resources, 1)
            for machine in feasible.resources_list:
                with contextlib.suppress(Exception):
                    machines.append((float(machine.get_cost(3600)), machine))
    # A price that the catalog does not know is no number, and less than none.
    return sorted((m for m in machines if m[0] >= 0), key=lambda machine: machine[0])


def vcpus(machine: Any) -> float:
    """Return how many a machine has; 0 where the catalog does not say."""
    return float(machine.cloud.get_vcpus_mem_from_instance_type(machine.instance_type)[0] or 0)


def first_line(error: BaseException) -> str:
    """Return what an error of SkyPilot's says, in a line, with the reasons of the places that it
    tried.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    reasons = {
        str(failure).strip().splitlines()[0]
        for failure in getattr(error, "failover_history", None) or ()
        if str(failure).strip()
    }
    return f"{text} ({'; '.join(sorted(reasons))})" if reasons else text
