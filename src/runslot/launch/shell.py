"""What of a command looks as if a shell were to read it: none does, so that it would become arguments in silence.

Pure. `cli.words` asks for commands that are one text, where quotes show what is meant; `launch.plan` for lists.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

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
_WITH_SUCH_WORDS = {"expr", "test", "[", "find", "grep", "egrep", "awk", "gawk", "sed", "tr", "cut", "sort", "jq"}
_BUILTINS = {"cd", "export", "source", ".", "alias", "ulimit", "set", "unset", "eval", "exec", "pushd", "module"}


def refuse_shell(text: str) -> str | None:
    """Return why a command that is one text cannot be meant as it stands, and what to write; None where it can."""
    for mark in _marks(text):
        return f"`{mark}` is for a shell, and none reads the command; write bash -c {shlex.quote(text)}"
    return None


def refuse_first(argv: Sequence[str]) -> str | None:
    """Return why the first word of a command is no program, where a shell would know what to do with it."""
    first, rest = argv[0], argv[1:]
    if re.fullmatch(_ASSIGNMENT, first):
        return f"`{first}` is for a shell, and none reads the command; write env {shlex.join(argv)}"
    if first in _BUILTINS and rest:
        return f"`{first}` is a command of a shell, and none reads this; write bash -c {shlex.quote(shlex.join(argv))}"
    return None


def refuse_operators(argv: Sequence[str]) -> str | None:
    """Return why an operator of a shell among the arguments cannot be meant; None where none is, or it can.

    It can behind an option (`--sep '|'`), in a program whose language has such words, and with a shell that is started.
    """
    if Path(argv[0]).name in _WITH_SUCH_WORDS or _starts_shell(argv):
        return None
    for number, word in enumerate(argv[1:], 1):
        is_value = number > 1 and argv[number - 1].startswith("-")
        if not is_value and (re.fullmatch(_WHOLE_OPERATOR, word) or re.fullmatch(_REDIRECTION, word)):
            line = " ".join(map(_word_for_shell, argv))
            return (
                f"`{word}` is for a shell, and none reads the command; write bash -c {shlex.quote(line)} "
                "(there an argument that looks like one stands in quotes)"
            )
    return None


def note_operators(argv: Sequence[str]) -> str | None:
    """Return what should be said of arguments that a shell would act on; None where there is none."""
    if _starts_shell(argv):
        return None
    for word in argv[1:]:
        if re.fullmatch(_WHOLE_OPERATOR, word) or re.match(_EXPANDED, word):
            return f"the argument {word!r} is passed on as it is: no shell reads the command (bash -c '…' would)"
    return None


def _starts_shell(argv: Sequence[str]) -> bool:
    return any(Path(word).name in _SHELLS for word in argv)


def _word_for_shell(word: str) -> str:
    """Return an argument as a shell reads it: quoted where it must be, and not where it is an operator or a name."""
    plain = re.fullmatch(_WHOLE_OPERATOR, word) or re.fullmatch(_REDIRECTION, word) or re.fullmatch(_PLAIN, word)
    return word if plain else shlex.quote(word)


def _marks(text: str) -> Iterator[str]:
    """Yield what a shell would act on, in order: operators outside quotes, expansions outside single quotes."""
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
