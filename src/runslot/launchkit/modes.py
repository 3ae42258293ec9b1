"""launchkit's modes: which of them this version has, and what is said of the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runslot.errors import InvalidInput, nearest
from runslot.experiment.records import Container
from runslot.launchkit.settings import Settings, read_settings

LOCAL = "local"
HERE = "here_no_doodad"
LOCAL_DOCKER = "local_docker"
LOCAL_SINGULARITY = "local_singularity"

_ELSEWHERE = {
    "ssh": "in a container on another host",
    "slurm_singularity": "as Slurm tasks",
    "sss": "from Slurm scripts that are submitted by hand",
    "ec2": "on EC2",
    "gcp": "on Google Cloud",
}

_KNOWN = (LOCAL, HERE, LOCAL_DOCKER, LOCAL_SINGULARITY)

MODES = (*_KNOWN, *_ELSEWHERE)


def check_mode(mode: str) -> None:
    """Refuse a mode that does not exist, or that this version does not have: nothing else is run in its place."""
    if mode in _KNOWN:
        return
    if mode in _ELSEWHERE:
        raise InvalidInput(
            f"mode {mode!r} would run {_ELSEWHERE[mode]}, which this version of runslot cannot do yet; no package adds "
            f"it. mode={LOCAL!r} runs in slots of this machine, {HERE!r} in this process"
        )
    raise InvalidInput(f"there is no mode {mode!r}{nearest(str(mode), MODES)}; known: {', '.join(MODES)}")


def container_of(mode: str, use_gpu: bool, mounted: Mapping[str, str] | None) -> Container | None:
    """Return what the runs of a mode execute in, as `[launchkit]` in the configuration says; None: in no container.

    `mounted` has mount points by directory.
    """
    if mode not in {LOCAL_DOCKER, LOCAL_SINGULARITY}:
        if mounted:
            raise InvalidInput(
                f"local_input_dir_to_mount_point_dict mounts directories into containers, and mode {mode!r} has none: "
                f"leave it out, and let the function read the directory itself, or use mode {LOCAL_DOCKER!r}"
            )
        return None
    settings = read_settings()
    own = [f"{Path(path).expanduser().absolute()}:{point}" for path, point in (mounted or {}).items()]
    mounts = (*settings.mounts, *own)
    if mode == LOCAL_SINGULARITY:
        return Container(_image(mode, "singularity_image", settings), "apptainer", mounts)
    key = "gpu_docker_image" if use_gpu and settings.gpu_docker_image else "docker_image"
    return Container(_image(mode, key, settings), "docker", mounts)


def _image(mode: str, key: str, settings: Settings) -> str:
    image: str = getattr(settings, key)
    if not image:
        raise InvalidInput(f'mode {mode!r} needs an image: write {key} = "…" below [launchkit] in runslot.toml')
    return image
