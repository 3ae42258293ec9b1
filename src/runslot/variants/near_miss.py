"""Text that reads almost like something else: what cannot be meant is refused, what may be is said.

Pure. `refuse_near_miss` is asked of every value without quotes, on the command line and in sweep
files alike; quotes make anything text. What is refused would else run to its end under a setting
that nobody meant.
"""

from __future__ import annotations

import math
import re
import unicodedata

from runslot.errors import InvalidInput

_NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_KNOWN = ("loguniform", "uniform", "integers", "logintegers", "choice")
_DISTRIBUTIONS = (*_KNOWN, "log_uniform", "randint", "normal", "lognormal")
_RANGES = ("range", "linspace", "logspace", "geomspace", "arange", "list", "tuple")
_CALL = r"(?s)(?:np\.|numpy\.|tune\.|random\.)?([A-Za-z_]+)\((.*)\)"
_SEVERAL_NUMBERS = rf"{_NUMBER}(?:[\s;|]+{_NUMBER})+"
_LEADING_ZERO = r"[-+]?0\d[\d_]*(?:\.\d*)?"
_NOT_FINITE = r"(?i)[-+]?(?:inf|infinity|nan)"
_FLOAT = _NUMBER
_TYPOGRAPHY = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
)
_YES_OR_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_ARITHMETIC = rf"{_NUMBER}(?:\s*(?:\*\*?|/|\^)\s*{_NUMBER})+"
_SPAN = rf"\d+\s*-\s*\d+|{_NUMBER}\s*(?:\.\.|:)\s*{_NUMBER}"
_SECOND_SETTING = rf"(?s){_NUMBER}\s+[A-Za-z_][\w.]*=.*"
_UNFINISHED = rf"({_NUMBER})(?:[fF]|[eE][-+]?)"
_PERCENT = rf"{_NUMBER}\s*%"
_VARIABLE = r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\})"
_WHOLE_NUMBERS = r"\s*-?\d{1,9}\s*(?:,\s*-?\d{1,9}\s*){0,2}"
_SHOWN = 12
"""Values of a range that are written out."""
_LONGEST = 200
"""Characters of a text that is looked at; nobody types a longer number."""


def refuse_near_miss(text: str) -> None:
    """Refuse text without quotes that reads almost like a number, like choices or like a
    distribution.

    `InvalidInput` says what to write, for either meaning.
    """
    if len(text) <= _LONGEST and (hint := _meant(text)):
        raise InvalidInput(f"{text!r} {hint}; in quotes it is text")


def doubt(text: str) -> str | None:
    """Return what should be said of a value without quotes that is read in one way, and may be
    meant in another.
    """
    if len(text) > _LONGEST:
        return None
    if re.fullmatch(_LEADING_ZERO, text):
        number = text.replace("_", "").lstrip("+-0") or "0"
        return (
            f"{text} is the number {'-' * text.startswith('-')}{number}; text with its zeros stands"
            " in quotes"
        )
    if re.fullmatch(_NOT_FINITE, text):
        return (
            f"{text!r} is text; the number is written"
            f" {'-' * text.startswith('-')}.{text.lstrip('+-').lower()[:3]}"
        )
    return _doubt_of_number(text) or _doubt_of_text(text)


def _doubt_of_number(text: str) -> str | None:
    if re.fullmatch(_ARITHMETIC, text):
        return f"{text!r} is text, it is not worked out; write the number"
    if number := re.fullmatch(_UNFINISHED, text):
        return f"{text!r} is text; the number is written {number[1]}"
    if re.fullmatch(_PERCENT, text):
        return f"{text!r} is text; write the number, as 0.1 for 10 %"
    return None


def _doubt_of_text(text: str) -> str | None:
    if text.lower() in _YES_OR_NO:
        return f"{text!r} is text; the truth value is {_YES_OR_NO[text.lower()]}"
    if text.startswith("(") and text.endswith(")"):
        return f"{text!r} is text; a list is written [{text[1:-1]}]"
    if re.fullmatch(_VARIABLE, text):
        return f"{text!r} is text: no shell has put a value in its place, as between single quotes"
    if re.fullmatch(_SPAN, text):
        return f"{text!r} is text; for several numbers write them with commas"
    return None


def _meant(text: str) -> str:
    """Return what is wrong with a text that cannot be meant as it stands; empty where nothing
    is.
    """
    if call := re.fullmatch(_CALL, text):
        return _meant_call(call[1], call[2])
    if re.fullmatch(_SEVERAL_NUMBERS, text):
        several = ",".join(re.split(r"[\s;|]+", text))
        return f"has no commas: write {several} for several values"
    return _meant_number(text)


def _meant_number(text: str) -> str:
    is_float = re.fullmatch(_FLOAT, text) and set(text) & set(".eE")
    value = float(text.replace("_", "")) if is_float else 1.0
    if math.isinf(value):
        return "is larger than any number: the largest is 1.8e308, and .inf is infinity"
    if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        return "is smaller than any number, and would be 0"
    if re.fullmatch(rf"=+\s*{_NUMBER}", text):
        return f"begins with a further =: write {text.lstrip('= ')}"
    if re.fullmatch(_SECOND_SETTING, text):
        return "holds a second KEY=VALUE: each has an option of its own"
    written = unicodedata.normalize("NFKC", text).translate(_TYPOGRAPHY)
    if written != text and re.fullmatch(rf"[\"']?{_NUMBER}[\"']?(?:\s*[,;]\s*{_NUMBER})*", written):
        return f"has characters of typography: write {written}"
    return ""


def _meant_call(name: str, inside: str) -> str:
    if name.lower() in _DISTRIBUTIONS:
        is_known = name in _KNOWN
        arguments = (
            inside.strip()[1:-1]
            if name == "choice" and re.fullmatch(r"(?s)\s*\[.*\]\s*", inside)
            else inside
        )
        spelling = f"{name}({arguments})" if is_known else "loguniform(…), uniform(…)"
        return f"is a distribution, to be drawn from: --sample KEY={spelling} --samples N"
    if name.lower() in _RANGES:
        numbers = (
            [int(part) for part in inside.split(",")]
            if re.fullmatch(_WHOLE_NUMBERS, inside)
            else []
        )
        if name == "range" and 1 <= len(numbers) <= 3 and 0 not in numbers[2:]:
            values = range(*numbers)
            value_text = ",".join(map(str, values[:_SHOWN])) + ",…" * (len(values) > _SHOWN)
            return f"is not worked out: write {value_text or 'the values'}"
        return "is not worked out: write the values with commas between them"
    return ""
