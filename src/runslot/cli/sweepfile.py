"""Sweep files: YAML 1.2 (so that `1e-3` is a number) or JSON, read into words with the line of each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.cli.words import Words
from runslot.errors import InvalidInput, NotFound
from runslot.experiment.settings import path_of
from runslot.variants.config import KeyPath

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node

SUFFIXES = (".yaml", ".yml", ".json")


def read_sweep_file(path: Path) -> Words:
    """Return what a sweep file says; `InvalidInput` names the line. Its own paths become absolute.

    `function: file.py:name` and `root` are relative to the file's directory; a command runs in the caller's working
    directory, as it would when it is typed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"there is no sweep file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the sweep file {path} cannot be read: {error}") from error
    values, origins = _parse(text, path)
    if not isinstance(values, dict):
        raise InvalidInput(f"{path} is no sweep file: it holds no `key: value`, such as `function: train.py:train`")
    return Words(_anchored(values, path.parent), {(): str(path), **origins})


def _parse(text: str, path: Path) -> tuple[Any, dict[KeyPath, str]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    is_json = path.suffix == ".json"
    try:
        # JSON is YAML, but for tabs, which in JSON are never part of a value
        node = YAML(typ="safe", pure=True).compose(text.replace("\t", " ") if is_json else text)
        origins = dict(_origins(node, path)) if node is not None else {}
        values = json.loads(text) if is_json else YAML(typ="safe", pure=True).load(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        kind = "JSON" if is_json else "YAML"
        said = error.problem or error.context
        raise InvalidInput(f"{path}{line}: not {kind}: {said}{_hint(text, mark)}") from error
    except YAMLError as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from error
    _refuse_dates(values, (), lambda where: _line_of(origins, where))
    return values, origins


def _hint(text: str, mark: Any) -> str:
    line = text.splitlines()[mark.line] if mark is not None and mark.line < text.count("\n") + 1 else ""
    return "; indent with spaces, not tabs" if "\t" in line else f" ({line.strip()!r})" if line.strip() else ""


def _origins(node: Node, path: Path, above: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield where each key stands, down to the keys inside lists; refuse a key that stands twice."""
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    if isinstance(node, SequenceNode):
        for number, item in enumerate(node.value):
            yield from _origins(item, path, (*above, str(number)))
    elif isinstance(node, MappingNode):
        yield from _mapping_origins(node, path, above)


def _mapping_origins(node: MappingNode, path: Path, above: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    first: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in first:
            raise InvalidInput(f"{path}, line {line}: {name!r} stands there twice, first in line {first[name]}")
        first[name] = line
        yield (*above, name), f"{path}, line {line}"
        yield from _origins(value, path, (*above, name))


def _line_of(origins: dict[KeyPath, str], where: KeyPath) -> str:
    return Words({}, origins).origin(where)


def _refuse_dates(value: Any, where: KeyPath, origin: Callable[[KeyPath], str]) -> None:
    """Refuse what YAML has and a variant cannot: dates, bytes, sets; in quotes they are text."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_dates(item, (*where, str(key)), origin)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_dates(item, (*where, str(number)), origin)
    elif not isinstance(value, (str, int, float, type(None))):
        kind = "a date" if isinstance(value, date) else f"a value of type {type(value).__name__}"
        raise InvalidInput(f"{origin(where)}{'.'.join(where)} is {kind} to YAML; put it in quotes to have it as text")


def _anchored(values: dict[str, Any], directory: Path) -> dict[str, Any]:
    anchored = dict(values)
    function, root = values.get("function"), values.get("root")
    if isinstance(function, str):
        file, colon, name = function.rpartition(":")
        if colon and (file.endswith(".py") or os.sep in file):
            anchored["function"] = f"{(directory / path_of(file, 'function')).absolute()}:{name}"
    if isinstance(root, str) and root:
        anchored["root"] = str((directory / path_of(root, "root")).absolute())
    return anchored
