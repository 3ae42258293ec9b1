"""The fields of the config group `hydra/launcher=runslot`, as an experiment takes them.

`hydra_plugins.runslot_launcher` declares them, without loading runslot; what they mean stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import OmegaConf

from runslot.cli.kinds import parse_memory, parse_seconds
from runslot.errors import InvalidInput, refuse_unknown_words
from runslot.experiment.records import Container
from runslot.hardware.resources import Resources
from runslot.launch.experiment import Experiment
from runslot.launch.interpreter import look_at

FIELDS = (
    "cpus",
    "gpus",
    "runs_per_gpu",
    "memory",
    "timeout",
    "retries",
    "on",
    "container",
    "python",
)


def experiment_of(name: str, fields: Mapping[str, Any]) -> Experiment:
    """Return what the fields ask for, with no runs of its own; `InvalidInput` names a bad one."""
    refuse_unknown_words("hydra.launcher", fields, FIELDS)
    values = {key: value for key, value in fields.items() if value is not None}
    try:
        experiment = _experiment(name, values)
        experiment.plan()
    except InvalidInput as error:
        text = str(error).removeprefix("resources: ")
        word = text.partition(" ")[0].rstrip(":")
        raise InvalidInput(f"hydra.launcher.{text}" if word in FIELDS else text) from error
    return experiment


def _experiment(name: str, values: Mapping[str, Any]) -> Experiment:
    python = values.get("python")
    if python is not None and not {"on", "container"} & values.keys():
        look_at(python).refuse_function(by_value=True)
    resources = {key: values[key] for key in ("cpus", "gpus", "runs_per_gpu") if key in values}
    memory = _read("memory", parse_memory, values)
    return Experiment(
        name=name,
        work="runslot.hydra.job:Application",
        resources=Resources(**resources, memory=memory),
        timeout=_read("timeout", parse_seconds, values),
        retries=values.get("retries", 0),
        on=values.get("on"),
        container=_container(values.get("container")),
        python=python,
    )


def _container(value: Any) -> Container | None:
    """Return the image, by its name or with its settings, as a sweep file has it."""
    if value is None:
        return None
    from runslot.cli.build import Words  # few launches need it

    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=True)
    words = Words({"container": value}, {(): "hydra.launcher"})
    return Container(**words.read()["container"])


def _read(key: str, parse: Callable[[Any], Any], values: Mapping[str, Any]) -> Any:
    if key not in values:
        return None
    try:
        return parse(values[key])
    except InvalidInput as error:
        raise InvalidInput(f"hydra.launcher.{key} {error}") from None
