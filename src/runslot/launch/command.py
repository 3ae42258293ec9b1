"""Commands: `{key}` in an argument becomes the run's value, one argv element, never seen by a shell."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, nearest

RESERVED = ("run_dir", "run_id", "variant_file")
"""Names that runslot gives to every command, beside `seed` and the variant's keys."""

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w.\-]*)\}")


def placeholders(argv: Iterable[str]) -> set[str]:
    """Return the names in braces; anything else in braces (`{"a": 1}`) is text, and so is `{{name}}`."""
    return {match.group(1) for argument in argv for match in _PLACEHOLDER.finditer(argument) if match.group(1)}


def check_command(argv: Sequence[str], keys: Iterable[str], cwd: Path | None) -> None:
    """Refuse a command that no run could start: an unknown name in braces, a program that does not exist."""
    if not argv:
        raise InvalidInput("the command is empty: write what to run after --, as in `-- python train.py --lr {lr}`")
    keys = list(keys)
    for reserved in RESERVED:
        if reserved in keys:
            raise InvalidInput(f"a command cannot have the key {reserved!r}: {{{reserved}}} is runslot's; rename it")
    known = [*keys, "seed", *RESERVED]
    for name in sorted(placeholders(argv)):
        if name not in known:
            names = ", ".join(f"{{{each}}}" for each in known)
            raise InvalidInput(f"the command uses {{{name}}}, which no run has{nearest(name, known)}; known: {names}")
    if cwd is None or placeholders(argv[:1]):
        return
    if shutil.which(argv[0], path=None) is None and not (cwd / argv[0]).is_file():
        raise InvalidInput(f"there is no program {argv[0]!r} on PATH or in {cwd}")


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
    if isinstance(value, str) and "\0" not in value:
        return value
    if isinstance(value, (bool, int, float)):
        return str(value)
    kind = "text with a zero byte" if isinstance(value, str) else f"a {type(value).__name__}"
    raise InvalidInput(
        f"{key} is {kind} ({value!r:.60}), which cannot become a command-line argument; "
        "pass {variant_file} and let the script read the variant from that JSON file"
    )
