"""A plain `runslot run …` is read here, without the library that draws help and says what is wrong
with an option.

To load that takes a fifth of a second, in which a small machine does ten short runs. Whatever is
not plain is left to it: `read` returns None then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runslot.cli.kinds import Option
from runslot.cli.options import options_of

VALUES: Mapping[str, Option] = {
    name: option for option in options_of("run") if option.type is not bool for name in option.names
}
"""Options with a value, by how they are written."""

FLAGS: Mapping[str, str] = {
    name: option.name
    for option in options_of("run")
    if option.type is bool
    for name in option.names
}
"""Options without one, and the parameters that they set."""


class _Options(dict[str, Any]):
    """The options that were given; any other is None."""

    def __missing__(self, name: str) -> None:
        return None


_Line = tuple[dict[str, Any], list[str] | None]


def call(arguments: Sequence[str]) -> int | None:
    """Carry out a plain `run`, whose words these are, and return its exit status; None where it is
    not plain.
    """
    line = None if "_RUNSLOT_COMPLETE" in os.environ else read(arguments)
    if line is None:
        return None
    from runslot.cli.run import run_from

    return run_from(*line)


def read(arguments: Sequence[str]) -> _Line | None:
    """Return the options by the names of `run`'s parameters, and the command after `--`."""
    at = arguments.index("--") if "--" in arguments else None
    command = None if at is None else list(arguments[at + 1 :])
    options = _Options()
    words = iter(with_project(arguments[:at]))
    for word in words:
        if not _take(word, words, options):
            return None
    return options, command


def _take(word: str, words: Iterator[str], options: _Options) -> bool:
    """Note one option, or the target; False where it is not plain."""
    if word in FLAGS:
        options[FLAGS[word]] = True
        return True
    if not word.startswith("-"):
        return options.setdefault("target", word) is word
    name, equals, value = word.partition("=")
    if not equals:
        value = next(words, "-")
    return not value.startswith("-") and _note(name, value, options)


def _note(name: str, value: str, options: _Options) -> bool:
    option = VALUES.get(name)
    if option is None or (option.name in options and not option.several):
        return False
    try:
        typed = option.type(value)
    except ValueError:
        return False
    options[option.name] = [*(options[option.name] or ()), typed] if option.several else typed
    return True


def with_project(words: Sequence[str]) -> list[str]:
    """Return the words before `--` with the project that a bare `--uv` is for: the directory behind
    it, or this one.

    No target is a directory, so that `--uv ../project` cannot be meant otherwise.
    """
    result: list[str] = []
    rest = iter(words)
    for word in rest:
        result.append(word)
        if word == "--uv":
            following = next(rest, None)
            is_project = (
                following is not None and not following.startswith("-") and os.path.isdir(following)  # noqa: PTH112
            )
            result[-1] = f"--uv={following if is_project else os.curdir}"
            if following is not None and not is_project:
                result += with_project([following, *rest])
    return result
