"""The parts of a condition of `where`: numbers, texts, words, names of columns, signs. Pure;
`where` reads them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, NoReturn

from runslot.errors import InvalidInput
from runslot.record import record

_SPACE = re.compile(r"\s+|--[^\n]*")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
_TEXT = re.compile(r"'(?:[^']|'')*'")
_QUOTED = re.compile(r'"(?:[^"]|"")*"|`[^`]*`')
_SIGN = re.compile(r"<=>|<=|>=|<>|!=|!~|==|::|//|[=<>+\-*/%(),~]")
_UNCLOSED = "'\"`"


@record
class Token:
    """A part of a condition and where it starts."""

    kind: Literal["number", "text", "word", "name", "sign", "end"]
    text: str
    at: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.at + len(self.text)


def tokens_of(text: str, columns: Collection[str]) -> list[Token]:
    """Return the parts of a condition; a column's name with other signs (`final/loss`) is one where
    it stands so."""
    signed = sorted(
        (name for name in columns if not _WORD.fullmatch(name) and name[:1].isalpha()), key=len
    )[::-1]
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        if match := _SPACE.match(text, at):
            at = match.end()
            continue
        name = next((name for name in signed if _stands(text, at, name)), None)
        if name is not None:
            tokens.append(Token("name", name, at))
            at += len(name)
            continue
        for kind, pattern in _KINDS:
            if match := pattern.match(text, at):
                tokens.append(Token(kind, match[0], at))
                at = match.end()
                break
        else:
            refuse(
                text,
                at,
                (
                    "this quote is never closed"
                    if text[at] in _UNCLOSED
                    else f"{text[at]!r} means nothing here"
                ),
            )
    return [*tokens, Token("end", "", len(text))]


_KINDS: tuple[tuple[Literal["number", "text", "word", "name", "sign"], re.Pattern[str]], ...] = (
    ("number", _NUMBER),
    ("text", _TEXT),
    ("name", _QUOTED),
    ("word", _WORD),
    ("sign", _SIGN),
)


def _stands(text: str, at: int, name: str) -> bool:
    """Tell whether a column's name stands at a place, and ends there."""
    end = at + len(name)
    return text.startswith(name, at) and not (
        text[end : end + 1].isalnum() or text[end : end + 1] in {"_", "/", "."}
    )


def refuse(text: str, at: int, fault: str) -> NoReturn:
    """Raise `InvalidInput` for what is wrong at a place of the condition."""
    place = f" at {short(text[at:])}" if text[at:].strip() else " at its end"
    raise InvalidInput(
        f"the condition {short(text)} cannot be understood{place}: {fault}; "
        "write it as lr > 0.01 AND env = 'pong'; a name with other signs in double quotes"
    )


def short(text: str) -> str:
    """Return a text as a message quotes it."""
    plain = " ".join(text.split())
    return repr(plain if len(plain) <= 60 else f"{plain[:59]}…")
