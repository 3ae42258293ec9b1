"""Kinds of values that a sweep file may hold: the JSON Schema of each, and how one is read.

`options` names one for every word of its table. What reads the larger ones (commands,
distributions, patterns) is loaded when a value of theirs is read: the table itself must stay quick
to load.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from runslot.errors import InvalidInput, nearest
from runslot.experiment.records import LONGEST_S
from runslot.record import record


@record
class Kind:
    """What a key takes: the JSON Schema of its values, and how one is read."""

    schema: Mapping[str, Any]
    read: Callable[[Any], Any]
    """Returns the value as `Experiment` takes it; `InvalidInput` says what it must be."""


_TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"\d+(?:\.\d+)?"
TIME_PATTERN = rf"(?:{_NUMBER}|(?:{_NUMBER}\s*[smhd]\s*)+)"
"""What a length of time matches, as text."""

_PREFIXES = ("", "k", "m", "g", "t", "p")
MEMORY_PATTERN = rf"{_NUMBER}\s*(?:[kKMGTP]i?)?B"
"""What an amount of memory matches, as text."""


def parse_seconds(value: Any) -> float:
    """Return a length of time in seconds: a number is seconds, text has units (`45s`, `10m`,
    `1h30m`, `2d`).
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= LONGEST_S else float("inf")
    elif isinstance(value, str) and re.fullmatch(TIME_PATTERN, value.strip()):
        parts = re.findall(rf"({_NUMBER})\s*([smhd]?)", value)
        seconds = sum(float(number) * _TIME_UNITS[unit or "s"] for number, unit in parts)
    else:
        raise InvalidInput(
            f"must be a length of time, such as 90 (seconds), 10m or 1h30m, not {value!r}"
        )
    if not 0 < seconds <= LONGEST_S:
        raise InvalidInput(
            f"must be a length of time above 0 and below a hundred years, not {value!r:.40}"
        )
    return seconds


def parse_memory(value: Any) -> int:
    """Return an amount of memory in bytes: a whole number is bytes, text has units (`8GB` = 8e9,
    `8GiB` = 8·2³⁰).
    """
    if isinstance(value, int) and not isinstance(value, bool):
        amount = float(value) if abs(value) < 2**63 else float("inf")
    elif isinstance(value, str) and (
        match := re.fullmatch(rf"({_NUMBER})\s*([kKMGTP]?)(i?)B", value.strip())
    ):
        number, prefix, binary = match.groups()
        amount = float(number) * (1024 if binary else 1000) ** _PREFIXES.index(prefix.lower())
    else:
        raise InvalidInput(f"must be an amount of memory, such as 8GB or 512MiB, not {value!r}")
    if not 1 <= amount < 2**63:
        raise InvalidInput(f"must be an amount of memory of at least 1B, not {value!r}")
    return int(amount)


def _read_amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e300:
        raise InvalidInput(f"must be a number of 0 or more, not {value!r:.40}")
    return float(value)


def whole(least: int, most: int | None = None) -> Kind:
    """Return the kind of whole numbers from `least` on, or to `most`."""
    bounds = f", {least} or more" if most is None else f" from {least} to {most}"

    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= (2**63 - 1 if most is None else most):
            raise InvalidInput(f"must be a whole number{bounds}, not {value!r:.40}")
        return value

    return Kind(
        {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most}), read
    )


def _read_sharers(value: Any) -> int | str:
    if value == "auto":
        return "auto"
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if type(number) is not int or not 1 <= number < 2**63:
        raise InvalidInput(f"must be a whole number, 1 or more, or auto, not {value!r:.40}")
    return number


def one_of(*choices: str) -> Kind:
    """Return the kind of a few words."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise InvalidInput(
                f"must be one of {', '.join(choices)}, not {value!r}{nearest(str(value), choices)}"
            )
        return str(value)

    return Kind({"enum": list(choices)}, read)


def _read_yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"must be true or false, not {value!r}")
    return value


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
    for number, item in enumerate(value, 1):
        try:
            _read_settings(item)
        except InvalidInput as error:
            raise InvalidInput(f"item {number}: {error}") from None
    return value


def _read_command(value: Any) -> list[str]:
    import shlex

    from runslot.launch.command import refuse_shell

    if isinstance(value, str):
        if problem := refuse_shell(value):
            raise InvalidInput(problem)
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise InvalidInput(
                f"must be a command, but {value!r} cannot be split: {error}"
            ) from None
    if not isinstance(value, list) or not value:
        raise InvalidInput(f"must be a command: text, or a list of its arguments, not {value!r}")
    for word in value:
        if isinstance(word, bool) or not isinstance(word, (str, int, float)):
            raise InvalidInput(f"must be a list of texts and numbers; put {word!r} in quotes")
    return [str(word) for word in value]


def _read_sample(value: Any) -> dict[str, Any]:
    from runslot.variants.parse import parse_sample

    sample: dict[str, Any] = {}
    for key, choices in _read_settings(value).items():
        if isinstance(choices, str):
            sample[key] = parse_sample(f"{key}={choices}")[1]
        elif isinstance(choices, list):
            sample[key] = choices
        else:
            raise InvalidInput(
                f"must draw {key} from a list or a distribution, as loguniform(1e-5, 1e-1), not"
                f" {choices!r}"
            )
    return sample


def _read_seeds(value: Any) -> int | list[int] | str:
    from runslot.variants.parse import SEED_LIMIT, parse_seeds

    if isinstance(value, str) and value.startswith("race:"):
        from runslot.search.race import parse_race

        parse_race(value)
        return value
    if isinstance(value, str):
        return parse_seeds(value)
    if type(value) is int and 1 <= value <= SEED_LIMIT:
        return value
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return value
    raise InvalidInput(
        f"must be a number of seeds, or a list of them, or text such as 0-9, not {value!r}"
    )


def _read_search(value: Any) -> Any:
    if isinstance(value, str) and ":" in value:
        return value
    for key, choices in _read_settings(value).items():
        if not isinstance(choices, (str, list)):
            raise InvalidInput(
                f"must search {key} in a list or a distribution, as loguniform(1e-5, 1e-1),"
                f" not {choices!r}"
            )
    return value


def _read_texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(f"must be a list of texts, not {value!r}")
    return tuple(value)


def _read_patterns(value: Any) -> tuple[str, ...]:
    from runslot.transport.patterns import check_patterns

    return check_patterns(value, "")


def _read_project(value: Any) -> str | None:
    return {True: ".", False: None}[value] if isinstance(value, bool) else _read_text(value)


def _read_code(value: Any) -> Any:
    return {"git": value} if isinstance(value, str) and value else _read_settings(value)


def _read_container(value: Any) -> Any:
    return {"image": value} if isinstance(value, str) and value else _read_settings(value)


def _read_env(value: Any) -> dict[str, str]:
    return {name: str(text) for name, text in _read_settings(value).items()}


_TEXT_SCHEMA: Mapping[str, Any] = {"type": "string", "minLength": 1}
_SETTINGS_SCHEMA: Mapping[str, Any] = {"type": "object"}

TEXT = Kind(_TEXT_SCHEMA, _read_text)
TEXTS = Kind({"type": "array", "items": {"type": "string"}}, _read_texts)
YES_NO = Kind({"type": "boolean"}, _read_yes_or_no)
SETTINGS = Kind(_SETTINGS_SCHEMA, _read_settings)
AMOUNT = Kind({"type": "number", "minimum": 0}, _read_amount)
TIME = Kind(
    {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "string", "pattern": f"^{TIME_PATTERN}$"},
        ]
    },
    parse_seconds,
)
MEMORY = Kind(
    {
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": f"^{MEMORY_PATTERN}$"},
        ]
    },
    parse_memory,
)
SHARERS = Kind({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}, _read_sharers)
PATTERNS = Kind({"anyOf": [_TEXT_SCHEMA, {"type": "array", "items": _TEXT_SCHEMA}]}, _read_patterns)
COMMAND = Kind(
    {
        "anyOf": [
            _TEXT_SCHEMA,
            {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1},
        ]
    },
    _read_command,
)
SEEDS = Kind(
    {
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "array", "items": {"type": "integer"}, "minItems": 1, "uniqueItems": True},
            {"type": "string", "pattern": r"^race:|^\s*\d+(\s*-?\s*\d+|\s*,\s*\d+)*,?\s*$"},
        ]
    },
    _read_seeds,
)
_DISTRIBUTION_PATTERN = r"^\s*(uniform|loguniform|integers|choice)\s*\(.*\)\s*$"
SAMPLE = Kind(
    {
        "type": "object",
        "additionalProperties": {
            "anyOf": [
                {"type": "array", "minItems": 1},
                {"type": "string", "pattern": _DISTRIBUTION_PATTERN},
            ]
        },
    },
    _read_sample,
)
SEARCH = Kind(
    {
        "anyOf": [
            _TEXT_SCHEMA,
            {
                "type": "object",
                "additionalProperties": {"anyOf": [{"type": "array", "minItems": 1}, _TEXT_SCHEMA]},
            },
        ]
    },
    _read_search,
)
_VARIANTS_SCHEMA = {"type": "array", "items": _SETTINGS_SCHEMA, "minItems": 1}
VARIANTS = Kind(_VARIANTS_SCHEMA, _read_variants)
EXCLUDE = Kind(
    {"anyOf": [_SETTINGS_SCHEMA, _VARIANTS_SCHEMA]},
    lambda value: _read_variants([value] if isinstance(value, Mapping) else value),
)
IMAGE = Kind({"anyOf": [_TEXT_SCHEMA, {"type": "object", "required": ["image"]}]}, _read_container)
CODE = Kind({"anyOf": [_TEXT_SCHEMA, _SETTINGS_SCHEMA]}, _read_code)
PROJECT = Kind({"anyOf": [_TEXT_SCHEMA, {"type": "boolean"}]}, _read_project)
NOTIFY = Kind(
    {"anyOf": [_TEXT_SCHEMA, {"type": "array", "items": {"type": "string"}}]},
    lambda value: _read_texts([value] if isinstance(value, str) else value),
)
ENV = Kind(_SETTINGS_SCHEMA, _read_env)


# ---- records of the table ------------------------------------------------------------------------


@record(eq=False)
class Word:
    """A key of a sweep file: what it takes, and what the schema says of it."""

    key: str
    """`retries`, or inside another one `resources.cpus`."""
    kind: Kind
    meaning: str
    field: str = ""
    """The field of `Experiment` that takes its value as it is."""
    sets: Any = True
    """What it is set to by its option, where that is a flag."""


@record(eq=False)
class Option:
    """An option of the command line."""

    name: str
    """The parameter of the command's function; the option is the same with dashes, unless `flags`
    says otherwise.
    """
    type: type
    """Of its value; `bool` for a flag, which has none."""
    metavar: str
    help: str
    panel: str = ""
    """The part of the help that it stands in."""
    word: Word | None = None
    """The key of a sweep file that it sets."""
    field: str = ""
    """The field of `Experiment` that takes its value, where no key of a sweep file does."""
    several: bool = False
    """It may be given several times."""
    flags: tuple[str, ...] = ()
    commands: tuple[str, ...] = ("run",)
    default: Any = None
    least: float | None = None
    """The least number that it takes."""

    @property
    def names(self) -> tuple[str, ...]:
        """How it is written."""
        return self.flags or option_names(self.name)


@record
class Notation:
    """How a parameter is written, and what help says of it."""

    help: str
    metavar: str | None = None
    names: tuple[str, ...] = ()
    """Of an option; without any it has the parameter's."""
    is_argument: bool = False
    panel: str = ""
    """The part of the help that it stands in."""
    least: float | None = None
    most: float | None = None
    shows_default: bool | str = True


def option_names(parameter: str) -> tuple[str, ...]:
    """Return how an option is written that has its parameter's name."""
    return ("--" + parameter.rstrip("_").replace("_", "-"),)


def notation_of(annotation: Any) -> tuple[Any, Notation | None]:
    """Return the type of a parameter, and how it is written."""
    kind, *metadata = get_args(annotation) or (annotation,)
    return kind, next((part for part in metadata if isinstance(part, Notation)), None)


VARIANTS_PANEL, SEARCH_PANEL, RUN_PANEL, LAUNCH_PANEL, OUTPUT_PANEL = (
    "Variants",
    "Search",
    "Each run",
    "The launch",
    "Output",
)

FILE_ORDER = (
    "name", "function", "command", "grid", "zip", "sample", "samples", "variants", "where",
    "exclude", "seeds", "search", "metric", "mode", "trials", "sampler", "prune", "test_seeds",
    "budget", "from", "by", "over", "step", "within", "resources", "on", "container", "python",
    "uv", "conda", "root", "retries", "backoff", "timeout", "expect", "grace", "max_failures",
    "resumable", "start", "snapshot_code", "code", "fetch", "no_fetch", "notify", "snapshot_mode",
    "env", "plain_names", "metrics", "snapshot_gap",
)  # fmt: skip
"""The order in which the schema and refusals list the keys of a sweep file; others follow."""
