"""How much of a machine's kind an account may rent, as AWS and Google count it. Read in the
driver's process.

Nothing here refuses: a quota that cannot be read says why, and what is short is for the reader to
judge.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from runslot.engines.sky.driver.managed_jobs import first_line, launchable, sdk, vcpus
from runslot.record import record


@record
class Quota:
    """One limit of the account, and what a machine takes of it."""

    name: str = ""
    """In the cloud's words, as `Running On-Demand G and VT instances`."""
    code: str = ""
    """What it is asked for by, as `L-DB2E81BA` or `NVIDIA_T4_GPUS`."""
    region: str = ""
    """Empty: of all regions together."""
    unit: str = ""
    """`vCPUs` or `GPUs`."""
    limit: float | None = None
    """None: not known."""
    one: float = 0.0
    """What one machine takes."""
    used: float = 0.0
    """What is taken already, where the cloud says so."""
    said: str = ""
    """Why the limit is not known."""


def quotas(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the quotas that count for a task's machine, in each region where SkyPilot would look
    for it.
    """
    try:
        _, machine = launchable(sdk().Task.from_yaml_config(dict(task)).resources)[0]
        counted = _CLOUDS[str(machine.cloud).lower()](machine)
    except Exception as error:  # noqa: BLE001  whatever it is, the quota is not known, and that is no failure
        counted = [Quota(said=_plain(error))]
    return [dataclasses.asdict(quota) for quota in counted]


def _regions(machine: Any) -> list[str]:
    return [str(region.name) for region in machine.get_valid_regions_for_launchable()]


# ---- AWS: Service Quotas, in vCPUs ---------------------------------------------------------------

_STANDARD = ("L-1216C47A", "L-34B43A08")
_FAMILIES = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), _STANDARD),
    **dict.fromkeys(("g", "vt"), ("L-DB2E81BA", "L-3819A6DF")),
    "p": ("L-417A185B", "L-7212CCBC"),
}
"""By the letters before a type's number: the codes for on-demand and for spot machines."""


def _of_aws(machine: Any) -> list[Quota]:
    from sky.clouds.utils import aws_utils

    if aws_utils.use_reservations():
        return [Quota(said="SkyPilot is configured to use reservations, which no quota limits")]
    code = _aws_code(machine.instance_type, machine.use_spot)
    if code is None:
        return [Quota(said=f"which quota counts {machine.instance_type} is not known")]
    count = vcpus(machine)
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda region: _ask_aws(code, region, count), _regions(machine)))


def _aws_code(instance_type: str, spot: bool) -> str | None:
    from sky.catalog import aws_catalog

    # SkyPilot lists those with GPUs, and judges by its list.
    code = aws_catalog.get_quota_code(instance_type, spot)
    if isinstance(code, str) and code:
        return code
    codes = _FAMILIES.get(re.split(r"\d", instance_type, maxsplit=1)[0])
    return codes[spot] if codes else None


def _ask_aws(code: str, region: str, count: float) -> Quota:
    from sky.adaptors import aws

    quota = Quota(code=code, region=region, unit="vCPUs", one=count)
    try:
        client = aws.client(
            "service-quotas",
            region_name=region,
            connect_timeout=5,
            read_timeout=10,
            total_max_attempts=2,
        )
        answer = client.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
    except Exception as error:  # noqa: BLE001
        return dataclasses.replace(quota, name=code, said=_plain(error))
    return dataclasses.replace(quota, name=str(answer["QuotaName"]), limit=float(answer["Value"]))


# ---- Google: the project's and its regions' quotas, of Compute Engine ----------------------------

_GOOGLE = {
    "COMPUTE": "https://compute.googleapis.com/compute/v1",
    "IAM": "https://iam.googleapis.com",
    "CLOUDRESOURCEMANAGER": "https://cloudresourcemanager.googleapis.com",
}
_SHARED_CPUS = frozenset({"e2", "f1", "g1", "n1"})
"""Families of machines that are counted together, as `CPUS`."""


def _of_gcp(machine: Any) -> list[Quota]:
    place = f"projects/{machine.cloud.get_project_id()}"
    everywhere = google("COMPUTE", f"{place}?fields=quotas")["quotas"]
    by_region = google("COMPUTE", f"{place}/regions?fields=items(name,quotas)")["items"]
    regions = {entry["name"]: entry.get("quotas", []) for entry in by_region}
    counted = _counted(machine, "", everywhere)
    for region in _regions(machine):
        here = _counted(machine, region, regions.get(region, ()))
        counted += here or [
            Quota(region=region, said=f"Google lists none for {machine.instance_type} in {region}")
        ]
    return counted


def google(api: str, path: str, body: Any = None, refusals: Collection[int] = ()) -> Any:
    """Return what an API of Google's answers, named as gcloud names it; its status where that is
    one of the `refusals`.
    """
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    scope = "https://www.googleapis.com/auth/cloud-platform"
    credentials, _ = google.auth.default(scopes=[scope])
    # As gcloud does, for a private endpoint.
    base = os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}", _GOOGLE[api]).rstrip("/")
    method = "GET" if body is None else "POST"
    with AuthorizedSession(credentials) as session:
        answer = session.request(method, f"{base}/{path}", json=body, timeout=15)
    if answer.status_code in refusals:
        return answer.status_code
    if not answer.ok:
        raise RuntimeError(answer.json()["error"]["message"])
    return answer.json()


def _counted(machine: Any, region: str, entries: Sequence[Mapping[str, Any]]) -> list[Quota]:
    by_metric = {entry["metric"]: entry for entry in entries}
    counted = []
    for metric, amount, unit in _metrics(machine, by_metric):
        if metric in by_metric:
            limit, used = (float(by_metric[metric].get(key, 0)) for key in ("limit", "usage"))
            counted.append(Quota(metric, metric, region, unit, limit, amount, used))
    return counted


def _metrics(
    machine: Any, by_metric: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, float, str]]:
    """Return by which metrics a machine is counted, with what it takes."""
    from sky.catalog import gcp_catalog

    family = machine.instance_type.partition("-")[0]
    cpus = "CPUS" if family in _SHARED_CPUS else f"{family.upper()}_CPUS"
    if machine.use_spot and float(by_metric.get("PREEMPTIBLE_CPUS", {}).get("limit", 0)):
        cpus = "PREEMPTIBLE_CPUS"  # it counts only where it was asked for
    metrics = [(cpus, vcpus(machine), "vCPUs")]
    for name, count in (machine.accelerators or {}).items():
        code = gcp_catalog.get_quota_code(name, machine.use_spot)
        if not isinstance(code, str):
            gpu = name.replace("-", "_").upper()
            code = f"{'PREEMPTIBLE_' * machine.use_spot}NVIDIA_{gpu}_GPUS"
        metrics.append((code, float(count), "GPUs"))
        if not machine.use_spot:
            metrics.append(("GPUS_ALL_REGIONS", float(count), "GPUs"))
    return metrics


def _plain(error: BaseException) -> str:
    if aws_code(error) == "AccessDeniedException":
        return "these credentials may not read it: it takes the right servicequotas:GetServiceQuota"
    return f"{type(error).__name__}: {first_line(error)}".removesuffix(f": {type(error).__name__}")


def aws_code(error: BaseException) -> str:
    """Return AWS's name for a refusal; nothing where it is none of AWS."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


_CLOUDS: Mapping[str, Callable[[Any], list[Quota]]] = {"aws": _of_aws, "gcp": _of_gcp}
