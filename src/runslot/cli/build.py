"""From words to an `Experiment`: what is missing or said twice is refused, the name is found, the
space is built.

`Words` are what was said of a sweep, and where each was said, for refusals that name the place:
`sweep_file` and `arguments` make them, `options` has the table of which there are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runslot.cli.kinds import Word
from runslot.cli.options import ALL_WORDS, GROUPS, WORDS, options_of
from runslot.errors import InvalidInput, nearest
from runslot.experiment.records import Container
from runslot.hardware.resources import Resources
from runslot.launch.experiment import Experiment
from runslot.launch.interpreter import active_environment, python_of_conda, python_of_uv
from runslot.variants import Space, Variant, canonical, flatten, grid, listed, sample, zipped
from runslot.variants.variant import KeyPath, dotted, split_key

if TYPE_CHECKING:
    from runslot.search.spec import Search

_INTERPRETER = re.compile(
    r"(python|pypy)[\d.]*|(ba|z|da)?sh|perl|ruby|node|julia|Rscript|env|uv|torchrun|accelerate"
)
"""Programs whose name says nothing of what they run."""

_SCRIPT = re.compile(r".+\.(py|sh|jl|R|rb|pl|js)")


def experiment_of(
    words: Words, into: Path | None = None, options: Mapping[str, Any] | None = None
) -> Experiment:
    """Return the experiment that the words ask for; `InvalidInput` says what to change and where it
    was said.

    `options` are those of the command line, by their names: some of them are no words of a sweep
    file.
    """
    values = words.read()
    function, command = values.get("function"), values.get("command")
    if (function is None) == (command is None):
        problem = (
            "both a function and a command are given; keep one"
            if function
            else "nothing says what to run"
        )
        raise InvalidInput(
            f"{words.origin(('command',))}{problem}: a function (file.py:name) or a command"
        )
    container = Container(**values["container"]) if "container" in values else None
    with words.at("resources"):
        resources = Resources(**values.get("resources", {}))
    experiment = Experiment(
        name=_name(values, into),
        work=values["function" if command is None else "command"],
        variants=_space(values, words),
        search=search_of(values, words),
        resources=resources,
        into=into,
        container=container,
        **_fields(values, options or {}),
    )
    return with_python(experiment, values, words)


def _fields(values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an `Experiment` that are given as they are, as the table has them."""
    fields: dict[str, Any] = {}
    for word in ALL_WORDS.values():
        group, dot, key = word.key.partition(".")
        inside = values.get(group, {}) if dot else values
        if word.field and (key or group) in inside:
            fields[word.field] = inside[key or group]
    for option in options_of("run"):
        if option.field and options.get(option.name):
            fields[option.field] = options[option.name]
    return fields


def with_python(experiment: Experiment, values: Mapping[str, Any], words: Words) -> Experiment:
    """Return the experiment with the Python that was asked for, or for a function with the active
    environment's.
    """
    keys = [key for key in PYTHONS if values.get(key) is not None]
    if len(keys) > 1:
        raise InvalidInput(
            f"{words.origin((keys[1],))}{' and '.join(keys)} both say which Python; keep one"
        )
    if not keys and ("function" not in values or active_environment(os.environ) is None):
        return experiment
    launcher = experiment.launcher()
    elsewhere = experiment.container is not None or (launcher is not None and launcher.moves)
    if not keys:
        return (
            experiment if elsewhere else replace(experiment, python=active_environment(os.environ))
        )
    key, value = keys[0], values[keys[0]]
    if key == "python":
        return replace(experiment, python=value)
    with words.at(key):
        if elsewhere:
            where = (
                "in the image" if experiment.container is not None else f"where {experiment.on} is"
            )
            raise InvalidInput(
                f"{key} finds an environment of this machine; name the interpreter {where} with"
                " --python"
            )
        return replace(experiment, python=(python_of_uv if key == "uv" else python_of_conda)(value))


def _space(values: Mapping[str, Any], words: Words) -> Space | None:
    if ("sample" in values) != ("samples" in values):
        word, missing = ("sample", "samples") if "sample" in values else ("samples", "sample")
        advice = (
            "say how many variants it draws" if word == "sample" else "say what they are drawn from"
        )
        raise InvalidInput(f"{words.subject(word)} needs {missing}: {advice}")
    spaces: list[Space] = []
    for key, make in (("variants", listed), ("grid", grid), ("zip", zipped)):
        if key in values:
            with words.at(key):
                spaces.append(make(values[key]))
    if "sample" in values:
        with words.at("sample"):
            spaces.append(sample(values["sample"], values["samples"]))
    space = reduce(mul, spaces) if spaces else None
    return narrowed(space, values, words) if "where" in values or "exclude" in values else space


def _name(values: Mapping[str, Any], into: Path | None) -> str:
    if "name" in values:
        return str(values["name"])
    if "function" in values:
        where, _, name = values["function"].rpartition(":")
        return (
            Path(where).stem
            if where.endswith(".py") or os.sep in where
            else where.rpartition(".")[2] or name
        )
    name = script_name(values["command"])
    if name is None and into is None:
        raise InvalidInput(
            "the command has no script to name the experiment after: add --name NAME"
        )
    return name or into.name  # type: ignore[union-attr]  # one of them is there, as just seen


def script_name(argv: Sequence[str]) -> str | None:
    """Return the name of the script or module that a command runs: `train` for `python -u train.py
    --lr 1`.
    """
    program = Path(argv[0]).name
    if not _INTERPRETER.fullmatch(program):
        return Path(program).stem or None
    for number, argument in enumerate(argv[1:], 1):
        if argument in {"-c", "-e"}:
            inside = (
                argv[number + 1].split()
                if number + 1 < len(argv) and program.endswith("sh")
                else []
            )
            return next((Path(word).stem for word in inside if _SCRIPT.fullmatch(word)), None)
        if argument == "-m" and number + 1 < len(argv):
            return argv[number + 1].rpartition(".")[2]
        if _SCRIPT.fullmatch(argument):
            return Path(argument).stem
    return None


def narrowed(space: Space | None, values: Mapping[str, Any], words: Words) -> Space:
    """Return the variants of the space that are meant; `InvalidInput` where none is left, or a key
    is unknown.
    """
    word = "where" if "where" in values else "exclude"
    if space is None:
        raise InvalidInput(
            f"{words.subject(word)} chooses among variants, and there are none: use --grid"
        )
    variants = list(space)
    mask = [True] * len(variants)
    if "exclude" in values:
        with words.at("exclude"):
            mask = _not_excluded(values["exclude"], variants)
    if "where" in values:
        with words.at("where"):
            mask = [
                keep and meets
                for keep, meets in zip(mask, _mask(values["where"], variants), strict=True)
            ]
    if not any(mask):
        raise InvalidInput(f"{words.subject(word)} leaves none of {len(variants)} variants")
    remaining = {canonical(variant) for variant, keep in zip(variants, mask, strict=True) if keep}
    return space.where(lambda variant: canonical(variant) in remaining)


def _has(variant: Variant, part: Mapping[str, Any]) -> bool:
    flat, values = flatten(variant), flatten(part)
    return all(
        key in flat and canonical(flat[key]) == canonical(value) for key, value in values.items()
    )


def _not_excluded(parts: Sequence[Mapping[str, Any]], variants: Sequence[Variant]) -> list[bool]:
    keys = {key for variant in variants for key in flatten(variant)}
    mask = [True] * len(variants)
    for part in parts:
        for key in flatten(part):
            if key not in keys:
                raise InvalidInput(f"no variant has the key {key!r}{nearest(key, keys)}")
        excluded = [_has(variant, part) for variant in variants]
        if not any(excluded):
            raise InvalidInput(f"no variant has {dict(part)}: nothing would be left out")
        mask = [keep and not out for keep, out in zip(mask, excluded, strict=True)]
    return mask


def _mask(condition: str, variants: Sequence[Variant]) -> list[bool]:
    import polars as pl

    from runslot.results.where import condition as read_condition

    rows = [{key: _cell(value) for key, value in flatten(variant).items()} for variant in variants]
    columns = dict.fromkeys(key for row in rows for key in row)
    frame = pl.DataFrame(
        {key: pl.Series(key, [row.get(key) for row in rows], strict=False) for key in columns}
    )
    meets = frame.select(read_condition(condition, frame.schema)).to_series()
    return [value is True for value in meets.to_list()]


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


# ---- what was said -------------------------------------------------------------------------------


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
                if path[0] == "search":
                    raise InvalidInput(
                        f"{self.origin(path[:1])}a space is one function, or keys with what each is"
                        f" drawn from: leave one of it and {origin} out"
                    )
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

    def named(self, path: KeyPath) -> str:
        """Return a key and where it was said, as the beginning of a message: `--timeout: `, which
        says both, `sweep.yaml, line 7: timeout: `.
        """
        option = self.origins.get(path, "")
        is_option = option.startswith("-") and " " not in option
        return f"{option}: " if is_option else f"{self.origin(path)}{dotted(path)}: "

    def subject(self, word: str) -> str:
        """Return the same of a word as the subject of a sentence."""
        return self.named((word,)).removesuffix(": ")

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
            raise InvalidInput(f"{self.named(('container',))}it needs an image")
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
                raise InvalidInput(f"{self.named(path)}{error}") from None
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
    for word, advice in (
        ("metric", "what is to become best, --metric accuracy"),
        ("mode", "which way is better, --mode max (or min)"),
    ):
        if word not in values:
            raise InvalidInput(f"{words.subject(first)} needs {word}: say {advice}")
    from runslot.search.spec import Search

    fields = {field: values[word] for word, field in _FIELDS.items() if word in values}
    try:
        search = Search(values["metric"], values["mode"], **fields)
    except InvalidInput as error:  # which names the field that it refuses
        named = str(error).partition(" ")[0]
        word = next((word for word, field in _FIELDS.items() if field == named), named)
        subject = words.subject(word) if word in values else named
        raise InvalidInput(f"{subject}{str(error).removeprefix(named)}") from None
    if search.words():
        from runslot.search.space import parse_space

        with words.at("search"):
            parse_space(search.words())
    return search
