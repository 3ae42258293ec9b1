"""The parameters of a run of another program, from the files in which well-known layouts keep them.

`describing` calls this; which files are read, and in which order, `finding` has decided.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError
from runslot.results.formats.files import read_bytes, read_object
from runslot.results.problems import Problem
from runslot.results.read.directories import RunFiles
from runslot.results.read.layouts import HYDRA, HYDRA_ITSELF

Value = int | float | str | bool | None

BOOKKEEPING = frozenset(
    {"seed", "run_ID", "exp_id", "exp_prefix", "exp_name", "instance_type", "log_dir"}
)
"""Keys that a launcher adds to a variant: runs that differ in nothing else are one variant."""
_OTHERS_BOOKKEEPING = frozenset(
    {"hostname", "pid", "run_id", "timestamp", "start_time", "uuid", "trial_id"}
)
"""Keys by which other programs tell when, where and under which id a run ran."""
_ALL_BOOKKEEPING = BOOKKEEPING | _OTHERS_BOOKKEEPING
_SEED = re.compile(
    r"(?=.*seed)(?:.*\.)?(?:(?:random|rng|global|manual|torch|np|numpy|env|train)_?)?seed(?:_everything)?",
    re.I,
)
_ADDRESS = re.compile(r"(?: at)? 0x[0-9a-fA-F]{4,}")
_OVERRIDE = re.compile(r"\+{0,2}([^=\s~+]+)=(.*)", re.DOTALL)
_CHOICES = re.compile(r"^    choices:\n((?: {5,}\S.*\n)+)", re.MULTILINE)
_CHOICE = "$choice"
"""Under this, beside a group's settings, the option of it that a Hydra job was given."""


def read_settings(run: RunFiles, problems: list[Problem]) -> dict[str, Any]:
    """Return what the files of a run say, nested as they are; a broken file is named and its part
    left out."""
    settings: dict[str, Any] = {}
    for name in run.settings:
        file = Path(run.file(name))
        try:
            if file.suffix == ".json":
                content = read_object(file) or {}
            else:
                text = (read_bytes(file) or b"").decode("utf-8", "replace")
                is_hydra = name.endswith(f"{HYDRA}/{HYDRA_ITSELF}")
                content = (
                    _choices(text, settings) if is_hydra else _mapping(read_yaml(text), settings)
                )
        except (RunslotError, OSError) as error:
            problems.append(Problem(str(file), str(error)))
            continue
        settings.update(content)
    if run.kind == "spinningup":
        settings.pop("logger", None)  # an object, taken apart
    return settings


def parameters_of(
    settings: Mapping[str, Any], places: Sequence[str]
) -> tuple[dict[str, Value], int | str | None]:
    """Return the flat parameters, and the seed, which is none of them.

    Left out is what differs between equal runs: where in memory an object lay, where on disk the
    run does (`places`, the names of its directories), when and under which id it ran.
    """
    flat: dict[str, Value] = {}
    for key, value in flatten(settings, leave_out=_ALL_BOOKKEEPING).items():
        plain = _ADDRESS.sub("", value) if isinstance(value, str) and "0x" in value else value
        if not (_is_place(key, places) or (isinstance(plain, str) and _is_place(plain, places))):
            flat[_ADDRESS.sub("", key) if "0x" in key else key] = plain
    seeds = {
        key: value for key, value in flat.items() if value is not None and _SEED.fullmatch(key)
    }
    seed = next(
        (settings[key] for key in ("seed", "run_ID") if settings.get(key) is not None), None
    )
    if seed is None and len(set(seeds.values())) == 1:
        seed = next(iter(seeds.values()))
    if seed is not None:
        flat = {key: value for key, value in flat.items() if key not in seeds or value != seed}
    if isinstance(seed, int | str) and not isinstance(seed, bool):
        return flat, int(seed) if isinstance(seed, int) else str(seed)
    return flat, None if seed is None else str(seed)


def _is_place(text: str, places: Sequence[str]) -> bool:
    """Tell whether a text is a path to one of the run's directories, or a file in it."""
    return "/" in text and any(f"/{place}/" in f"{text}/" for place in places)


def _mapping(value: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a YAML file's mapping; RL Zoo's are lists of pairs, Hydra's overrides a list of
    `key=value`, for which `before` is the configuration.
    """
    if isinstance(value, Mapping):
        return dict(value)
    if value is None:
        return {}
    pairs = (
        value[0]
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
        else value
    )
    if isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return {str(key): item for key, item in pairs}
    if isinstance(pairs, list) and all(isinstance(pair, str) for pair in pairs):
        return _overrides(pairs, before)
    raise RunslotError("does not hold a mapping; its hyperparameters are left out")


def _overrides(texts: Sequence[str], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a Hydra job's overrides say beyond its configuration: which option of a group was
    chosen (`model=vit`), and all where the configuration is gone."""
    flat_settings = flatten(before)
    settings: dict[str, Any] = {}
    for match in filter(None, map(_OVERRIDE.fullmatch, texts)):
        key, text = match[1], match[2]
        if key in flat_settings:
            continue
        is_group = any(name.startswith(f"{group_path(key)}.") for name in flat_settings)
        if is_group and text.startswith("{"):  # a dict, whose items are shown
            continue
        if len(text) > 1 and text[0] in "'\"" and text[0] == text[-1]:
            text = text[1:-1]
        settings[key] = _chosen(scalar(text), before.get(key))
    return settings


def _choices(text: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return which options of groups a Hydra job was made of, by its `hydra.yaml`, as far as the
    overrides have not said it."""
    block = _CHOICES.search(text)
    choices = None if block is None else read_yaml(textwrap.dedent(block[1]))
    if not isinstance(choices, Mapping):
        return {}
    flat_settings = flatten(before)
    return {
        str(group): _chosen(option, before.get(group))
        for group, option in choices.items()
        if option is not None and group not in flat_settings and not str(group).startswith("hydra/")
    }


def _chosen(option: Any, inside: Any) -> Any:
    return {_CHOICE: option, **inside} if isinstance(inside, Mapping) else option


def group_path(name: str) -> str:
    """Return where in the configuration a group of Hydra's stands: `db.engine` for `db/engine`,
    `net` for `model@net`."""
    group, _, package = name.partition("@")
    return package or group.replace("/", ".")


def flatten(
    variant: Mapping[str, Any], leave_out: frozenset[str] = frozenset(), prefix: str = ""
) -> dict[str, Value]:
    """Return the variant with dotted keys; lists and empty dicts as JSON text.

    What was no JSON is written as `{"$class": …}`, `{"$repr": …}`, `{"$dataclass": …, fields}`: it
    goes by the user's key, and its fields, where it has any, below that.
    """
    flat: dict[str, Value] = {}
    for key, value in variant.items():
        name = f"{prefix}{key}"
        if name in leave_out:
            continue
        if isinstance(value, Mapping) and value:
            mark = next((field for field in value if str(field).startswith("$")), None)
            if mark is not None:
                flat.update(flatten({name: value[mark]}))
            flat.update(
                flatten(
                    {field: value[field] for field in value if field != mark}, prefix=f"{name}."
                )
            )
        elif value is None or isinstance(value, bool | int | float | str):
            flat[name] = _plain(value)
        else:
            flat[name] = json.dumps(value, default=str)
    return flat


def _plain(value: bool | float | str | None) -> Value:
    """Return a value of exactly a built-in type (YAML readers give subclasses that remember how
    they were written)."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return bool(value) if type(value).__name__ == "ScalarBoolean" else kind(value)
    return None


_ENTRY = re.compile(r"([A-Za-z_][\w./-]*):(?: +(\S.*))?")
_PLAIN = re.compile(r"[A-Za-z_/+-]?[\w./+=,()-][\w./ +=,()-]*|[A-Za-z]")
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)")
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d+)?")
_UNUSUAL = re.compile(
    r"[+-]?(0\d.*|0[xob].*|\d[\d_]*_[\d_.]*|\.[a-zA-Z].*|\d+(:\d+)+|\d{4}-\d\d?-\d\d?.*)|-|\?.*"
)
"""Scalars that YAML reads as something else than text or a plain number."""

Scalar = int | float | str | bool | None


class _NotPlain(Exception):
    pass


def read_yaml(text: str) -> Any:
    """Return what YAML says; tags such as `!!python/object` give plain values, never objects."""
    try:
        return _plain_yaml(text)
    except _NotPlain:
        pass
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="rt", pure=True).load(text)
    except YAMLError as error:
        raise RunslotError(
            f"is not YAML ({str(error).splitlines()[0]}); its hyperparameters are left out"
        ) from error


def scalar(text: str) -> Scalar:
    """Return a number or a truth value where a text is one, else the text."""
    if text in {"true", "True", "false", "False"}:
        return text in {"true", "True"}
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _plain_yaml(text: str) -> Any:
    """Read nested mappings of plain scalars and lists of them; raises `_NotPlain` for anything
    else."""
    lines = [
        (len(line) - len(line.lstrip(" ")), line.strip())
        for line in text.splitlines()
        if line.strip()
    ]
    value, end = _block(lines, 0, lines[0][0]) if lines else ({}, 0)
    if end < len(lines):
        raise _NotPlain
    return value


def _block(lines: list[tuple[int, str]], start: int, indent: int) -> tuple[Any, int]:
    """Return the mapping or the list whose first line is `start`, and the line after it."""
    end = start
    if lines[start][1].startswith("- "):
        items = []
        while end < len(lines) and lines[end][0] == indent and lines[end][1].startswith("- "):
            items.append(_value(lines[end][1][2:].strip()))
            end += 1
        return items, end
    mapping: dict[str, Any] = {}
    while end < len(lines) and lines[end][0] == indent and not lines[end][1].startswith("- "):
        entry = _ENTRY.fullmatch(lines[end][1])
        if entry is None or entry[1] in mapping:
            raise _NotPlain
        end += 1
        is_deeper = end < len(lines) and (
            lines[end][0] > indent or (lines[end][0] == indent and lines[end][1].startswith("- "))
        )
        if entry[2] is not None:
            mapping[entry[1]] = _value(entry[2])
        elif is_deeper:
            mapping[entry[1]], end = _block(lines, end, lines[end][0])
        else:
            mapping[entry[1]] = None
    return mapping, end


def _value(text: str) -> Any:
    if text in {"{}", "[]"}:
        return {} if text == "{}" else []
    if text in {"null", "~", "Null", "NULL"}:
        return None
    if text[0] == "[" and text[-1] == "]":
        return [_value(part.strip()) for part in text[1:-1].split(",")]
    if not _PLAIN.fullmatch(text) or _UNUSUAL.fullmatch(text):
        raise _NotPlain
    return text.lower() == "true" if text.lower() in {"true", "false"} else scalar(text)
