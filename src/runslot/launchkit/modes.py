"""launchkit's modes: which of them this version has, and what is said of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from runslot.engines.protocol import LauncherConfig
from runslot.engines.registry import configured_launchers, launcher_named
from runslot.engines.slurm.config import Slurm
from runslot.engines.ssh import SSH
from runslot.errors import InvalidInput, nearest
from runslot.experiment.records import Container
from runslot.launchkit.cloud import MODES as RENTED
from runslot.launchkit.settings import Settings, read_settings

LOCAL = "local"
HERE = "here_no_doodad"
LOCAL_DOCKER = "local_docker"
LOCAL_SINGULARITY = "local_singularity"

SSH_MODE = "ssh"

SLURM_SINGULARITY = "slurm_singularity"
SSS = "sss"
_SLURM = (SLURM_SINGULARITY, SSS)
"""As tasks of Slurm; in the second one its scripts are written, to be submitted by hand."""

MODES = (LOCAL, HERE, LOCAL_DOCKER, LOCAL_SINGULARITY, SSH_MODE, *_SLURM, *RENTED)


def check_mode(mode: str) -> None:
    """Refuse a mode that does not exist: nothing else is run in its place."""
    if mode in MODES:
        return
    raise InvalidInput(f"there is no mode {mode!r}{nearest(str(mode), MODES)}; known: {', '.join(MODES)}")


def container_of(mode: str, use_gpu: bool, mounted: Mapping[str, str] | None) -> Container | None:
    """Return what the runs of a mode execute in, as `[launchkit]` in the configuration says; None: in no container.

    `mounted` has mount points by directory.
    """
    settings = read_settings()
    # On an ssh host launchkit always used docker; without an image the runs execute in the host's own Python.
    if mode not in {LOCAL_DOCKER, LOCAL_SINGULARITY, *_SLURM} and not (mode == SSH_MODE and settings.docker_image):
        if mounted:
            raise InvalidInput(
                f"local_input_dir_to_mount_point_dict mounts directories into containers, and mode {mode!r} has none: "
                f"leave it out, and let the function read the directory itself, or use mode {LOCAL_DOCKER!r}"
            )
        return None
    of_call = [f"{Path(path).expanduser().absolute()}:{point}" for path, point in (mounted or {}).items()]
    mounts = (*settings.mounts, *of_call)
    if mode in {LOCAL_SINGULARITY, *_SLURM}:
        return Container(_image(mode, "singularity_image", settings), "apptainer", mounts)
    key = "gpu_docker_image" if use_gpu and settings.gpu_docker_image else "docker_image"
    return Container(_image(mode, key, settings), "docker", mounts)


def _image(mode: str, key: str, settings: Settings) -> str:
    image: str = getattr(settings, key)
    if not image:
        raise InvalidInput(f'mode {mode!r} needs an image: write {key} = "…" below [launchkit] in runslot.toml')
    return image


def launcher_of(mode: str, ssh_host: str | None, minutes: float | None = None) -> LauncherConfig | None:
    """Return the launcher of a mode, the configuration's of that name or a host by itself; None: this machine.

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
            f"mode {mode!r} needs a host: give ssh_host, or write [launchers.ssh] with hosts in runslot.toml ({error})"
        ) from error


def _slurm(script_only: bool, minutes: float | None) -> LauncherConfig:
    launcher = launcher_named("slurm")
    if not isinstance(launcher, Slurm):
        raise InvalidInput(f'launchers.slurm in the configuration has another kind: write kind = "slurm" ({launcher})')
    time = launcher.time if minutes is None else str(math.ceil(minutes))
    return replace(launcher, time=time, script_only=script_only or launcher.script_only)
