"""Whether a command can be started: its program is there, every name in braces is one that its runs
have.

`plan` asks before anything is touched; `placeholders` has the grammar. What looks as if a shell
were to read it is refused: none does, so that it would become arguments in silence. `cli.build`
asks the same of commands that are one text, where quotes show what is meant.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from runslot.engines.open_experiment import command_values
from runslot.errors import InvalidInput, nearest
from runslot.experiment.placeholders import (
    ALL_KEYS,
    NOT_PASSED,
    RESERVED,
    fill,
    formats_used,
    formatted,
    names_used,
)
from runslot.experiment.records import Run
from runslot.experiment.rundir import RunDir
from runslot.variants.variant import flatten

_PYTHON = r"python[\d.]*"
_OTHER_NAMES = {"python": "python3", "python3": "python", "pip": "pip3"}
"""What a program may be called elsewhere: Debian has `python3` alone."""


def check_command(
    argv: Sequence[str], keys: Iterable[str], cwd: Path | None, search_path: str | None = None
) -> None:
    """Refuse a command that no run could start: an unknown name in braces, a program that does not
    exist.

    `search_path` is the runs' PATH, where that is not this process's.
    """
    if not argv:
        raise InvalidInput(
            "the command is empty: write what to run after --, as in `-- python train.py --lr {lr}`"
        )
    keys = list(keys)
    for argument in argv:
        if re.search(NOT_PASSED, argument):
            raise InvalidInput(
                f"the argument {argument!r:.80} has characters that no program can be given"
            )
    if problem := refuse_first(argv) or refuse_operators(argv):
        raise InvalidInput(f"the command cannot start: {problem}")
    for reserved in RESERVED:
        if reserved in keys:
            raise InvalidInput(
                f"a command cannot have the key {reserved!r}: {{{reserved}}} is runslot's;"
                " rename it"
            )
    whole = [name for name in ALL_KEYS if name not in keys]
    placeholders = [*keys, "seed", *RESERVED, *whole]
    for name in sorted(names_used(argv, keys)):
        if name not in placeholders:
            names = ", ".join(f"{{{placeholder}}}" for placeholder in placeholders)
            raise InvalidInput(
                f"the command uses {{{name}}}, which no run has{nearest(name, placeholders)};"
                f" known: {names}"
            )
    for argument in argv:
        for name in whole:
            if f"{{{name}}}" in argument and argument not in (f"{{{name}}}", f"{{{{{name}}}}}"):
                raise InvalidInput(
                    f"the command has {argument!r}: {{{name}}} is several arguments; write it by"
                    " itself"
                )
    if cwd is not None and not names_used(argv[:1], keys):
        _check_program(argv, cwd, search_path)


def _check_program(argv: Sequence[str], cwd: Path, search_path: str | None) -> None:
    """Refuse a program that cannot be started from `cwd`, and a script of Python's that is not
    there.
    """
    program = argv[0]
    if shutil.which(program, path=search_path) is None:
        raise InvalidInput(f"there is no program {program!r} {_where_else(program, cwd)}")
    script = (
        next((word for word in argv[1:] if not word.startswith("-")), "")
        if re.fullmatch(_PYTHON, program)
        else ""
    )
    if (
        script.endswith(".py")
        and "-m" not in argv
        and not names_used([script], ())
        and not (cwd / script).exists()
    ):
        near = nearest(
            Path(script).name, [file.name for file in (cwd / script).parent.glob("*.py")]
        )
        raise InvalidInput(f"there is no script {script!r} in {cwd}{near}")


def _where_else(program: str, cwd: Path) -> str:
    """Return where a program was looked for, and what to write instead where that is known."""
    if program in _OTHER_NAMES and shutil.which(other := _OTHER_NAMES[program]):
        return f"on PATH; write {other}, which is there"
    if not (cwd / program).is_file():
        return f"on PATH or in {cwd}"
    if "/" in program:
        return (
            f"that can be started: `chmod +x {program}` lets it, or name its interpreter before it"
        )
    return f"on PATH, but there is a file in {cwd}: write ./{program}, or its interpreter before it"


def unused(argv: Sequence[str], keys: Iterable[str], seeds: int) -> list[str]:
    """Return what no argument uses, of a command that is not told of its variant in another way
    either.
    """
    keys = list(keys)
    used = names_used(argv, keys)
    # the variant's file lies there
    if used & ({"run_dir", "variant_file"} | ({*ALL_KEYS} - {*keys})):
        return []
    missing = [
        key for key in keys if not any(name == key or name.startswith(f"{key}.") for name in used)
    ]
    return missing + (["seed"] if seeds > 1 and "seed" not in used else [])


_OPERATORS = ("&&", "||", "&>", ">>", "<<", "|", ">", "<", ";", "&")
_WHOLE_OPERATOR = r"[0-9]?(?:>>?|<<?<?)(?:&[0-9-])?|&>>?|\|\|?&?|&&?|;"
_ASSIGNMENT = r"(?s)[A-Za-z_]\w*\+?=.*"
_EXPANSION = r"\$(?:[A-Za-z_{(]|\d)|`"
_REDIRECTION = r"(?:[0-9]|&)?>>?[\w./{}~-]+"
"""With its file in one word, as `2>err.log`."""
_EXPANDED = r"~/|\$(?:\{?[A-Z_][A-Z0-9_]*\b|\()"
"""A home, and variables as their names are written."""
_PLAIN = r"[\w@%+=:,./{}-]+"
_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish"}
_WITH_SUCH_WORDS = {
    "expr",
    "test",
    "[",
    "find",
    "grep",
    "egrep",
    "awk",
    "gawk",
    "sed",
    "tr",
    "cut",
    "sort",
    "jq",
}
_BUILTINS = {
    "cd",
    "export",
    "source",
    ".",
    "alias",
    "ulimit",
    "set",
    "unset",
    "eval",
    "exec",
    "pushd",
    "module",
}


def refuse_shell(text: str) -> str | None:
    """Return why a command that is one text cannot be meant as it stands, and what to write; None
    where it can.
    """
    for mark in _marks(text):
        return (
            f"`{mark}` is for a shell, and none reads the command; write bash -c"
            f" {shlex.quote(text)}"
        )
    return None


def refuse_first(argv: Sequence[str]) -> str | None:
    """Return why the first word of a command is no program, where a shell would know what to do
    with it.
    """
    first, rest = argv[0], argv[1:]
    if re.fullmatch(_ASSIGNMENT, first):
        return f"`{first}` is for a shell, and none reads the command; write env {shlex.join(argv)}"
    if first in _BUILTINS and rest:
        return (
            f"`{first}` is a command of a shell, and none reads this; write bash -c"
            f" {shlex.quote(shlex.join(argv))}"
        )
    return None


def refuse_operators(argv: Sequence[str]) -> str | None:
    """Return why an operator of a shell among the arguments cannot be meant; None where none is, or
    it can.

    It can behind an option (`--sep '|'`), in a program whose language has such words, and with a
    shell that is started.
    """
    if Path(argv[0]).name in _WITH_SUCH_WORDS or _starts_shell(argv):
        return None
    for number, word in enumerate(argv[1:], 1):
        is_value = number > 1 and argv[number - 1].startswith("-")
        if not is_value and (
            re.fullmatch(_WHOLE_OPERATOR, word) or re.fullmatch(_REDIRECTION, word)
        ):
            line = " ".join(map(_word_for_shell, argv))
            return (
                f"`{word}` is for a shell, and none reads the command; write bash -c"
                f" {shlex.quote(line)} (there an argument that looks like one stands in quotes)"
            )
    return None


def note_operators(argv: Sequence[str]) -> str | None:
    """Return what should be said of arguments that a shell would act on; None where there is
    none.
    """
    if _starts_shell(argv):
        return None
    for word in argv[1:]:
        if re.fullmatch(_WHOLE_OPERATOR, word) or re.match(_EXPANDED, word):
            return (
                f"the argument {word!r} is passed on as it is: no shell reads the command (bash -c"
                " '…' would)"
            )
    return None


_OWN_OPTIONS = (
    "--grid", "--zip", "--seeds", "--dry-run", "--detach", "--into", "--cpus-per-run",
    "--gpus-per-run", "--runs-per-gpu", "--memory-per-run", "--max-failures", "--retries",
    "--test-seeds", "--prune", "--max-cost", "--max-hours", "--plain-names",
)  # fmt: skip
"""Options of `runslot run` that hardly any script has."""
_READ = 1_000_000
"""Characters of a script that are looked at."""


def note_own_options(argv: Sequence[str]) -> str | None:
    """Return what should be said of options that runslot has, and that the command's files do not
    name; None where there are none.
    """
    options = [word.partition("=")[0] for word in argv[1:]]
    own = [option for option in dict.fromkeys(options) if option in _OWN_OPTIONS]
    if not own or any(Path(word).name == "runslot" for word in argv):
        return None
    text = "".join(map(_text_of, argv))
    unknown = [option for option in own if not re.search(option[2:].replace("-", "[-_]"), text)]
    if not unknown:
        return None
    return (
        f"the command is given {' and '.join(unknown)}: what follows -- is its own; an option of"
        " runslot's goes before it"
    )


def _text_of(word: str) -> str:
    """Return the text of a script; nothing where the word names none that can be read."""
    if not word.endswith((".py", ".sh")):
        return ""
    try:
        with Path(word).open(errors="replace") as file:
            return file.read(_READ)
    except (OSError, ValueError):
        return ""


def _starts_shell(argv: Sequence[str]) -> bool:
    return any(Path(word).name in _SHELLS for word in argv)


def _word_for_shell(word: str) -> str:
    """Return an argument as a shell reads it: quoted where it must be, and not where it is an
    operator or a name.
    """
    plain = (
        re.fullmatch(_WHOLE_OPERATOR, word)
        or re.fullmatch(_REDIRECTION, word)
        or re.fullmatch(_PLAIN, word)
    )
    return word if plain else shlex.quote(word)


def _marks(text: str) -> Iterator[str]:
    """Yield what a shell would act on, in order: operators outside quotes, expansions outside
    single quotes.
    """
    quote, braces, position = "", 0, 0
    while position < len(text):
        character = text[position]
        if character == "\\" and quote != "'":
            position += 2
            continue
        if character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        elif quote != "'" and re.compile(_EXPANSION).match(text, position):
            yield _word_at(text, position)
        elif not quote and not braces and (operator := _operator_at(text, position)):
            yield operator
        braces = max(0, braces + (character == "{") - (character == "}"))
        position += 1


def _operator_at(text: str, position: int) -> str:
    return next((operator for operator in _OPERATORS if text.startswith(operator, position)), "")


def _word_at(text: str, position: int) -> str:
    return re.split(r"[\s'\"]", text[position:], maxsplit=1)[0]


# ---- a command and all its runs ------------------------------------------------------------------


def check_runs_of_command(
    argv: Sequence[str],
    runs: Sequence[Run],
    cwd: Path | None,
    search_path: str | None = None,
) -> None:
    """Refuse a command that some run could not be given; `cwd` is where it will run, if on this
    machine.
    """
    keys: dict[str, None] = {}
    for run in runs:
        keys |= dict.fromkeys(flatten(run.variant))
    check_command(argv, keys, cwd, search_path)
    # one of the seeds of each variant speaks for all
    for run in {id(run.variant): run for run in runs}.values():
        values = command_values(run, RunDir(run.directory))
        try:
            fill(argv, values)
        except KeyError as missing:
            raise InvalidInput(
                f"the command uses {{{missing.args[0]}}}, which the variant {run.name!r} has not"
            ) from None
    _refuse_equal_texts(argv, keys, runs)


def _refuse_equal_texts(argv: Sequence[str], keys: Iterable[str], runs: Sequence[Run]) -> None:
    """Refuse a format that gives two values of a key one text: their runs would be the same
    command.
    """
    for key, form in formats_used(argv, keys):
        texts: dict[str, Any] = {}
        for run in runs:
            value = flatten(run.variant).get(key)
            other = texts.setdefault(formatted(key, value, form), value)
            if other != value:
                raise InvalidInput(
                    f"the command uses {{{key}:{form}}}, which writes {other!r} and {value!r} alike"
                )


def notes_on_command(argv: Sequence[str], runs: Sequence[Run]) -> tuple[str, ...]:
    """Return what should be said of a command: keys that it does not use, operators of a shell and
    options of runslot's in it.
    """
    notes = []
    different = {id(run.variant): run.variant for run in runs}.values()
    keys = dict.fromkeys(key for variant in different for key in flatten(variant))
    if missing := unused(argv, keys, len({run.seed for run in runs})):
        missing_text = " and ".join(missing)
        notes.append(
            f"no argument of the command uses {missing_text}: runs that differ in nothing else do"
            f" the same; write {{{missing[0]}}} in it, or {{variant_file}} for all values"
        )
    further = (note_operators(argv), note_own_options(argv))
    return (*notes, *filter(None, further))
