"""A plain command line, read without the library that draws help and says what is wrong with an
option: to load that takes longer than most commands.

`runslot.__main__` calls `call` first, and `run` reads its own line with `read`. Whatever is not
plain is left to `app`: help, completion, a mistake, words after `--`, a value that begins with a
dash. What must stay true: what is read means what `app` would take it for
(`tests/cli/test_plain.py` holds the two against each other), and nothing happens where None is
returned.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from runslot.cli.commands import COMMANDS
from runslot.cli.kinds import Notation, notation_of, option_names
from runslot.errors import InvalidInput
from runslot.record import record

_NUMBERS: Mapping[type, re.Pattern[str]] = {
    int: re.compile(r"\d{1,18}"),
    float: re.compile(r"\d{1,18}(?:\.\d{1,18})?(?:e[+-]?\d{1,3})?"),
}
"""What is surely a number for typer as well."""


@record
class Parameter:
    """What a word of a command line sets."""

    name: str
    type: type
    """Of one value; `bool` for a flag, which has none."""
    several: bool = False
    least: float | None = None
    most: float | None = None

    def read(self, text: str) -> Any:
        """Return a value; `ValueError` where it is not plain."""
        if (pattern := _NUMBERS.get(self.type)) is not None and not pattern.fullmatch(text):
            raise ValueError(text)
        value = self.type(text)
        if (self.least is not None and value < self.least) or (
            self.most is not None and value > self.most
        ):
            raise ValueError(text)
        return value


def call(words: Sequence[str]) -> int | None:
    """Carry out a command and return its exit status; None where its line is not plain."""
    subcommand = COMMANDS.get(words[0]) if words else None
    if subcommand is None or subcommand.is_group or "_RUNSLOT_COMPLETE" in os.environ:
        return None
    function = subcommand.load()
    signature = inspect.signature(function, eval_str=True)
    values = values_of(signature, words[1:])
    if values is None:
        return None
    bound = signature.bind(**values)
    bound.apply_defaults()
    try:
        function(**bound.arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    return 0


def values_of(signature: inspect.Signature, words: Sequence[str]) -> dict[str, Any] | None:
    """Return what the words set of a function's parameters; None where they are not plain."""
    arguments: list[Parameter] = []
    options: dict[str, Parameter] = {}
    required: set[str] = set()
    for name, declaration in signature.parameters.items():
        kind, notation = notation_of(declaration.annotation)
        if notation is None:
            return None
        parameter = _parameter(name, kind, notation)
        if notation.is_argument:
            arguments.append(parameter)
        else:
            options |= dict.fromkeys(notation.names or option_names(name), parameter)
        if declaration.default is inspect.Parameter.empty:
            required.add(name)
    values = read(words, arguments, options)
    return values if values is not None and required <= values.keys() else None


def _parameter(name: str, kind: Any, notation: Notation) -> Parameter:
    """Return the parameter of a type such as `int`, `Path | None`, `list[str] | None`."""
    if type(None) in get_args(kind):
        (kind,) = set(get_args(kind)) - {type(None)}
    several = getattr(kind, "__origin__", None) is list
    if several:
        (kind,) = get_args(kind)
    return Parameter(name, kind, several, notation.least, notation.most)


def read(
    words: Sequence[str], arguments: Sequence[Parameter], options: Mapping[str, Parameter]
) -> dict[str, Any] | None:
    """Return what the words set, by the names of the parameters; None where they are not plain."""
    values: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            free = (place for place in arguments if place.several or place.name not in values)
            parameter, text = next(free, None), word
        else:
            name, text = _option(word, options, rest)
            parameter = options.get(name)
        if parameter is None or not _set(parameter, text, values):
            return None
    return values


def _option(word: str, options: Mapping[str, Parameter], rest: Iterator[str]) -> tuple[str, str]:
    """Return an option's name and its value; `-` for a value that is missing or not plain."""
    name, equals, text = word.partition("=") if word.startswith("--") else (word, "", "")
    is_flag = name in options and options[name].type is bool
    if is_flag:
        return name, "-" if equals else ""
    if not equals:
        text = next(rest, "-")
        if name in options and (text.startswith("--") or text == "-h" or text in options):
            raise InvalidInput(
                f"{name} needs a value, and {text} follows; a value of that name is {name}={text}"
            )
    return name, "-" if text.startswith("-") else text


def _set(parameter: Parameter, text: str, values: dict[str, Any]) -> bool:
    """Note a value; False where it is not plain."""
    if text == "-" or (parameter.name in values and not parameter.several):
        return False
    if parameter.type is bool:
        values[parameter.name] = True
        return True
    try:
        value = parameter.read(text)
    except ValueError:
        return False
    if parameter.several:
        values.setdefault(parameter.name, []).append(value)
    else:
        values[parameter.name] = value
    return True
