"""Commands: `{key}` in an argument becomes the run's value, one argv element, never seen by a shell."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, nearest
from runslot.launch.shell import refuse_first

RESERVED = ("run_dir", "run_id", "variant_file")
"""Names that runslot gives to every command, beside `seed` and the variant's keys."""

_FORMAT = re.compile(r"(?<!\{)\{([A-Za-z_][\w.\-]*)[:!][^\s{}][^{}]*\}")
"""A name with a format, as in Python's own: `{lr:.3f}`."""
_NOT_PASSED = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
"""Zero bytes, and halves of characters that stand for no byte of a file's name."""
_PYTHON = re.compile(r"python[\d.]*")
_OTHER_NAMES = {"python": "python3", "python3": "python", "pip": "pip3"}
"""What a program may be called elsewhere: Debian has `python3` alone."""
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w.\-]*)\}")


def placeholders(argv: Iterable[str]) -> set[str]:
    """Return the names in braces; anything else in braces (`{"a": 1}`) is text, and so is `{{name}}`."""
    return {match.group(1) for argument in argv for match in _PLACEHOLDER.finditer(argument) if match.group(1)}


def check_command(argv: Sequence[str], keys: Iterable[str], cwd: Path | None) -> None:
    """Refuse a command that no run could start: an unknown name in braces, a program that does not exist."""
    if not argv:
        raise InvalidInput("the command is empty: write what to run after --, as in `-- python train.py --lr {lr}`")
    keys = list(keys)
    for argument in argv:
        if _NOT_PASSED.search(argument):
            raise InvalidInput(f"the argument {argument!r:.80} has characters that no program can be given")
    if problem := refuse_first(argv):
        raise InvalidInput(f"the command cannot start: {problem}")
    for reserved in RESERVED:
        if reserved in keys:
            raise InvalidInput(f"a command cannot have the key {reserved!r}: {{{reserved}}} is runslot's; rename it")
    known = [*keys, "seed", *RESERVED]
    for name in sorted(placeholders(argv)):
        if name not in known:
            names = ", ".join(f"{{{each}}}" for each in known)
            raise InvalidInput(f"the command uses {{{name}}}, which no run has{nearest(name, known)}; known: {names}")
    for argument in argv:
        for match in _FORMAT.finditer(argument):
            if match[1] in known:
                raise InvalidInput(
                    f"the command uses {match[0]}: formats are not known here; did you mean {{{match[1]}}}?"
                )
    if cwd is not None and not placeholders(argv[:1]):
        _check_program(argv, cwd)


def _check_program(argv: Sequence[str], cwd: Path) -> None:
    """Refuse a program that cannot be started from `cwd`, and a script of Python's that is not there."""
    program = argv[0]
    if shutil.which(program) is None:
        raise InvalidInput(f"there is no program {program!r} {_where_else(program, cwd)}")
    script = next((word for word in argv[1:] if not word.startswith("-")), "") if _PYTHON.fullmatch(program) else ""
    if script.endswith(".py") and "-m" not in argv and not placeholders([script]) and not (cwd / script).exists():
        near = nearest(Path(script).name, [file.name for file in (cwd / script).parent.glob("*.py")])
        raise InvalidInput(f"there is no script {script!r} in {cwd}{near}")


def _where_else(program: str, cwd: Path) -> str:
    """Return where a program was looked for, and what to write instead where that is known."""
    if program in _OTHER_NAMES and shutil.which(other := _OTHER_NAMES[program]):
        return f"on PATH; write {other}, which is there"
    if not (cwd / program).is_file():
        return f"on PATH or in {cwd}"
    if "/" in program:
        return f"that can be started: `chmod +x {program}` lets it, or name its interpreter before it"
    return f"on PATH, but there is a file in {cwd}: write ./{program}, or its interpreter before it"


def unused(argv: Sequence[str], keys: Iterable[str], seeds: int) -> list[str]:
    """Return what no argument uses, of a command that is not told of its variant in another way either."""
    used = placeholders(argv)
    if used & {"run_dir", "variant_file"}:  # the variant's file lies there
        return []
    missing = [key for key in keys if not any(name == key or name.startswith(f"{key}.") for name in used)]
    return missing + (["seed"] if seeds > 1 and "seed" not in used else [])


def literal(text: str) -> str:
    """Return an argument that `fill` leaves as `text`."""
    return text.replace("{", "{{").replace("}", "}}")


def fill(argv: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return the arguments with every `{key}` replaced by the value's text."""
    return [_PLACEHOLDER.sub(lambda match: _replacement(match, values), argument) for argument in argv]


def _replacement(match: re.Match[str], values: Mapping[str, Any]) -> str:
    if match.group(0) in {"{{", "}}"}:
        return match.group(0)[0]
    return argument_text(match.group(1), values[match.group(1)])


def argument_text(key: str, value: Any) -> str:
    """Return a value as one command-line argument, `str(value)`; refuse what has no such form."""
    if isinstance(value, str) and not _NOT_PASSED.search(value):
        return value
    if isinstance(value, (bool, int, float)):
        return str(value)
    kind = "text with a zero byte, or half a character," if isinstance(value, str) else f"a {type(value).__name__}"
    raise InvalidInput(
        f"{key} is {kind} ({value!r:.60}), which cannot become a command-line argument; "
        "pass {variant_file} and let the script read the variant from that JSON file"
    )
