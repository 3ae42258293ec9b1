"""The words of a sweep: one table of keys, each with what it takes, for sweep files, the command line and the schema.

Pure: a `Words` holds values and where each was said, so that a refusal names the file's line or the option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, get_args

from runslot.cli.quantities import MEMORY, TIME, parse_memory, parse_seconds
from runslot.errors import InvalidInput, nearest
from runslot.hardware.resources import Avoid, Threads
from runslot.launch.experiment import SNAPSHOT_MODES, STARTS
from runslot.launch.shell import refuse_shell
from runslot.transport.patterns import check_patterns
from runslot.variants.config import KeyPath, dotted, split_key
from runslot.variants.parse import SEED_LIMIT, parse_sample, parse_seeds


@dataclass(frozen=True)
class Word:
    """A key: what it means, the JSON Schema of its values, and how one is read."""

    said: str
    schema: Mapping[str, Any]
    read: Callable[[Any], Any]
    """Returns the value as `Experiment` takes it; `InvalidInput` says what it must be."""


def _text(said: str) -> Word:
    return Word(said, {"type": "string", "minLength": 1}, _read_text)


def _whole(said: str, least: int) -> Word:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value < 2**63:
            raise InvalidInput(f"must be a whole number, {least} or more, not {value!r:.40}")
        return value

    return Word(said, {"type": "integer", "minimum": least}, read)


def _time(said: str) -> Word:
    forms = [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": f"^{TIME}$"}]
    return Word(said, {"anyOf": forms}, parse_seconds)


def _memory(said: str) -> Word:
    forms = [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{MEMORY}$"}]
    return Word(said, {"anyOf": forms}, parse_memory)


def _one_of(said: str, *choices: str) -> Word:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise InvalidInput(f"must be one of {', '.join(choices)}, not {value!r}{nearest(str(value), choices)}")
        return str(value)

    return Word(said, {"enum": list(choices)}, read)


def _yes_or_no(said: str) -> Word:
    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InvalidInput(f"must be true or false, not {value!r}")
        return value

    return Word(said, {"type": "boolean"}, read)


def _settings(said: str) -> Word:
    return Word(said, {"type": "object"}, _read_settings)


def _read_text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"must be text, not {value!r}")
    return value


def _read_settings(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"must be settings by key, as in `lr: [0.1, 0.01]`, not {value!r}")
    for key in value:
        if not isinstance(key, str):
            raise InvalidInput(f"the key {key!r} is not text: put it in quotes")
    return value


def _read_variants(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value:
        raise InvalidInput(f"must be a list of settings by key, not {value!r}")
    for number, each in enumerate(value, 1):
        try:
            _read_settings(each)
        except InvalidInput as error:
            raise InvalidInput(f"item {number}: {error}") from None
    return value


def _read_command(value: Any) -> list[str]:
    import shlex

    if isinstance(value, str):
        if problem := refuse_shell(value):
            raise InvalidInput(problem)
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise InvalidInput(f"must be a command, but {value!r} cannot be split: {error}") from None
    if not isinstance(value, list) or not value:
        raise InvalidInput(f"must be a command: text, or a list of its arguments, not {value!r}")
    for each in value:
        if isinstance(each, bool) or not isinstance(each, (str, int, float)):
            raise InvalidInput(f"must be a list of texts and numbers; put {each!r} in quotes")
    return [str(each) for each in value]


def _read_sample(value: Any) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for key, how in _read_settings(value).items():
        if isinstance(how, str):
            drawn[key] = parse_sample(f"{key}={how}")[1]
        elif isinstance(how, list):
            drawn[key] = how
        else:
            raise InvalidInput(f"must draw {key} from a list or a distribution, as loguniform(1e-5, 1e-1), not {how!r}")
    return drawn


def _read_seeds(value: Any) -> int | list[int]:
    if isinstance(value, str):
        return parse_seeds(value)
    if type(value) is int and 1 <= value <= SEED_LIMIT:
        return value
    if isinstance(value, list) and value and all(type(each) is int for each in value):
        return value
    raise InvalidInput(f"must be a number of seeds, or a list of them, or text such as 0-9, not {value!r}")


_COMMAND = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1},
    ]
}
_SEEDS = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "array", "items": {"type": "integer"}, "minItems": 1, "uniqueItems": True},
        {"type": "string", "pattern": r"^\s*\d+(\s*-?\s*\d+|\s*,\s*\d+)*,?\s*$"},
    ]
}
_SAMPLE = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"type": "array", "minItems": 1},
            {"type": "string", "pattern": r"^\s*(uniform|loguniform|integers|choice)\s*\(.*\)\s*$"},
        ]
    },
}

RESOURCES: Mapping[str, Word] = {
    "cpus": _whole("Cores a run.", 1),
    "gpus": _whole("GPUs a run; 0 hides the machine's GPUs from it.", 0),
    "runs_per_gpu": _whole("Runs that share each GPU at the same time.", 1),
    "memory": _memory("Memory that the processes of a run may hold together: bytes, or `8GB`, `512MiB`."),
    "cpus_per_worker": _whole("Cores of one worker process, for samplers that read `workers_cpus`.", 1),
    "threads": _one_of("Hardware threads of its cores that a run gets.", *get_args(Threads)),
    "reserved_cpus": _whole("Cores of the machine that no run gets.", 0),
    "avoid_busy": _one_of("What is left alone when processes without a lease use it.", *get_args(Avoid)),
}
"""The keys of `resources`."""


def _texts(said: str) -> Word:
    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise InvalidInput(f"must be a list of texts, not {value!r}")
        return tuple(value)

    return Word(said, {"type": "array", "items": {"type": "string"}}, read)


CONTAINER: Mapping[str, Word] = {
    "image": _text("The image that runs execute in; it has Python 3.10 or newer."),
    "engine": _one_of("What runs it.", "docker", "podman", "apptainer"),
    "mounts": _texts(
        "Further directories, at the same path inside: `/data`, read-only `/data:ro`, elsewhere `/data:/mnt`."
    ),
    "options": _texts("Further options of the engine's run command, as they are."),
    "python": _text("The interpreter inside; else `python3`."),
    "environment": _texts("Names of variables that go in."),
}
"""The keys of `container`."""


def _patterns(said: str) -> Word:
    forms = [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string", "minLength": 1}}]
    return Word(said, {"anyOf": forms}, lambda value: check_patterns(value, "patterns"))


CODE: Mapping[str, Word] = {
    "git": _text("The code is a clone of this git repository, `URL@REF`; the paths of what to run lie in it."),
    "include": _patterns("Where code is copied, only these files; a plain path is taken though git ignores it."),
    "exclude": _patterns("Where code is copied, not these files."),
}
"""The keys of `code`."""
_CODE = {
    "type": "object",
    "properties": {key: {"description": word.said, **word.schema} for key, word in CODE.items()},
    "additionalProperties": False,
}


def _read_code(value: Any) -> Any:
    return {"git": value} if isinstance(value, str) and value else _read_settings(value)


def _read_container(value: Any) -> Any:
    return {"image": value} if isinstance(value, str) and value else _read_settings(value)


WORDS: Mapping[str, Word] = {
    "name": _text("The experiment's name, a directory below the root; else the function's file or the script."),
    "function": _text("What to run: `file.py:function` (relative to this file) or `package.module:function`."),
    "command": Word(
        "What to run: a command, `{key}` standing for the run's value; text, or a list of arguments.",
        _COMMAND,
        _read_command,
    ),
    "grid": _settings("Every combination: lists are choices, other values are fixed; keys nested by dots or levels."),
    "zip": _settings("Lists of one length that vary together; other values are fixed."),
    "sample": Word(
        "Drawn at random: `loguniform(1e-5, 1e-1)`, `uniform(0, 1)`, `integers(1, 9)`, or a list to choose from.",
        _SAMPLE,
        _read_sample,
    ),
    "samples": _whole("How many variants `sample` draws.", 1),
    "variants": Word(
        "Variants as they are, one dict each.",
        {"type": "array", "items": {"type": "object"}, "minItems": 1},
        _read_variants,
    ),
    "where": _text("A condition that variants must meet, as in `lr < 0.1 AND hidden = 32`."),
    "exclude": Word(
        "Variants to leave out: some of their values, or a list of such.",
        {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}, "minItems": 1}]},
        lambda value: _read_variants([value] if isinstance(value, Mapping) else value),
    ),
    "seeds": Word("How many seeds (0, 1, …), or which: a list, or text such as `0-9`.", _SEEDS, _read_seeds),
    "resources": Word("What each run gets of the machine.", {"type": "object"}, _read_settings),
    "on": _text("Where the runs go: the name of a launcher in runslot.toml, `local`, or `slurm`."),
    "container": Word(
        "The image that the runs execute in, or its settings.",
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "object", "required": ["image"]}]},
        _read_container,
    ),
    "python": _text("The Python of the runs: an interpreter, or its environment (relative to this file, with a /)."),
    "uv": Word(
        "The Python that `uv run` has in a project (relative to this file); true: in the working directory.",
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "boolean"}]},
        lambda value: {True: ".", False: None}[value] if isinstance(value, bool) else _read_text(value),
    ),
    "conda": _text("The Python of an environment of conda's, by its name or directory."),
    "root": _text("Where experiments go (relative to this file)."),
    "retries": _whole("How often a failed run is tried again.", 0),
    "backoff": _time("Time before the first retry, doubled for each further one."),
    "timeout": _time("Time that an attempt may take: seconds, or `10m`, `2h`."),
    "grace": _time("Time that a run has to end when it is asked to."),
    "max_failures": _whole("Start no further run after so many failed ones.", 1),
    "resumable": _yes_or_no("A further attempt continues in the same directory from its snapshot."),
    "start": _one_of("Whether functions start in a process forked from one that has imported them.", *STARTS),
    "snapshot_code": _yes_or_no("Run from a copy of the code, whatever is edited meanwhile."),
    "code": Word(
        "The code: a git repository, `URL@REF`, or which files of it are copied (`include`, `exclude`).",
        {"anyOf": [{"type": "string", "minLength": 1}, _CODE]},
        _read_code,
    ),
    "fetch": _patterns(
        "Of what runs write on other machines, only these files come home, and what tells how they went."
    ),
    "no_fetch": _patterns("Of what runs write on other machines, these files stay there."),
    "notify": Word(
        "URLs of services (of apprise) that are told of the end, and of the first failure.",
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}}]},
        lambda value: _texts("").read([value] if isinstance(value, str) else value),
    ),
    "snapshot_mode": _one_of("Which snapshots the logger keeps.", *SNAPSHOT_MODES),
    "env": _settings("Variables of the runs' environment, on top of the caller's."),
    "plain_names": _yes_or_no("Name directories as `lr-0.1/run_0`, which Hydra, make and a shell read as it stands."),
    "metrics": _text("Where runs that do not log through runslot have metrics: `auto`, `none`, a file, or a pattern."),
    "snapshot_gap": _whole("Iterations from one kept snapshot to the next.", 1),
}
"""The keys of a sweep file."""

_ALONE = {"container": "image", "code": "git"}
"""Which key of a word is meant where text stands for all of them."""

PYTHONS = ("python", "uv", "conda")
"""Words that say which Python the runs have: one of them at most."""

SPACES = ("grid", "zip", "sample")
"""Words whose keys are the variant's."""


@dataclass
class Words:
    """What was said of a sweep, and where."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    """By path of keys: `sweep.yaml, line 7`, `--timeout`; the empty path is the whole."""
    notes: list[str] = field(default_factory=list)
    """What should be said before anything starts: values that may be meant otherwise than they are read."""

    def say(self, path: KeyPath, value: Any, origin: str) -> None:
        """Set one word, or one key of `resources` or of a space, in place of what was said before."""
        if len(path) == 1:
            self.values[path[0]] = value
        else:
            inside = self.values.setdefault(path[0], {})
            if path[0] in _ALONE and isinstance(inside, str):  # the image alone, the repository alone
                inside = self.values[path[0]] = {_ALONE[path[0]]: inside}
            if not isinstance(inside, dict):
                raise InvalidInput(f"{self.origin(path[:1])}{path[0]} has no keys, so {origin} cannot change one")
            key = dotted(path[1:])
            if path[0] in SPACES and key not in inside:
                _forget(inside, split_key(key))
            inside[key] = value
        self.origins = {known: where for known, where in self.origins.items() if known[: len(path)] != path}
        self.origins[path] = origin

    def origin(self, path: KeyPath) -> str:
        """Return where the key was said, as the beginning of a message; empty where that is not known."""
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
        """Return the values as `Experiment` takes them; refuse unknown keys and values of the wrong kind."""
        values = self._read((), self.values, WORDS)
        if "resources" in values:
            values["resources"] = self._read(("resources",), values["resources"], RESOURCES)
        if "code" in values:
            values["code"] = self._read(("code",), values["code"], CODE)
        if "container" in values:
            values["container"] = self._read(("container",), values["container"], CONTAINER)
            if "image" not in values["container"]:
                raise InvalidInput(f"{self.origin(('container',))}container: it needs an image")
        return values

    def _read(self, above: KeyPath, values: Mapping[str, Any], words: Mapping[str, Word]) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for key, value in values.items():
            path = (*above, str(key))
            if key not in words:
                known = nearest(str(key), words) or f"; known are {', '.join(words)}"
                raise InvalidInput(f"{self.origin(path)}unknown key {key!r}{known}")
            try:
                read[key] = words[key].read(value)
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
