"""Whether a command can be started: its program is there, and every name in braces is one that its runs have.

`plan` asks before anything is touched; `placeholders` has the grammar.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from runslot.errors import InvalidInput, nearest
from runslot.experiment.placeholders import ALL_KEYS, NOT_PASSED, RESERVED, names_used
from runslot.launch.shell import refuse_first, refuse_operators

_PYTHON = r"python[\d.]*"
_OTHER_NAMES = {"python": "python3", "python3": "python", "pip": "pip3"}
"""What a program may be called elsewhere: Debian has `python3` alone."""


def check_command(argv: Sequence[str], keys: Iterable[str], cwd: Path | None, search_path: str | None = None) -> None:
    """Refuse a command that no run could start: an unknown name in braces, a program that does not exist.

    `search_path` is the runs' PATH, where that is not this process's.
    """
    if not argv:
        raise InvalidInput("the command is empty: write what to run after --, as in `-- python train.py --lr {lr}`")
    keys = list(keys)
    for argument in argv:
        if re.search(NOT_PASSED, argument):
            raise InvalidInput(f"the argument {argument!r:.80} has characters that no program can be given")
    if problem := refuse_first(argv) or refuse_operators(argv):
        raise InvalidInput(f"the command cannot start: {problem}")
    for reserved in RESERVED:
        if reserved in keys:
            raise InvalidInput(f"a command cannot have the key {reserved!r}: {{{reserved}}} is runslot's; rename it")
    whole = [name for name in ALL_KEYS if name not in keys]
    placeholders = [*keys, "seed", *RESERVED, *whole]
    for name in sorted(names_used(argv, keys)):
        if name not in placeholders:
            names = ", ".join(f"{{{placeholder}}}" for placeholder in placeholders)
            raise InvalidInput(
                f"the command uses {{{name}}}, which no run has{nearest(name, placeholders)}; known: {names}"
            )
    for argument in argv:
        for name in whole:
            if f"{{{name}}}" in argument and argument not in (f"{{{name}}}", f"{{{{{name}}}}}"):
                raise InvalidInput(f"the command has {argument!r}: {{{name}}} is several arguments; write it by itself")
    if cwd is not None and not names_used(argv[:1], keys):
        _check_program(argv, cwd, search_path)


def _check_program(argv: Sequence[str], cwd: Path, search_path: str | None) -> None:
    """Refuse a program that cannot be started from `cwd`, and a script of Python's that is not there."""
    program = argv[0]
    if shutil.which(program, path=search_path) is None:
        raise InvalidInput(f"there is no program {program!r} {_where_else(program, cwd)}")
    script = next((word for word in argv[1:] if not word.startswith("-")), "") if re.fullmatch(_PYTHON, program) else ""
    if script.endswith(".py") and "-m" not in argv and not names_used([script], ()) and not (cwd / script).exists():
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
    keys = list(keys)
    used = names_used(argv, keys)
    if used & ({"run_dir", "variant_file"} | ({*ALL_KEYS} - {*keys})):  # the variant's file lies there
        return []
    missing = [key for key in keys if not any(name == key or name.startswith(f"{key}.") for name in used)]
    return missing + (["seed"] if seeds > 1 and "seed" not in used else [])
