"""What the command line says of variants: `lr=0.1,0.01`, `lr=loguniform(1e-5,1e-1)`, `--seeds 0-9`.

Values read as in a sweep file, that is as in YAML 1.2 and its core schema: `1e-3` is a number, and
so is `1_000`. Python's `None` is null, as `True` and `False` are true and false; `near_miss` has
what else is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from runslot.errors import InvalidInput, nearest
from runslot.variants.distributions import (
    Distribution,
    choice,
    integers,
    logintegers,
    loguniform,
    uniform,
)
from runslot.variants.near_miss import doubt, refuse_near_miss
from runslot.variants.variant import split_key

LARGEST_SEED = 2**32 - 1
DEPTH_LIMIT = 50
"""Brackets inside brackets that a value may have."""
SEED_LIMIT = 1_000_000
"""Seeds that one `--seeds` may ask for; more is a slip of the hand."""

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", "None")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBERS: tuple[tuple[str, Callable[[str], float]], ...] = (
    (r"[-+]?[0-9]+(_[0-9]+)*", int),
    (r"[-+]?0[box][0-9a-fA-F]+(_[0-9a-fA-F]+)*", lambda text: int(text, 0)),
    (r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float),
    (r"[-+]?\.(inf|Inf|INF)", lambda text: float(text.replace(".", ""))),
    (r"\.(nan|NaN|NAN)", lambda _: float("nan")),
)
_PLAIN_NUMBER = r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,2})?"
"""Neither too large nor too small, and without zeros in front: it can be meant in no other way."""
_CALL = r"(?s)\s*([A-Za-z_]+)\s*\((.*)\)\s*"
_SEEDS = r"([0-9]{1,18})(?:-([0-9]{1,18}))?"
_DOUBLE_QUOTED = r'(?s)"(?:[^"\\]|\\.)*"'
_SINGLE_QUOTED = r"(?s)'(?:[^']|'')*'"
_QUOTED_LIMIT = 200
"""Characters of what the user wrote that a refusal repeats."""
_BRACKETS = {"[": "]", "{": "}", "(": ")"}
_DISTRIBUTIONS: dict[str, Callable[..., Distribution]] = {
    "uniform": uniform,
    "loguniform": loguniform,
    "integers": integers,
    "logintegers": logintegers,
}
_STEPPED = frozenset({"uniform", "integers"})
"""Distributions that take a step as their third number."""
_ELSEWHERE = {
    **dict.fromkeys(("log_uniform", "log_uniform_values", "logfloat"), "loguniform"),
    **dict.fromkeys(("int", "randint", "int_uniform", "qrandint"), "integers"),
    **dict.fromkeys(("logint", "lograndint"), "logintegers"),
    **dict.fromkeys(("float", "interval", "quniform", "q_uniform"), "uniform"),
    **dict.fromkeys(("categorical",), "choice"),
}
"""What other libraries call them, in lower case."""


def parse_grid(text: str) -> tuple[str, list[Any]]:
    """Read `KEY=VALUE,VALUE` as a key and its values: `("lr", [0.1, 0.01])`.

    Commas inside brackets and quotes do not separate. `InvalidInput` quotes the text and says what
    to write.
    """
    key, values = _split_setting(text, "lr=0.1,0.01")
    return key, _Reader(values, text).values()


def doubts_of(text: str) -> list[str]:
    """Return what should be said of the values of `KEY=VALUE,VALUE` that may be meant otherwise
    than they are read.
    """
    key, values = _split_setting(text, "lr=0.1,0.01")
    reader = _Reader(values, text)
    read = reader.values()
    doubts = [doubt_said for bare in reader.bare if (doubt_said := doubt(bare))]
    if len(read) == 1 and isinstance(read[0], list) and len(read[0]) > 1:
        doubts.append(
            f"{values.strip()} is one value, a list; for several values leave the brackets out"
        )
    return [f"{key}: {text}" for text in doubts]


def parse_setting(text: str) -> tuple[str, Any]:
    """Read `KEY=VALUE`, as `--set` has it, as a key and one value; bare text may have commas."""
    key, value = _split_setting(text, "lr=0.1")
    return key, parse_value(value)


def parse_value(text: str) -> Any:
    """Read one value: a YAML 1.2 scalar, quoted text, `[1, 2]` or `{a: 1}`; what is none of these
    is text.
    """
    return _Reader(text, text).only_value()


def parse_sample(text: str) -> tuple[str, Distribution]:
    """Read `KEY=DISTRIBUTION` as a key and what to draw from: `lr=loguniform(1e-5,1e-1)`,
    `act=choice(relu,tanh)`.
    """
    example = "lr=loguniform(1e-5,1e-1)"
    key, value = _split_setting(text, example)
    call = re.fullmatch(_CALL, value)
    if not call:
        raise InvalidInput(f"{text!r} does not name a distribution; write {example}")
    name, inside = call.groups()
    arguments = _Reader(inside, text).values()
    if name == "choice":
        return key, choice(arguments)
    if name not in _DISTRIBUTIONS:
        names = [*_DISTRIBUTIONS, "choice"]
        here = _ELSEWHERE.get(name.lower())
        hint = f"; it is {here} here" if here else nearest(name, names)
        raise InvalidInput(
            f"{text!r}: {name} is not a distribution{hint}; there are {', '.join(names)}"
        )
    if len(arguments) not in ((2, 3) if name in _STEPPED else (2,)):
        step = ", and a step if you like" if name in _STEPPED else ""
        raise InvalidInput(
            f"{text!r}: {name} takes two numbers, its lower and its higher end{step};"
            f" write {example}"
        )
    try:
        return key, _DISTRIBUTIONS[name](*arguments)
    except InvalidInput as error:
        raise InvalidInput(f"{text!r}: {error}") from None


def parse_seeds(text: str) -> list[int]:
    """Read `--seeds`: `3` is 0, 1, 2; `7,8` and `0-9` are those seeds, and `7,` is the one seed
    7.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and re.fullmatch("[0-9]{1,18}", parts[0]):
        count = int(parts[0])
        if not 1 <= count <= SEED_LIMIT:
            _refuse_seeds(
                text, f"it asks for {parts[0]} seeds, which is not between 1 and {SEED_LIMIT:,}"
            )
        return list(range(count))
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    seeds: dict[int, None] = {}
    for part in parts:
        for seed in _seed_range(part, text):
            if seed in seeds:
                _refuse_seeds(text, f"{seed} stands in it twice")
            seeds[seed] = None
    return list(seeds)


class _Reader:
    """Reads values from `text`; `whole` is what the user wrote, for the errors."""

    def __init__(self, text: str, whole: str) -> None:
        self.text = text
        self.whole = whole
        self.position = 0
        self.depth = 0
        self.bare: list[str] = []
        """Texts without quotes, as they stand."""

    def only_value(self) -> Any:
        """Read all of the text as one value, commas included where it is bare text."""
        self._skip_spaces()
        value = self._value("")
        self._end("")
        return value

    def values(self) -> list[Any]:
        """Read all of the text as values with commas between them, at least one."""
        return self._items(self._filled_value, "")

    def _items(self, read: Callable[[str], Any], closing: str) -> list[Any]:
        items = [read("," + closing)]
        while self._end("," + closing) == ",":
            self.position += 1
            items.append(read("," + closing))
        return items

    def _filled_value(self, stops: str) -> Any:
        self._skip_spaces()
        if self._next() in stops:  # also the end of the text
            self._refuse(
                "a value is missing between commas; write '' for empty text, or drop the comma"
            )
        return self._value(stops)

    def _value(self, stops: str) -> Any:
        character = self._next()
        if character and character in "\"'":
            return self._quoted()
        if character and character in "[{":
            return self._inside(character)
        text = self._bare(stops)
        if re.fullmatch(_PLAIN_NUMBER, text):  # most values are: nothing else can be meant
            return _scalar(text)
        try:
            refuse_near_miss(text)
        except InvalidInput as error:
            self._refuse(str(error))
        self.bare.append(text)
        return _scalar(text)

    def _inside(self, opening: str) -> Any:
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            self._refuse(f"it is nested more than {DEPTH_LIMIT} deep")
        whole = opening == "["
        value = (
            self._bracketed(self._filled_value, "]")
            if whole
            else dict(self._bracketed(self._entry, "}"))
        )
        self.depth -= 1
        return value

    def _bracketed(self, read: Callable[[str], Any], closing: str) -> list[Any]:
        self.position += 1
        self._skip_spaces()
        items = [] if self._next() == closing else self._items(read, closing)
        if self._next() != closing:
            self._refuse(
                f"{closing} is missing; close the bracket, or put text that has one in quotes"
            )
        self.position += 1
        return items

    def _entry(self, stops: str) -> tuple[str, Any]:
        self._skip_spaces()
        quoted = self._next() in ('"', "'")
        key = self._quoted() if quoted else self._bare(":" + stops)
        self._skip_spaces()
        if self._next() != ":" or (not key and not quoted):
            self._refuse("a dict reads {key: value, key: value}")
        self.position += 1
        return key, self._filled_value(stops)

    def _bare(self, stops: str) -> str:
        """Read text without quotes until a stop outside the brackets that it opens itself."""
        start = self.position
        open_brackets: list[str] = []
        while self.position < len(self.text):
            character = self.text[self.position]
            if open_brackets and character == open_brackets[-1]:
                open_brackets.pop()
            elif not open_brackets and character in stops:
                break
            elif stops and character in _BRACKETS:
                open_brackets.append(_BRACKETS[character])
            self.position += 1
        if open_brackets:
            self._refuse(
                f"{open_brackets[-1]} is missing; close the bracket, or put text that has one in"
                " quotes"
            )
        return self.text[start : self.position].strip()

    def _quoted(self) -> str:
        quoted = re.compile(_DOUBLE_QUOTED if self._next() == '"' else _SINGLE_QUOTED).match(
            self.text, self.position
        )
        if not quoted:
            self._refuse(
                f"the quote {self._next()} is not closed; close it, or put all of the text in other"
                " quotes"
            )
        self.position = quoted.end()
        if quoted[0][0] == "'":
            return quoted[0][1:-1].replace("''", "'")
        try:
            return str(json.loads(quoted[0], strict=False))
        except ValueError as error:
            self._refuse(f"{quoted[0]} is no quoted text ({error}); single quotes take \\ as it is")

    def _end(self, stops: str) -> str:
        """Check that a value ends here, and return what comes next, empty at the end of the
        text.
        """
        self._skip_spaces()
        character = self._next()
        if character and character not in stops:
            self._refuse(
                f"{self.text[self.position :]!r} follows a value that was complete; put text in"
                " quotes"
            )
        return character

    def _next(self) -> str:
        return self.text[self.position : self.position + 1]

    def _skip_spaces(self) -> None:
        while self._next().isspace():
            self.position += 1

    def _refuse(self, reason: str) -> NoReturn:
        raise InvalidInput(f"{_brief(self.whole)}: {reason}")


def _brief(text: str) -> str:
    return repr(text) if len(text) <= _QUOTED_LIMIT else f"{text[:_QUOTED_LIMIT]!r}…"


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    for pattern, read in _NUMBERS:
        if re.fullmatch(pattern, text):
            try:
                return read(text)
            except ValueError:
                if len(text) < 1000:  # no number of its base: 0b12
                    return text
                raise InvalidInput(
                    f"{text[:40]}… is too long for a number; put it in quotes if it is text"
                ) from None
    return text


def _split_setting(text: str, example: str) -> tuple[str, str]:
    key, equals, values = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InvalidInput(f"{text!r} is not KEY=VALUE; write, for example, {example}")
    if not values.strip():
        raise InvalidInput(
            f"{text!r} has no value after the =; write, for example, {example}, or {key}='' for no"
            " text"
        )
    split_key(key)
    return key, values


def _seed_range(part: str, text: str) -> range:
    match = re.fullmatch(_SEEDS, part)
    if not match:
        _refuse_seeds(text, f"{part!r} is not a seed")
    first, last = int(match[1]), int(match[2] or match[1])
    if last > LARGEST_SEED:
        _refuse_seeds(text, f"{last} is above {LARGEST_SEED}, the largest that numpy takes")
    if last < first:
        _refuse_seeds(text, f"{part} goes backwards")
    if last - first >= SEED_LIMIT:
        _refuse_seeds(text, f"{part} has more than {SEED_LIMIT:,} seeds")
    return range(first, last + 1)


def _refuse_seeds(text: str, reason: str) -> NoReturn:
    whole = "" if repr(text) in reason else f"{text!r}: "
    raise InvalidInput(
        f"{whole}{reason}; write how many, as 3 (which are 0, 1, 2), or which, as 7,8 or 0-9"
    )
