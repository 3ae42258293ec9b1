"""Launchers by name: entries of the configuration, each a frozen record of its kind, from which an engine is opened.

A kind is a class in a package of its own, imported when an entry of it is used; its fields are the entry's keys.
"""

from __future__ import annotations

import dataclasses
import importlib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from runslot.engines.events import Observer
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Launcher
from runslot.errors import InvalidInput, NotFound, nearest
from runslot.experiment.owner import other_owner
from runslot.experiment.records import ExperimentFile
from runslot.experiment.settings import configuration_files, read_configuration
from runslot.experiment.status import ExperimentStatus

KINDS: Mapping[str, tuple[str, str]] = {
    "local": ("runslot.engines.local.config", "ThisMachine"),
    "ssh": ("runslot.engines.ssh", "SSH"),
    "slurm": ("runslot.engines.slurm", "Slurm"),
    "sky": ("runslot.engines.sky", "Sky"),
    "ec2": ("runslot.engines.sky", "EC2"),
    "gcp": ("runslot.engines.sky", "GCP"),
}
"""By the word that `kind` has in an entry: the module and the class of its record."""


@dataclass(frozen=True)
class Engine:
    """A launcher that is open for one experiment."""

    launcher: Launcher
    slots_said: str
    """The slots, or the queue, in one line."""
    leaves: bool = False
    """Runs are handed over, and go on without this process: it need not wait for them."""


@dataclass(frozen=True)
class Finding:
    """One thing that `runslot launchers check` tried."""

    what: str
    """As `login node1`."""
    well: bool
    said: str = ""
    """What was seen."""
    fix: str = ""
    """What to do, where it is not well."""


class Configured(Protocol):
    """An entry of the configuration; a frozen dataclass, whose other fields are the entry's keys."""

    @property
    def name(self) -> str:
        """The entry's."""

    @property
    def moves(self) -> bool:
        """Whether the experiment's directory is brought to other paths, with a copy of the code in it."""

    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Return the engine for an experiment of `runs` runs; `InvalidInput` where it cannot be had."""

    def give_back(self, experiment: OpenExperiment, observer: Observer) -> None:
        """Give back what is still held for an experiment that has nothing further to do, as a rented machine."""

    def check(self) -> Iterator[Finding]:
        """Try what runs will need, one thing after the other."""

    def refresh(self, status: ExperimentStatus) -> ExperimentStatus:
        """Return the status with what the engine knows better than the files, as which runs still wait in its queue."""


def launcher_named(name: str) -> Configured:
    """Return the configured launcher of this name; a kind that needs no keys is its own name, as `slurm`."""
    known: list[str] = []
    for file in configuration_files():
        entries = read_configuration(file).get("launchers", {})
        if name in entries:
            return read_entry(name, entries[name], str(file))
        known += entries
    if name in KINDS:
        return read_entry(name, {"kind": name}, f"--on {name}")
    names = ", ".join(dict.fromkeys([*known, *KINDS]))
    raise NotFound(
        f"there is no launcher {name!r}{nearest(name, [*known, *KINDS])}; known: {names}; "
        f"a [launchers.{name}] table in runslot.toml makes one"
    )


def configured_launchers() -> dict[str, tuple[Path, Configured]]:
    """Return all entries by name, each with its file; an entry of the project's file goes before the user's."""
    found: dict[str, tuple[Path, Configured]] = {}
    for file in configuration_files():
        for name, entry in read_configuration(file).get("launchers", {}).items():
            found.setdefault(name, (file, read_entry(name, entry, str(file))))
    return found


def read_entry(name: str, entry: Mapping[str, Any], where: str) -> Configured:
    """Return the entry's record; `InvalidInput` names an unknown key with the nearest known one, or a wrong value."""
    said = f"{where}: launchers.{name}"
    kind = str(entry.get("kind", ""))
    if kind not in KINDS:
        given = f"kind {kind!r} is unknown{nearest(kind, KINDS)}" if kind else "has no kind"
        raise InvalidInput(f"{said}: {given}; known kinds: {', '.join(KINDS)}")
    module, class_name = KINDS[kind]
    record = getattr(importlib.import_module(module), class_name)
    types_of = typing.get_type_hints(record)
    keys = {field.name: field for field in dataclasses.fields(record) if field.name != "name"}
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key in {"kind", "name"}:
            continue
        if key not in keys:
            raise InvalidInput(f"{said}: unknown key {key!r}{nearest(key, keys)}; known: kind, {', '.join(keys)}")
        values[key] = _value(types_of[key], value, f"{said}.{key}")
    for key, field in keys.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and key not in values:
            raise InvalidInput(f"{said}: the kind {kind} needs the key {key!r}")
    try:
        made: Configured = record(name=name, **values)
    except InvalidInput as error:
        raise InvalidInput(f"{said}: {error}") from error
    return made


def entry_json(configured: Configured) -> dict[str, Any]:
    """Return what `experiment.json` keeps of the launcher, from which `of_experiment` makes it again."""
    kinds = {names: kind for kind, names in KINDS.items()}
    made = type(configured)
    package = made.__module__
    kind = next(kind for names, kind in kinds.items() if names[1] == made.__name__ and package.startswith(names[0]))
    fields = {field.name: getattr(configured, field.name) for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    return {"name": configured.name, "kind": kind, **{key: value for key, value in fields.items() if key != "name"}}


def of_experiment(file: ExperimentFile) -> Configured | None:
    """Return the launcher that an experiment was given; None: this machine."""
    if file.launcher is None:
        return None
    entry = {key: value for key, value in file.launcher.items() if value is not None}
    return read_entry(file.launcher["name"], entry, "experiment.json")


def refreshed(status: ExperimentStatus) -> ExperimentStatus:
    """Return the status as the experiment's engine knows it; of another user's experiment as its files tell it.

    What an engine says is kept in the experiment, and outcomes come home.
    """
    configured = of_experiment(status.file)
    if configured is None or other_owner(status.directory.path) is not None:
        return status
    return configured.refresh(status)


_WORDS = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _value(wanted: Any, value: Any, said: str) -> Any:
    """Return a TOML or JSON value as the field's type has it, or refuse it."""
    origin = typing.get_origin(wanted)
    if origin in {typing.Union, types.UnionType}:
        choices = [each for each in typing.get_args(wanted) if each is not type(None)]
        return None if value is None else _value(choices[0], value, said)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise InvalidInput(f"{said} is {value!r}, but it is a list in brackets")
        return tuple(_value(typing.get_args(wanted)[0], each, said) for each in value)
    if origin is typing.Literal:
        allowed = typing.get_args(wanted)
        if value not in allowed:
            raise InvalidInput(f"{said} is {value!r}{nearest(str(value), allowed)}; known: {', '.join(allowed)}")
        return value
    if origin is not None:  # a mapping
        if not isinstance(value, Mapping):
            raise InvalidInput(f"{said} is {value!r}, but it is a table")
        return dict(value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted in _WORDS and (not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)):
        raise InvalidInput(f"{said} is {value!r}, but it is {_WORDS[wanted]}")
    return value
