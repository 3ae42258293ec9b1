"""launchkit's modes `ec2` and `gcp`: its arguments as an entry of the configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runslot.engines.registry import configured_launchers, launcher_named
from runslot.engines.sky import Sky
from runslot.errors import InvalidInput, nearest

MODES = ("ec2", "gcp")

_GCP_KEYS = (
    "zone",
    "instance_type",
    "image_name",
    "image_project",
    "disk_size",
    "preemptible",
    "terminate",
    "gpu_kwargs",
)
"""Of `gcp_kwargs`; `terminate` is always so."""


def rented_machines(
    mode: str,
    runs: int,
    region: str,
    instance_type: str | None,
    spot_price: float | None,
    gcp_kwargs: Mapping[str, Any] | None,
    num_exps_per_instance: int,
    sync_interval: float,
) -> Sky:
    """Return the launcher: the entry of the mode's name, if there is one, with what the call gives.

    So many machines as are needed for `num_exps_per_instance` runs on each. A `spot_price` asks for machines that the
    cloud may take back, for at most so many dollars an hour.
    """
    _check_numbers(num_exps_per_instance=num_exps_per_instance, sync_interval=sync_interval, spot_price=spot_price)
    if not isinstance(num_exps_per_instance, int) or num_exps_per_instance < 1:
        raise InvalidInput(f"num_exps_per_instance is {num_exps_per_instance!r}, but must be a whole number from 1")
    if not isinstance(region, str):
        raise InvalidInput(f"region is {region!r}, but must be the name of one, as 'us-east-1'")
    entries = configured_launchers()
    entry = launcher_named(mode)
    if not isinstance(entry, Sky):
        raise InvalidInput(f"launchers.{mode} in {entries[mode][0]} has another kind than {mode!r}")
    fields: dict[str, Any] = {"machines": -(-runs // num_exps_per_instance), "sync_interval": float(sync_interval)}
    if instance_type is not None:
        fields["instance_type"] = instance_type
    if mode == "ec2":
        if entry.region is None and "/" not in entry.infra:
            fields["region"] = region
        if spot_price is not None:
            fields |= {"spot": True, "max_price": float(spot_price)}
    else:
        fields |= _of_gcp(gcp_kwargs or {})
    return replace(entry, **fields)


def _check_numbers(**numbers: object) -> None:
    for name, value in numbers.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (number and 0 < float(str(value)) < math.inf):
            raise InvalidInput(f"{name} is {value!r}, but must be a number above 0")


def _of_gcp(gcp_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key in gcp_kwargs:
        if key not in _GCP_KEYS:
            raise InvalidInput(f"gcp_kwargs has no {key!r}{nearest(key, _GCP_KEYS)}; known: {', '.join(_GCP_KEYS)}")
    if gcp_kwargs.get("zone"):
        zone = str(gcp_kwargs["zone"])
        fields["infra"] = f"gcp/{zone.rpartition('-')[0]}/{zone}"
    if gcp_kwargs.get("instance_type"):
        fields["instance_type"] = str(gcp_kwargs["instance_type"])
    if gcp_kwargs.get("image_name"):
        project = gcp_kwargs.get("image_project")
        image = gcp_kwargs["image_name"]
        fields["image"] = f"projects/{project}/global/images/{image}" if project else str(image)
    if gcp_kwargs.get("disk_size"):
        fields["disk"] = int(gcp_kwargs["disk_size"])
    if gcp_kwargs.get("preemptible"):
        fields["spot"] = True
    gpu = gcp_kwargs.get("gpu_kwargs") or {}
    if gpu:
        # Compute Engine's name, as nvidia-tesla-t4, is SkyPilot's T4.
        model = str(gpu.get("gpu_model", "")).rpartition("-")[2].upper()
        fields["accelerators"] = f"{model}:{gpu.get('num_gpu', 1)}"
    return fields
