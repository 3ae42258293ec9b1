"""A plain `runslot run …` is read here, without the library that draws help and says what is wrong with an option.

To load that takes a fifth of a second, in which a small machine does ten short runs. Whatever is not plain is left to
it: `read` returns None then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

VALUES: Mapping[str, Callable[[str], Any]] = {
    "--name": str, "--root": Path, "--samples": int, "--seeds": str, "--cpus-per-run": int, "--gpus-per-run": int,
    "--runs-per-gpu": int, "--memory-per-run": str, "--threads": str, "--retries": int, "--timeout": str,
    "--grace": str, "--start": str, "--max-failures": int, "--reserved-cpus": int, "--into": Path, "--on": str,
    "--container": str, "--engine": str, "--max-cost": float, "--max-hours": float, "--metrics": str, "--where": str,
    "--code": str,
    "--python": str, "--uv": str, "--conda": str,
}  # fmt: skip
"""Options with one value, and what it becomes."""

LISTS = (
    "--grid", "--zip", "--sample", "--notify", "--set", "--exclude", "--env", "--code-include", "--code-exclude",
    "--fetch", "--no-fetch",
)  # fmt: skip
"""Options that may be given several times."""

FLAGS: Mapping[str, str] = {
    "--resumable": "resumable", "--avoid-busy": "avoid_busy", "--strict": "strict",
    "--accept-code-change": "accept_code_change", "--snapshot-code": "snapshot_code", "--detach": "detach",
    "--dry-run": "dry_run", "--json": "json", "--wait": "wait", "--quiet": "quiet", "-q": "quiet",
    "--script-only": "script_only", "--yes": "yes", "--plain-names": "plain_names",
    "--first": "first",
}  # fmt: skip


class _Options(dict[str, Any]):
    """The options that were given; any other is None."""

    def __missing__(self, name: str) -> None:
        return None


_Said = tuple[dict[str, Any], list[str] | None]


def call(arguments: Sequence[str]) -> int | None:
    """Carry out a plain `run` and return its exit status; None where it is another command, or not plain."""
    if arguments[:1] != ["run"] or "_RUNSLOT_COMPLETE" in os.environ:
        return None
    said = read(arguments[1:])
    if said is None:
        return None
    from runslot.cli.run import run_as_said

    return run_as_said(*said)


def read(arguments: Sequence[str]) -> _Said | None:
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
    key = parameter_of(name)
    if name in LISTS:
        options[key] = [*(options[key] or ()), value]
        return True
    if name not in VALUES or key in options:
        return False
    try:
        options[key] = VALUES[name](value)
    except ValueError:
        return False
    return True


def with_project(words: Sequence[str]) -> list[str]:
    """Return the words before `--` with the project that a bare `--uv` is for: the directory behind it, or this one.

    No target is a directory, so that `--uv ../project` cannot be meant otherwise.
    """
    result: list[str] = []
    rest = iter(words)
    for word in rest:
        result.append(word)
        if word == "--uv":
            following = next(rest, None)
            is_project = following is not None and not following.startswith("-") and os.path.isdir(following)  # noqa: PTH112
            result[-1] = f"--uv={following if is_project else os.curdir}"
            if following is not None and not is_project:
                result += with_project([following, *rest])
    return result


def parameter_of(option: str) -> str:
    """Return the name of the parameter that an option sets."""
    return "set_" if option == "--set" else option.lstrip("-").replace("-", "_")
