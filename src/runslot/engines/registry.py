"""Launchers by name: tables of the configuration, each a frozen record of its kind, from which an
engine is opened.

A kind is a word that a package registers as an entry point of the group `runslot.launchers`, or
`module:Class`. Those of runslot itself stand in a table as well, so that they are found where there
is no metadata, as in the one-file archive, and none is read for them at a start. A kind's class is
imported when an entry of it is used.

Has engines say, from time to time, how the experiments below some directories stand, where no
launcher does.

For readers that stay, as the page: what an engine knows and files do not tell is then in the files.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import threading
import time
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.engines.protocol import Facts, LauncherConfig
from runslot.errors import InvalidInput, NotFound, RunslotError, nearest
from runslot.experiment.lock import living_launcher
from runslot.experiment.owner import other_owner
from runslot.experiment.records import ExperimentFile, LauncherEntry
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.settings import configuration_files, read_configuration
from runslot.experiment.status import ExperimentStatus, find_experiments, read_status

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


GROUP = "runslot.launchers"
"""The group of entry points; a name of it is a kind, its value the class."""

BUILT_IN: Mapping[str, str] = {
    "local": "runslot.engines.local.config:ThisMachine",
    "ssh": "runslot.engines.ssh.config:SSH",
    "slurm": "runslot.engines.slurm.config:Slurm",
    "pbs": "runslot.engines.pbs.config:PBS",
    "sky": "runslot.engines.sky.config:Sky",
    "ec2": "runslot.engines.sky.config:EC2",
    "gcp": "runslot.engines.sky.config:GCP",
}
"""The entry points of runslot itself, as pyproject.toml has them: a kind's word, and its class."""


def kinds() -> list[str]:
    """Return the words that `kind` may have: runslot's own, and those of the packages that are
    installed.
    """
    return list(dict.fromkeys([*BUILT_IN, *sorted(plug_in.name for plug_in in _plug_ins())]))


def kinds_shown() -> list[str]:
    """Return the kinds for people, those of other packages with the package."""
    return [*BUILT_IN, *(f"{plug_in.name} ({_distribution(plug_in)})" for plug_in in _plug_ins())]


def _plug_ins() -> Iterable[EntryPoint]:
    from importlib.metadata import (
        entry_points,
    )  # slow to load, and wanted where a kind is not runslot's own

    return [plug_in for plug_in in entry_points(group=GROUP) if plug_in.name not in BUILT_IN]


def class_of(kind: str) -> type[LauncherConfig]:
    """Return the class of a kind; `InvalidInput` where there is none, or where it cannot be
    imported, in one line.
    """
    if kind in BUILT_IN:
        return _load(BUILT_IN[kind], f"kind {kind!r}")
    if ":" in kind:
        return _load(kind, f"kind {kind!r}", "; install it, or put its directory on PYTHONPATH")
    for plug_in in _plug_ins():
        if plug_in.name == kind:
            return _load(
                plug_in.value, f"kind {kind!r} of {_distribution(plug_in)} ({plug_in.value})"
            )
    choices = kinds()
    raise InvalidInput(
        f"kind {kind!r} is unknown{nearest(kind, choices)}; known kinds: {', '.join(choices)}; "
        "a package that is installed adds its own, and 'module:Class' names a class"
    )


def _distribution(plug_in: EntryPoint) -> str:
    return (
        f"{plug_in.dist.name} {plug_in.dist.version}"
        if plug_in.dist is not None
        else "an installed package"
    )


def _load(reference: str, subject: str, advice: str = "") -> type[LauncherConfig]:
    module, _, name = reference.partition(":")
    try:
        return _imported(module, name)
    except Exception as error:  # a plug-in's import may raise anything
        reason = " ".join(str(error).split())
        raise InvalidInput(
            f"{subject} cannot be loaded: {type(error).__name__}: {reason}{advice}"
        ) from error


def _imported(module: str, name: str) -> type[LauncherConfig]:
    value: Any = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    if not (isinstance(value, type) and issubclass(value, LauncherConfig)):
        raise TypeError("it must be a subclass of runslot.engines.protocol.LauncherConfig")
    typing.get_type_hints(value)  # as its keys will be read
    return value


def launcher_named(name: str) -> LauncherConfig:
    """Return the configured launcher of this name; a kind that needs no keys is its own name, as
    `slurm`.
    """
    names: list[str] = []
    for file in configuration_files():
        entries = read_configuration(file).get("launchers", {})
        if name in entries:
            return read_entry(name, entries[name], str(file))
        names += entries
    if name in BUILT_IN:
        return read_entry(name, {"kind": name}, f"--on {name}")
    choices = [*names, *kinds()]
    if name in choices:
        return read_entry(name, {"kind": name}, f"--on {name}")
    raise NotFound(
        f"there is no launcher {name!r}{nearest(name, choices)}; known:"
        f" {', '.join(dict.fromkeys(choices))}; a [launchers.{name}] table in runslot.toml"
        " makes one"
    )


def configured_launchers() -> dict[str, tuple[Path, LauncherConfig]]:
    """Return all entries by name, each with its file; an entry of the project's file goes before
    the user's.
    """
    launchers: dict[str, tuple[Path, LauncherConfig]] = {}
    for file in configuration_files():
        for name, entry in read_configuration(file).get("launchers", {}).items():
            launchers.setdefault(name, (file, read_entry(name, entry, str(file))))
    return launchers


def read_entry(name: str, entry: Mapping[str, Any], where: str) -> LauncherConfig:
    """Return the entry's record; `InvalidInput` names an unknown key with the nearest known one, or
    a wrong value.
    """
    place = f"{where}: launchers.{name}"
    kind = str(entry.get("kind", ""))
    if not kind:
        raise InvalidInput(f"{place}: has no kind; known kinds: {', '.join(kinds())}")
    try:
        record = class_of(kind)
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error}") from error
    types_of = typing.get_type_hints(record)
    keys = {field.name: field for field in dataclasses.fields(record) if field.name != "name"}
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key in {"kind", "name"}:
            continue
        if key not in keys:
            raise InvalidInput(
                f"{place}: unknown key {key!r}{nearest(key, keys)}; known: kind, {', '.join(keys)}"
            )
        values[key] = _value(types_of[key], value, f"{place}.{key}")
    for key, field in keys.items():
        needed = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if needed and key not in values:
            raise InvalidInput(f"{place}: the kind {kind} needs the key {key!r}")
    try:
        return record(name=name, **values)
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error}") from error


def entry_of(config: LauncherConfig) -> LauncherEntry:
    """Return what `experiment.json` keeps of the launcher, from which `of_entry` makes it
    again.
    """
    settings = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name != "name"
    }
    return LauncherEntry(config.name, _kind_of(type(config)), settings, config.shares_machine)


def _kind_of(record: type[LauncherConfig]) -> str:
    reference = f"{record.__module__}:{record.__qualname__}"
    for kind, built_in in BUILT_IN.items():
        if reference == built_in:
            return kind
    if record.__module__ == "__main__" or "<locals>" in reference:
        raise InvalidInput(
            f"the launcher {record.__qualname__} stands in a script: put its class into a module"
        )
    return next((plug_in.name for plug_in in _plug_ins() if plug_in.value == reference), reference)


def of_experiment(file: ExperimentFile) -> LauncherConfig | None:
    """Return the launcher that an experiment was given; None: this machine."""
    return None if file.launcher is None else of_entry(file.launcher)


def of_entry(entry: LauncherEntry) -> LauncherConfig:
    """Return the launcher of which an `experiment.json` has this."""
    settings = {key: value for key, value in entry.settings.items() if value is not None}
    return read_entry(entry.name, {"kind": entry.kind, **settings}, "experiment.json")


def refreshed(status: ExperimentStatus) -> ExperimentStatus:
    """Return the status as the experiment's engine knows it; of another user's experiment as its
    files tell it.

    What an engine says is kept in the experiment, and outcomes come home. Where its kind is not
    installed here, that is a problem of the status, and the files tell.
    """
    if other_owner(status.directory.path) is not None:
        return status
    try:
        config = of_experiment(status.file)
    except RunslotError as error:
        return replace(status, problems=(*status.problems, f"its engine cannot be asked: {error}"))
    return status if config is None else config.refresh(status)


def facts(status: ExperimentStatus, path_text: str) -> Facts | None:
    """Return what else the experiment's engine says of it, whose path is `path_text` to people."""
    try:
        config = of_experiment(status.file)
    except RunslotError:  # `refreshed` has named it
        return None
    return None if config is None else config.facts(status.directory, path_text)


_WORDS = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _value(annotation: Any, value: Any, place: str) -> Any:
    """Return a TOML or JSON value as the field's type has it, or refuse it."""
    origin = typing.get_origin(annotation)
    if origin in {typing.Union, types.UnionType}:
        choices = [part for part in typing.get_args(annotation) if part is not type(None)]
        return None if value is None else _value(choices[0], value, place)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise InvalidInput(f"{place} is {value!r}, but it is a list in brackets")
        return tuple(_value(typing.get_args(annotation)[0], part, place) for part in value)
    if origin is typing.Literal:
        allowed = typing.get_args(annotation)
        if value not in allowed:
            raise InvalidInput(
                f"{place} is {value!r}{nearest(str(value), allowed)}; known: {', '.join(allowed)}"
            )
        return value
    if origin is not None:  # a mapping
        if not isinstance(value, Mapping):
            raise InvalidInput(f"{place} is {value!r}, but it is a table")
        return dict(value)
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation in _WORDS and (
        not isinstance(value, annotation) or (isinstance(value, bool) and annotation is not bool)
    ):
        raise InvalidInput(f"{place} is {value!r}, but it is {_WORDS[annotation]}")
    return value


# ---- looking again -------------------------------------------------------------------------------


_PERIOD = 10.0
"""Seconds between looks, at least."""
_LOOKS_PER_COST = 200
"""A look is not taken again before so many times what it cost: half a per cent of a core."""
_MOST_RUNS_AT_REST = 2000
"""Of an experiment that nobody launches, whose runs are read to say why some wait."""


class Refresher:
    """Looks in a thread of its own, since an engine may take its time to answer."""

    def __init__(self, roots: Sequence[str | os.PathLike[str]]) -> None:
        self._roots = [Path(root) for root in roots]
        self._last_look = -_PERIOD
        self._thread: threading.Thread | None = None
        self._done: dict[Path, tuple[float, tuple[str, ...]]] = {}
        """Experiments of which nothing further is to be heard until their journal changes: when it
        had changed last, and why runs wait."""
        self._period = _PERIOD
        self.waits: tuple[str, ...] = ()
        """Why runs under way wait, a sentence each, as of the last look."""

    def look(self) -> None:
        """Begin a look where the last one is long enough ago; never waits."""
        if time.monotonic() - self._last_look < self._period or (
            self._thread is not None and self._thread.is_alive()
        ):
            return
        self._last_look = time.monotonic()
        self._thread = threading.Thread(target=self._ask, name="runslot-refresh", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        began = time.thread_time()
        waits: dict[str, None] = {}
        for root in self._roots:
            for experiment in find_experiments(root):
                try:
                    waits |= dict.fromkeys(self._ask_about(experiment))
                except (RunslotError, OSError):  # a broken file: who reads it says so
                    continue
        self.waits = tuple(waits)
        self._period = max(_PERIOD, _LOOKS_PER_COST * (time.thread_time() - began))

    def _ask_about(self, experiment: ExperimentDir) -> tuple[str, ...]:
        """Take in what an engine says of an experiment, and return why runs of it wait."""
        changed = (
            experiment.journal_file.stat().st_mtime if experiment.journal_file.exists() else 0.0
        )
        before, waits = self._done.get(experiment.path, (-1.0, ()))
        if before == changed:
            return waits
        file = experiment.read()
        of_this_machine = file.launcher is None
        if (
            of_this_machine
            and (file.run_count or 0) > _MOST_RUNS_AT_REST
            and living_launcher(experiment) is None
        ):
            self._done[experiment.path] = (changed, ())
            return ()
        status = read_status(experiment)
        status = status if of_this_machine else refreshed(status)
        waits = (*_standstill(status), *status.waits)
        if status.launcher is None and (of_this_machine or status.finished):
            self._done[experiment.path] = (changed, waits)
        return waits


def _standstill(status: ExperimentStatus) -> tuple[str, ...]:
    """Return why nothing further starts, where that is so."""
    queued, name = status.counts.get("queued", 0), status.directory.path.name
    if status.paused:
        return (f"{name} is paused; `runslot continue` goes on",)
    if queued and status.launcher is None and status.file.launcher is None:
        runs = "1 run waits" if queued == 1 else f"{queued} runs wait"
        return (f"{runs}, and no launcher of {name} is at work; `runslot resume` goes on",)
    return ()
