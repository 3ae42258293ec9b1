"""What was said of a sweep: the values of its words, and where each was said, for refusals that
name the place.

Pure. `sweep_file` and `arguments` make one, `build` reads it; which words there are stands in
`options`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from runslot.cli.kinds import Word
from runslot.cli.options import GROUPS, WORDS
from runslot.errors import InvalidInput, nearest
from runslot.variants.config import KeyPath, dotted, split_key

_ALONE = {"container": "image", "code": "git"}
"""Which key of a word is meant where text stands for all of them."""

PYTHONS = ("python", "uv", "conda")
"""Words that say which Python the runs have: one of them at most."""

SPACES = ("grid", "zip", "sample", "search")
"""Words whose keys are the variant's."""


@dataclass
class Words:
    """What was said of a sweep, and where."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    """By path of keys: `sweep.yaml, line 7`, `--timeout`; the empty path is the whole."""
    notes: list[str] = field(default_factory=list)
    """What should be said before anything starts: values that may be meant otherwise than they are
    read.
    """

    def say(self, path: KeyPath, value: Any, origin: str) -> None:
        """Set one word, or one key of `resources` or of a space, in place of what was said
        before.
        """
        if len(path) == 1:
            self.values[path[0]] = value
        else:
            inside = self.values.setdefault(path[0], {})
            # the image alone, the repository alone
            if path[0] in _ALONE and isinstance(inside, str):
                inside = self.values[path[0]] = {_ALONE[path[0]]: inside}
            if not isinstance(inside, dict):
                raise InvalidInput(
                    f"{self.origin(path[:1])}{path[0]} has no keys, so {origin} cannot change one"
                )
            key = dotted(path[1:])
            if path[0] in SPACES and key not in inside:
                _forget(inside, split_key(key))
            inside[key] = value
        self.origins = {
            key: where for key, where in self.origins.items() if key[: len(path)] != path
        }
        self.origins[path] = origin

    def origin(self, path: KeyPath) -> str:
        """Return where the key was said, as the beginning of a message; empty where that is not
        known.
        """
        for length in range(len(path), -1, -1):
            if path[:length] in self.origins:
                return f"{self.origins[path[:length]]}: "
        return ""

    @contextmanager
    def at(self, *path: str) -> Iterator[None]:
        """Begin the refusals of what is inside with where the key was said."""
        try:
            yield
        except InvalidInput as error:
            raise InvalidInput(f"{self.origin(path)}{error}") from error

    def read(self) -> dict[str, Any]:
        """Return the values as `Experiment` takes them; refuse unknown keys and values of the wrong
        kind.
        """
        values = self._read((), self.values, WORDS)
        for group in ("resources", "code", "container"):
            if group in values:
                values[group] = self._read((group,), values[group], GROUPS[group])
        if "container" in values and "image" not in values["container"]:
            raise InvalidInput(f"{self.origin(('container',))}container: it needs an image")
        return values

    def _read(
        self, above: KeyPath, values: Mapping[str, Any], words: Mapping[str, Word]
    ) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for key, value in values.items():
            path = (*above, str(key))
            if key not in words:
                hint = nearest(str(key), words) or f"; known are {', '.join(words)}"
                raise InvalidInput(f"{self.origin(path)}unknown key {key!r}{hint}")
            try:
                read[key] = words[key].kind.read(value)
            except InvalidInput as error:
                raise InvalidInput(f"{self.origin(path)}{dotted(path)}: {error}") from None
        return read


def _forget(settings: dict[str, Any], path: KeyPath) -> None:
    """Drop the key at `path`, whether it is nested by dots or by levels."""
    for key in list(settings):
        parts = split_key(key)
        if parts == path:
            del settings[key]
        elif parts == path[: len(parts)] and isinstance(settings[key], dict):
            _forget(settings[key], path[len(parts) :])
            if not settings[key]:
                del settings[key]
