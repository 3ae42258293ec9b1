"""What launchkit kept in `conf.py` for its modes: the table `[launchkit]` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from runslot.errors import InvalidInput, nearest
from runslot.experiment.settings import configuration_files, read_configuration


@dataclass(frozen=True)
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
    """Return the table of the nearest configuration file that has one; `InvalidInput` names what is wrong in it."""
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
            raise InvalidInput(f"{where}: unknown key {key!r}{nearest(key, keys)}; known: {', '.join(keys)}")
        texts = value if keys[key].default == () else [value]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InvalidInput(
                f"{where}.{key} is {value!r}, but it is {'a list of texts' if texts is value else 'text'}"
            )
        values[key] = tuple(texts) if keys[key].default == () else value
    return Settings(**values)
