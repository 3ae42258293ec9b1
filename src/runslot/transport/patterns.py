"""Patterns of paths, as `.gitignore` has them: which files are the code, and which files of the
runs come home.

`transport.code_snapshot` asks with paths below the top of the code, the launchers with paths below
a run's directory. Pure, and read on both sides; the same text means the same files wherever it is
asked.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator

from runslot.errors import InvalidInput
from runslot.experiment.records import ExperimentFile
from runslot.experiment.rundir import KEPT_PROGRESS, RunDir
from runslot.record import record


@record
class Patterns:
    """Which paths are meant: those that fit one of `include` (all, where it is empty), and none of
    `exclude`.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude)

    def takes(self, path: str) -> bool:
        """Tell whether a relative path, `/` between its parts, is meant."""
        return (not self.include or fits(path, self.include)) and not fits(path, self.exclude)


def idle_patterns(
    *, moves: bool, copies: bool, code: bool, fetch: bool, remedy: str = ""
) -> Iterator[str]:
    """Yield what is to be said of patterns that choose among nothing.

    `moves`: the runs go to another disk; `copies`: they have a copy of the code; `code` and
    `fetch`: such are given; `remedy` says what would copy the code.
    """
    if fetch and not moves:
        yield (
            "fetch and no_fetch choose what comes home, and what these runs write is at home"
            " already"
        )
    if code and not moves and not copies:
        yield f"code_include and code_exclude choose what is copied, and nothing is{remedy}"


def fits(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether the path, or a directory that it lies in, is what one of the patterns names."""
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)


def is_literal(pattern: str) -> bool:
    """Tell whether a pattern is the path of one file or directory."""
    return not set(pattern) & set("*?[")


def check_patterns(patterns: object, name: str) -> tuple[str, ...]:
    """Return patterns that were given under `name`, empty where the caller says it; `InvalidInput`
    where they are none.
    """
    where = f"{name}: " if name else ""
    if isinstance(patterns, str):
        patterns = (patterns,)
    if not isinstance(patterns, (list, tuple)) or not all(
        isinstance(text, str) for text in patterns
    ):
        raise InvalidInput(
            f"{name} must be a pattern of paths, such as '*.pt', or a list of them, not"
            f" {patterns!r:.80}".lstrip()
        )
    for pattern in patterns:
        if pattern.startswith("!"):
            raise InvalidInput(
                f"{where}{pattern!r}: nothing is negated here; give {pattern[1:]!r} to the"
                " opposite one"
            )
        if (
            not pattern.strip("/ ")
            or "\0" in pattern
            or {".", ".."} & set(pattern.strip("/").split("/"))
        ):
            raise InvalidInput(
                f"{where}{pattern!r} is no path below a directory; write a name, a path, or '*.pt'"
            )
        try:
            _compiled(pattern)
        except re.error as error:
            raise InvalidInput(f"{where}{pattern!r} cannot be read: {error}") from None
    return tuple(patterns)


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    is_directory = pattern.endswith("/")
    parts = pattern.strip("/").split("/")
    start = "" if "/" in pattern.rstrip("/") else "(?:.*/)?"  # a name alone is meant at any depth
    body = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            body += ".+" if last else "(?:.+/)?"
        else:
            body += _part(part) + ("" if last else "/")
    return re.compile(f"{start}{body}{'/.+' if is_directory else '(?:/.+)?'}", re.DOTALL)


def _part(part: str) -> str:
    """Return a part of a path as a regular expression: `*`, `?`, `[a-z]`, none of which meets a
    `/`.
    """
    text = ""
    position = 0
    while position < len(part):
        character = part[position]
        closing = part.find("]", position + 2) if character == "[" else -1
        if closing > 0:
            inside = part[position + 1 : closing].replace("\\", "\\\\").replace("[", "\\[")
            text += f"(?!/)[{'^' + inside[1:] if inside[0] == '!' else inside}]"
            position = closing
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character))
        position += 1
    return text


@functools.cache
def _always() -> frozenset[str]:
    """Return the files of a run's directory by which it is known how the run went: they come home
    whatever is chosen.
    """
    run = RunDir("")
    files = (
        run.run_file, run.attempt_file, run.outcome_file, run.progress, run.console, run.debug_log,
        run.variant_file, run.variant_pickle, run.params_file, run.logger_problems,
        run.contained_file, run.git_infos, run.script_name, run.environment,
    )  # fmt: skip
    return frozenset({KEPT_PROGRESS, *(file.name for file in files)})


_KEPT_ATTEMPT = r"attempt_\d+/"


def comes_home(file: ExperimentFile, path: str) -> bool:
    """Tell whether what a run of the experiment wrote at `path`, below its directory, is brought
    home.
    """
    patterns = Patterns(file.fetch, file.no_fetch)
    if not patterns:
        return True
    name = re.sub(_KEPT_ATTEMPT, "", path, count=1) if "/" in path else path
    return name in _always() or path == file.logger.metrics or patterns.takes(path)
