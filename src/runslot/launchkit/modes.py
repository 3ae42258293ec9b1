"""launchkit's modes: which of them this version has, and what is said of the others."""

from __future__ import annotations

from runslot.errors import InvalidInput, nearest

LOCAL = "local"
HERE = "here_no_doodad"

_ELSEWHERE = {
    "local_docker": "in a container on this machine",
    "ssh": "in a container on another host",
    "local_singularity": "in a Singularity image on this machine",
    "slurm_singularity": "as Slurm tasks",
    "sss": "from Slurm scripts that are submitted by hand",
    "ec2": "on EC2",
    "gcp": "on Google Cloud",
}

MODES = (LOCAL, HERE, *_ELSEWHERE)


def check_mode(mode: str) -> None:
    """Refuse a mode that does not exist, or that this version does not have: nothing else is run in its place."""
    if mode in {LOCAL, HERE}:
        return
    if mode in _ELSEWHERE:
        raise InvalidInput(
            f"mode {mode!r} would run {_ELSEWHERE[mode]}, which this version of runslot cannot do yet; no package adds "
            f"it. mode={LOCAL!r} runs in slots of this machine, {HERE!r} in this process"
        )
    raise InvalidInput(f"there is no mode {mode!r}{nearest(str(mode), MODES)}; known: {', '.join(MODES)}")
