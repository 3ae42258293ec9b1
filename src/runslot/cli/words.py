"""What was said of a sweep: the values of its words, and where each was said, for refusals that
name the place.

Pure. `sweep_file` and `arguments` make one, `build` reads it; which words there are stands in
`options`.

From words to a `Search`, which `build` asks for; what a search was after, for who compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runslot.cli.kinds import Word
from runslot.cli.options import GROUPS, WORDS
from runslot.errors import InvalidInput, nearest
from runslot.variants.config import KeyPath, dotted, split_key

if TYPE_CHECKING:
    from runslot.search.spec import Search


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


# ---- words of a search ---------------------------------------------------------------------------


_FIELDS: Mapping[str, str] = {
    "trials": "trials", "sampler": "sampler", "prune": "prune", "test_seeds": "test_seeds",
    "budget": "budget", "from": "sources", "by": "judged", "over": "over_seeds", "step": "step",
    "within": "within", "search": "space",
}  # fmt: skip
"""By word of a sweep file, the field of `Search` that it sets."""

_SEARCH_WORDS = (*_FIELDS, "metric", "mode")


def search_of(values: Mapping[str, Any], words: Words) -> Search | None:
    """Return the search that the words ask for; None where none of them is of one."""
    present = [word for word in _SEARCH_WORDS if word in values]
    race = values.get("seeds") if isinstance(values.get("seeds"), str) else None
    if not present and race is None:
        return None
    first = present[0] if present else "seeds"
    for word, example in (("metric", "--metric accuracy"), ("mode", "--mode max (or min)")):
        if word not in values:
            raise InvalidInput(
                f"{words.origin((first,))}{first} needs {word}: say what is to become best,"
                f" {example}"
            )
    from runslot.search.spec import Search

    fields = {field: values[word] for word, field in _FIELDS.items() if word in values}
    try:
        search = Search(values["metric"], values["mode"], **fields)
    except InvalidInput as error:  # which names the field that it refuses
        named = str(error).partition(" ")[0]
        word = next((word for word, field in _FIELDS.items() if field == named), named)
        raise InvalidInput(f"{words.origin((word,))}{error}") from None
    if search.words():
        from runslot.search.space import parse_space

        with words.at("search"):
            parse_space(search.words())
    return search
