"""launchkit's modes: what each of them is here, with the table `[launchkit]` of the configuration,
its `conf.py`.

`calls` asks for the container and the launcher of a call; an unknown mode is refused, nothing runs
in its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from runslot.engines.protocol import LauncherConfig
from runslot.engines.registry import configured_launchers, launcher_named
from runslot.engines.sky import Sky
from runslot.engines.slurm.config import Slurm
from runslot.engines.ssh import SSH
from runslot.errors import InvalidInput, nearest
from runslot.experiment.records import Container
from runslot.experiment.settings import configuration_files, read_configuration
from runslot.record import record

LOCAL = "local"
HERE = "here_no_doodad"
LOCAL_DOCKER = "local_docker"
LOCAL_SINGULARITY = "local_singularity"

SSH_MODE = "ssh"

SLURM_SINGULARITY = "slurm_singularity"
SSS = "sss"
_SLURM = (SLURM_SINGULARITY, SSS)
"""As tasks of Slurm; in the second one its scripts are written, to be submitted by hand."""

CLOUD_MODES = ("ec2", "gcp")

MODES = (LOCAL, HERE, LOCAL_DOCKER, LOCAL_SINGULARITY, SSH_MODE, *_SLURM, *CLOUD_MODES)


def check_mode(mode: str) -> None:
    """Refuse a mode that does not exist: nothing else is run in its place."""
    if mode in MODES:
        return
    raise InvalidInput(
        f"there is no mode {mode!r}{nearest(str(mode), MODES)}; known: {', '.join(MODES)}"
    )


def container_of(mode: str, use_gpu: bool, mounted: Mapping[str, str] | None) -> Container | None:
    """Return what the runs of a mode execute in, as `[launchkit]` in the configuration says; None:
    in no container.

    `mounted` has mount points by directory.
    """
    settings = read_settings()
    # On an ssh host launchkit always used docker; without an image the runs execute in the host's
    # own Python.
    if mode not in {LOCAL_DOCKER, LOCAL_SINGULARITY, *_SLURM} and not (
        mode == SSH_MODE and settings.docker_image
    ):
        if mounted:
            raise InvalidInput(
                "local_input_dir_to_mount_point_dict mounts directories into containers, and mode"
                f" {mode!r} has none: leave it out, and let the function read the directory itself,"
                f" or use mode {LOCAL_DOCKER!r}"
            )
        return None
    of_call = [
        f"{Path(path).expanduser().absolute()}:{point}" for path, point in (mounted or {}).items()
    ]
    mounts = (*settings.mounts, *of_call)
    if mode in {LOCAL_SINGULARITY, *_SLURM}:
        return Container(_image(mode, "singularity_image", settings), "apptainer", mounts)
    key = "gpu_docker_image" if use_gpu and settings.gpu_docker_image else "docker_image"
    return Container(_image(mode, key, settings), "docker", mounts)


def _image(mode: str, key: str, settings: Settings) -> str:
    image: str = getattr(settings, key)
    if not image:
        raise InvalidInput(
            f'mode {mode!r} needs an image: write {key} = "…" below [launchkit] in runslot.toml'
        )
    return image


def launcher_of(
    mode: str, ssh_host: str | None, minutes: float | None = None
) -> LauncherConfig | None:
    """Return the launcher of a mode, the configuration's of that name or a host by itself; None:
    this machine.

    `minutes` is the time limit of Slurm's tasks.
    """
    if mode in _SLURM:
        return _slurm(mode == SSS, minutes)
    if mode != SSH_MODE:
        return None
    if ssh_host is not None and ssh_host not in configured_launchers():
        return SSH(ssh_host, (ssh_host,))
    try:
        return launcher_named(ssh_host or SSH_MODE)
    except InvalidInput as error:
        raise InvalidInput(
            f"mode {mode!r} needs a host: give ssh_host, or write [launchers.ssh] with hosts in"
            f" runslot.toml ({error})"
        ) from error


def _slurm(script_only: bool, minutes: float | None) -> LauncherConfig:
    launcher = launcher_named("slurm")
    if not isinstance(launcher, Slurm):
        raise InvalidInput(
            'launchers.slurm in the configuration has another kind: write kind = "slurm"'
            f" ({launcher})"
        )
    time = launcher.time if minutes is None else str(math.ceil(minutes))
    return replace(launcher, time=time, script_only=script_only or launcher.script_only)


@record
class Settings:
    """The keys of the table; each says which setting of `conf.py` it stands for."""

    docker_image: str = ""
    """`DOODAD_DOCKER_IMAGE`."""
    gpu_docker_image: str = ""
    """`GPU_DOODAD_DOCKER_IMAGE`; else the other one."""
    singularity_image: str = ""
    """`SINGULARITY_IMAGE`."""
    mounts: tuple[str, ...] = ()
    """`DIR_AND_MOUNT_POINT_MAPPINGS`: `/here`, or `/here:/there`."""


def read_settings() -> Settings:
    """Return the table of the nearest configuration file that has one; `InvalidInput` names what is
    wrong in it.
    """
    for file in configuration_files():
        table = read_configuration(file).get("launchkit")
        if table is not None:
            return _settings(f"{file}: launchkit", table)
    return Settings()


def _settings(where: str, table: Any) -> Settings:
    if not isinstance(table, dict):
        raise InvalidInput(f"{where} is {table!r}, but it is a table: [launchkit]")
    keys = {field.name: field for field in fields(Settings)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            raise InvalidInput(
                f"{where}: unknown key {key!r}{nearest(key, keys)}; known: {', '.join(keys)}"
            )
        texts = value if keys[key].default == () else [value]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InvalidInput(
                f"{where}.{key} is {value!r}, but it is"
                f" {'a list of texts' if texts is value else 'text'}"
            )
        values[key] = tuple(texts) if keys[key].default == () else value
    return Settings(**values)


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

    So many machines as are needed for `num_exps_per_instance` runs on each. A `spot_price` asks for
    machines that the cloud may take back, for at most so many dollars an hour.
    """
    _check_numbers(
        num_exps_per_instance=num_exps_per_instance,
        sync_interval=sync_interval,
        spot_price=spot_price,
    )
    if not isinstance(num_exps_per_instance, int) or num_exps_per_instance < 1:
        raise InvalidInput(
            f"num_exps_per_instance is {num_exps_per_instance!r}, but must be a whole number from 1"
        )
    if not isinstance(region, str):
        raise InvalidInput(f"region is {region!r}, but must be the name of one, as 'us-east-1'")
    entries = configured_launchers()
    entry = launcher_named(mode)
    if not isinstance(entry, Sky):
        raise InvalidInput(f"launchers.{mode} in {entries[mode][0]} has another kind than {mode!r}")
    fields: dict[str, Any] = {
        "machines": -(-runs // num_exps_per_instance),
        "sync_interval": float(sync_interval),
    }
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
            raise InvalidInput(
                f"gcp_kwargs has no {key!r}{nearest(key, _GCP_KEYS)}; known: {', '.join(_GCP_KEYS)}"
            )
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
