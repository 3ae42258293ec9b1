"""The text of configurations, most of which is the same in all jobs of a multirun.

Hydra saves three files for each job, whose text PyYAML makes in Python: a fifth of what a job takes
that does nothing. `job` has the text of every key kept, in the template that the jobs are forked
from. What must stay true: the text is PyYAML's own, to the byte. It is, since in block style the
text of a mapping is that of its keys, one after another, and depends on how deep they are alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import omegaconf.omegaconf
import yaml
from omegaconf import OmegaConf

_PLAIN = frozenset({str, int, float, bool, type(None)})
_LONGEST_KEY = 60
"""Characters; from twice as many on, a key has a style of its own."""
_MOST_NEW = 12
"""Parts that are made alone; with more, it is faster to make all the text anew."""
_OPEN = "{"
"""Stands for the value of a key whose own keys follow; no value's `repr` is so."""

Part = tuple[int, Any, Any]
"""How deep a key is, the key, and its value; `_OPEN` where its own keys are parts that follow."""


class _Odd(Exception):
    """What is more than the sum of its keys: an object that stands twice is an alias."""


class YamlParts:
    """Stands for the module `yaml` where omegaconf writes, and keeps what `dump` makes."""

    def __init__(self) -> None:
        self._options: dict[str, Any] = {}
        self._texts: dict[tuple[int, str, str], str] = {}
        self._most_new = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(yaml, name)

    def learn(self, config: Any) -> None:
        """Keep the parts of a configuration that is like those to come."""
        self._most_new = 1 << 20
        try:
            with self.in_use():
                OmegaConf.to_yaml(config)
        finally:
            self._most_new = _MOST_NEW

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Have omegaconf write so."""
        module: Any = omegaconf.omegaconf
        module.yaml = self
        try:
            yield
        finally:
            module.yaml = yaml

    def dump(self, data: Any, stream: Any = None, **options: Any) -> Any:
        """Return, or write, what `yaml.dump` does."""
        text = None if stream is not None else self._sum(data, options)
        return yaml.dump(data, stream, **options) if text is None else text

    def _sum(self, data: Any, options: dict[str, Any]) -> str | None:
        """Return the text by its parts; None where that is slower, or might be another text."""
        if type(data) is not dict or options.get("sort_keys") is not False:
            return None
        if options.get("default_flow_style") is not False or not data or not self._most_new:
            return None
        self._options = self._options or options
        try:
            parts = [(_name(part), part) for part in _parts(data, 0, set())]
        except _Odd:
            return None
        new = {name: part for name, part in parts if name not in self._texts}
        if self._options != options or len(new) > self._most_new:
            return None
        for name, part in new.items():
            self._texts[name] = self._text(*part)
        return "".join(self._texts[name] for name, _ in parts)

    def _text(self, depth: int, key: Any, value: Any) -> str:
        nested = {key: {key: None} if value is _OPEN else value}
        for _ in range(depth):
            nested = {"above": nested}
        text = str(yaml.dump(nested, **self._options)).split("\n", depth)[depth]
        return text.partition("\n")[0] + "\n" if value is _OPEN else text


def _name(part: Part) -> tuple[int, str, str]:
    depth, key, value = part
    return depth, repr(key), _OPEN if value is _OPEN else repr(value)


def _parts(data: dict[Any, Any], depth: int, visited: set[int]) -> Iterator[Part]:
    """Yield the parts of a mapping; `_Odd` where it is more than these."""
    for key, value in data.items():
        if type(value) is dict and value and type(key) is str and _is_simple(key):
            _visit(value, visited)
            yield depth, key, _OPEN
            yield from _parts(value, depth + 1, visited)
        else:
            _check(key, visited)
            _check(value, visited)
            yield depth, key, value


def _is_simple(key: str) -> bool:
    return 0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()


def _check(value: Any, visited: set[int]) -> None:
    """Raise `_Odd` for what PyYAML writes otherwise where it has it twice."""
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is dict:
        _visit(value, visited)
        for key, item in value.items():
            _check(key, visited)
            _check(item, visited)
    elif kind is list:
        _visit(value, visited)
        for item in value:
            _check(item, visited)
    else:
        raise _Odd


def _visit(value: Any, visited: set[int]) -> None:
    if id(value) in visited:
        raise _Odd
    visited.add(id(value))
