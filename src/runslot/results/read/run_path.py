"""What a run's path says of it: to which variant it belongs, and which seed it is; by a template,
or by known names.

Whatever is not known to be a seed is a difference: the whole path below what was read is part of a
run's identity, without the marks of seeds, and without counters and dates in the names of runs
whose parameters are recorded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import field
from pathlib import PurePath
from typing import NamedTuple

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.read.directories import RunFiles
from runslot.results.read.layouts import Kind
from runslot.results.read.parameters import Scalar, scalar

_SEED = re.compile(r"(?:^|(?<=[-_,. +@]))seed[-_=]?(\d+)(?=$|[-_,. +@])", re.IGNORECASE)
_SEED_ALONE = re.compile(r"s[-_=]?(\d+)")
_SPINNING_UP = re.compile(r"(.+)_s(\d+)")
_LAUNCHKIT = re.compile(r"(.*?)(?:_\d+)*--s-(\d+)")
"""PREFIX_DATE_ID--s-SEED."""
_RAY = re.compile(r"(.*?)_[0-9a-f]{5,8}_\d{5}(?:_.*)?")
"""TRAINABLE_ENV_TRIAL_NUMBER_PARAMETERS_DATE."""
_RUN = re.compile(r"run[-_]?(\d+)")
_COUNTER = re.compile(r"(?:^|[-_])\d+(?:[-_]\d+)*$")
_TRAIN = re.compile(r"([A-Za-z]+)\d+")
_DATE = re.compile(r"(?:\d{4}-\d\d-\d\d)?[-_T ]?(?:\d\d-\d\d-\d\d)?")


class PathParts(NamedTuple):
    """What the path tells of one run."""

    variant: str
    """The path below what was read, without what tells equal runs apart."""
    seed: int | str | None
    parameters: dict[str, Scalar]
    """By a template's fields."""


@record
class PathTemplate:
    """`{algo}/{env}_{seed}`: which part of a path means what."""

    text: str
    fields: tuple[str, ...]
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> PathTemplate:
        """Raises `InvalidInput` where `text` is no template."""
        plain = text.strip().removeprefix("./").rstrip("/")
        if plain.startswith("/"):
            raise InvalidInput(
                f"--path {text!r} begins with /; write it as seen from the directory that is read"
            )
        parts = re.split(r"\{([^{}]*)\}", plain)
        if any("{" in part or "}" in part for part in parts[::2]):
            raise InvalidInput(
                f"--path {text!r} has a brace without its other one; fields are written {{algo}}"
            )
        fields = list(dict.fromkeys(name for name in parts[1::2] if name not in {"", "_"}))
        if not fields:
            raise InvalidInput(
                f"--path {text!r} names no field; write it as {{algo}}/{{env}}_{{seed}}"
            )
        if wrong := next(
            (name for name in fields if not re.fullmatch(r"[A-Za-z_][\w.-]*", name)), None
        ):
            raise InvalidInput(
                f"--path {text!r}: {wrong!r} is no name of a field; use letters, digits, _ and ."
            )
        if "" in parts[2:-1:2]:
            raise InvalidInput(
                f"--path {text!r} has two fields with nothing between them; nobody can tell them"
                " apart"
            )
        pattern = ""
        named: set[str] = set()
        for i, part in enumerate(parts):
            if i % 2 == 0:
                pattern += "[^/]*".join(re.escape(literal) for literal in part.split("*"))
            elif part in {"", "_"}:
                pattern += "[^/]+"
            else:
                group = f"field{fields.index(part)}"
                pattern += f"(?P={group})" if part in named else f"(?P<{group}>[^/]+)"
                named.add(part)
        return cls(text, tuple(fields), re.compile(f"{pattern}(?:/(?P<rest>.*))?"))

    def match(self, path: str) -> tuple[dict[str, Scalar], str] | None:
        """Return the fields' values and what of the path lies deeper than the template; None where
        it differs."""
        match = self.pattern.fullmatch(path)
        if match is None:
            return None
        values = {name: scalar(match[f"field{i}"]) for i, name in enumerate(self.fields)}
        return values, match["rest"] or ""


@record
class RunPaths:
    """The paths of runs, as seen from what was read."""

    roots: Sequence[str]
    template: PathTemplate | None = None
    base: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", os.path.commonpath(self.roots))

    def fields_of(self, run: RunFiles) -> tuple[dict[str, Scalar], str] | None:
        """Return what the template says of a run, by its path as the column `run` shows it; None
        where it differs."""
        if self.template is None:
            return None
        path = "/".join(self.names_of(run))
        return self.template.match(path) or (
            self.template.match(path + PurePath(run.path).suffix) if run.is_file else None
        )

    def names_of(self, run: RunFiles) -> tuple[str, ...]:
        """Return the names of a run's directories below what was read; its own where it is that."""
        path = run.path.rpartition(".")[0] if run.is_file else run.path
        return tuple((path[len(self.base) :].strip("/") or PurePath(path).name).split("/"))

    def of(self, run: RunFiles, is_recorded: bool) -> PathParts:
        """Return what the path of a run tells; `is_recorded`: files say its parameters."""
        names, kind = self.names_of(run), run.kind
        fields = self.fields_of(run)
        if fields is not None:
            values, rest = fields
            seed = values.pop("seed", None)
            variant, _ = _variant(rest.split("/"), kind, is_recorded) if rest else ("", None)
            whole = (
                seed
                if seed is None or (isinstance(seed, int | str) and not isinstance(seed, bool))
                else str(seed)
            )
            return PathParts(variant, whole, values)
        return PathParts(*_variant(names, kind, is_recorded), {})


def _variant(names: Sequence[str], kind: Kind, is_recorded: bool) -> tuple[str, int | None]:
    seeds: list[int] = []
    parts = []
    for i, name in enumerate(names):
        part = _without_seed(name, kind, i == len(names) - 1, seeds)
        if is_recorded:
            part = _without_counter(part, kind, i == len(names) - 1, seeds)
        if part:
            parts.append(part)
    return "/".join(parts), seeds[-1] if seeds else None


def _without_seed(name: str, kind: Kind, is_last: bool, seeds: list[int]) -> str:
    match = _LAUNCHKIT.fullmatch(name) or (
        _SPINNING_UP.fullmatch(name) if kind == "spinningup" else None
    )
    if match is not None:
        seeds.append(int(match[2]))
        return match[1]
    alone = _SEED_ALONE.fullmatch(name) if is_last else None
    match = alone or _SEED.search(name)
    if match is None:
        return name
    seeds.append(int(match[1]))
    return re.sub(
        r"([-_,. +@])[-_,. +@]+", r"\1", name[: match.start()] + name[match.end() :]
    ).strip("-_,. +@")


def _without_counter(name: str, kind: Kind, is_last: bool, seeds: list[int]) -> str:
    """Return the name of a recorded run's directory without what counts or dates it."""
    if name and _DATE.fullmatch(name):
        return ""
    if not is_last:
        return name
    if match := _RAY.fullmatch(name) or (_TRAIN.fullmatch(name) if kind == "yolo" else None):
        return match[1]
    if (match := _RUN.fullmatch(name)) and not seeds:
        seeds.append(int(match[1]))
    return _COUNTER.sub("", name)
