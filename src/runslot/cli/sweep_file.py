"""Sweep files: YAML 1.2 (so that `1e-3` is a number) or JSON, read into words with the line of
each.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.cli.build import Words
from runslot.errors import InvalidInput, NotFound, nearest, said_of_system
from runslot.experiment.settings import path_of
from runslot.variants.near_miss import doubt, refuse_near_miss
from runslot.variants.variant import KeyPath, dotted

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

SUFFIXES = (".yaml", ".yml", ".json")


def read_sweep_file(path: Path, in_clone: bool = False) -> Words:
    """Return what a sweep file says; `InvalidInput` names the line. Its own paths become absolute.

    `function: file.py:name` and `root` are relative to the file's directory; a command runs in the
    caller's working directory, as it would when it is typed. With `in_clone`, as where the file
    names a repository, the function is relative to that.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = nearest(
            path.name, [file.name for file in path.parent.glob("*") if file.suffix in SUFFIXES]
        )
        raise NotFound(f"there is no sweep file {path}{near}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"the sweep file {path} cannot be read, it is not UTF-8 text: {error}"
        ) from error
    except OSError as error:
        raise InvalidInput(f"the sweep file cannot be read: {said_of_system(error)}") from error
    values, origins, notes = _parse(text, path)
    if not isinstance(values, dict):
        raise InvalidInput(
            f"{path} is no sweep file: it holds no `key: value`, such as `function: train.py:train`"
        )
    code = values.get("code")
    in_clone = in_clone or isinstance(code, str) or (isinstance(code, dict) and "git" in code)
    return Words(_anchored(values, path.parent, in_clone), {(): str(path), **origins}, notes)


def _parse(text: str, path: Path) -> tuple[Any, dict[KeyPath, str], list[str]]:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    is_json = path.suffix == ".json"
    kind = "JSON" if is_json else "YAML"
    try:
        walk = _YamlWalk(path)
        values = walk.read(text, is_json)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = error.problem or error.context
        raise InvalidInput(f"{path}{line}: not {kind}: {problem}{_hint(text, mark)}") from error
    except YAMLError as error:
        raise InvalidInput(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise InvalidInput(f"{path} is nested too deeply") from None
    except InvalidInput:
        raise
    # the YAML library has many for values that do not fit their tags, as `!!int a`
    except Exception as error:
        raise InvalidInput(f"{path}: not {kind}: {type(error).__name__}: {error}") from error
    _refuse_dates(values, (), lambda where: _line_of(walk.origins, where))
    return values, walk.origins, walk.notes


def _hint(text: str, mark: Any) -> str:
    lines = text.split("\n") if mark is not None else []
    line = lines[mark.line][:_LONGEST_LINE] if lines and mark.line < len(lines) else ""
    return (
        "; indent with spaces, not tabs"
        if "\t" in line
        else f" ({line.strip()!r})"
        if line.strip()
        else ""
    )


_LONGEST_LINE = 200
"""Characters of a line that a refusal repeats."""
NODES_LIMIT = 2_000_000
"""Values that a sweep file may have, aliases written out; more is a file whose aliases multiply."""
BRACKETS_LIMIT = 300
"""Brackets inside brackets; Python gives up at about as many."""
_TAG = "tag:yaml.org,2002:"


class _YamlWalk:
    """Goes once through a file's nodes: where each key stands, and which values read almost like
    something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origins: dict[KeyPath, str] = {}
        self.notes: list[str] = []
        self._nodes = 0
        self._above: set[int] = set()

    def read(self, text: str, is_json: bool) -> Any:
        """Return the file's values; the YAML library's and JSON's own errors where it is
        neither.
        """
        from ruamel.yaml import YAML

        self._refuse_deep(text)
        yaml = YAML(typ="safe", pure=True)
        # JSON is YAML, but for tabs, which in JSON are never part of a value
        node = yaml.compose(text.replace("\t", " ") if is_json else text)
        if node is not None:
            self._go(node, (), is_json)
        if is_json:
            return json.loads(text)
        return None if node is None else yaml.constructor.construct_document(node)

    def _refuse_deep(self, text: str) -> None:
        """Refuse brackets without end at once: the YAML library takes the square of their depth to
        fail.
        """
        depth = 0
        for bracket in re.findall(r"[\[\]{}]", text):
            depth = max(0, depth + (1 if bracket in "[{" else -1))
            if depth > BRACKETS_LIMIT:
                raise InvalidInput(
                    f"{self.path} is nested too deeply: it has more than {BRACKETS_LIMIT} open"
                    " brackets"
                )

    def _go(self, node: Node, where: KeyPath, is_json: bool) -> None:
        from ruamel.yaml.nodes import MappingNode, SequenceNode

        self._nodes += 1
        if self._nodes > NODES_LIMIT:
            raise InvalidInput(
                f"{self.path} has more than {NODES_LIMIT:,} values; its aliases multiply"
            )
        if id(node) in self._above:
            raise InvalidInput(
                f"{self._line(node)}: an alias stands inside what it stands for, without end"
            )
        self._above.add(id(node))
        if isinstance(node, SequenceNode):
            for number, item in enumerate(node.value):
                node.value[number] = self._value(item, (*where, str(number)), is_json)
        elif isinstance(node, MappingNode):
            self._mapping(node, where, is_json)
        self._above.remove(id(node))

    def _mapping(self, node: MappingNode, above: KeyPath, is_json: bool) -> None:
        first: dict[str, int] = {}
        for number, (key, value) in enumerate(node.value):
            name, line = str(key.value), key.start_mark.line + 1
            if name in first:
                raise InvalidInput(
                    f"{self.path}, line {line}: {name!r} stands there twice, first in line"
                    f" {first[name]}"
                )
            first[name] = line
            path = (*above, name)
            self.origins[path] = f"{self.path}, line {line}"
            node.value[number] = (key, self._value(value, path, is_json))

    def _value(self, node: Node, where: KeyPath, is_json: bool) -> Node:
        """Go through one value; Python's `None` without quotes is null, as on the command line."""
        from ruamel.yaml.nodes import ScalarNode

        if (
            isinstance(node, ScalarNode)
            and not is_json
            and where[0] in _OF_VARIANTS
            and node.style is None
        ):
            if node.value == "None":
                return ScalarNode(f"{_TAG}null", "null", node.start_mark, node.end_mark)
            self._look(node, where)
        self._go(node, where, is_json)
        return node

    def _look(self, node: ScalarNode, where: KeyPath) -> None:
        if where[0] in {"sample", "search"} and len(where) > 1 and "(" in node.value:
            return  # a distribution; `words` reads it
        try:
            refuse_near_miss(node.value)
        except InvalidInput as error:
            raise InvalidInput(f"{self._line(node)}: {dotted(where)}: {error}") from None
        if note := doubt(node.value):
            self.notes.append(f"{self._line(node)}: {note}")

    def _line(self, node: Node) -> str:
        return f"{self.path}, line {node.start_mark.line + 1}"


_OF_VARIANTS = ("grid", "zip", "sample", "search", "variants")
"""Words whose values are those of runs."""


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
        raise InvalidInput(
            f"{origin(where)}{'.'.join(where)} is {kind} to YAML; put it in quotes to have it as"
            " text"
        )


def _anchored(values: dict[str, Any], directory: Path, in_clone: bool) -> dict[str, Any]:
    anchored = dict(values)
    root = values.get("root")
    for key in ("function", "search"):
        function = values.get(key)
        file, colon, name = function.rpartition(":") if isinstance(function, str) else ("", "", "")
        if colon and not in_clone and (file.endswith(".py") or os.sep in file):
            anchored[key] = f"{(directory / path_of(file, key)).absolute()}:{name}"
    sources = values.get("from")
    sources = [sources] if isinstance(sources, str) else sources
    if isinstance(sources, list) and all(isinstance(source, str) for source in sources):
        anchored["from"] = [
            str((directory / path_of(source, "from")).absolute()) for source in sources
        ]
    if isinstance(root, str) and root:
        anchored["root"] = str((directory / path_of(root, "root")).absolute())
    for key in ("python", "uv", "conda"):
        value = values.get(key)
        if isinstance(value, str) and (os.sep in value or (key == "uv" and value)):
            anchored[key] = str((directory / path_of(value, key)).absolute())
    return anchored
