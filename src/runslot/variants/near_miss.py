"""Text that reads almost like something else: what cannot be meant is refused, what may be is said.

Pure. `refuse_near_miss` is asked of every value without quotes, on the command line and in sweep files alike; quotes
make anything text. What is refused would else run to its end under a setting that nobody meant.
"""

from __future__ import annotations

import math
import re
import unicodedata

from runslot.errors import InvalidInput

_NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_DISTRIBUTIONS = ("loguniform", "log_uniform", "uniform", "integers", "randint", "choice", "normal", "lognormal")
_RANGES = ("range", "linspace", "logspace", "geomspace", "arange", "list", "tuple")
_CALL = r"(?s)(?:np\.|numpy\.|tune\.|random\.)?([A-Za-z_]+)\((.*)\)"
_SEVERAL_NUMBERS = rf"{_NUMBER}(?:[\s;|]+{_NUMBER})+"
_LEADING_ZERO = r"[-+]?0\d[\d_]*(?:\.\d*)?"
_NOT_FINITE = r"(?i)[-+]?(?:inf|infinity|nan)"
_FLOAT = _NUMBER
_TYPOGRAPHY = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
_YES_OR_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_ARITHMETIC = rf"{_NUMBER}(?:\s*(?:\*\*?|/|\^)\s*{_NUMBER})+"
_SPAN = r"\d+\s*(?:-|\.\.|:)\s*\d+"
_WHOLE_NUMBERS = r"\s*-?\d{1,9}\s*(?:,\s*-?\d{1,9}\s*){0,2}"
_SHOWN = 12
"""Values of a range that are written out."""
_LONGEST = 200
"""Characters of a text that is looked at; nobody types a longer number."""


def refuse_near_miss(text: str) -> None:
    """Refuse text without quotes that reads almost like a number, like choices or like a distribution.

    `InvalidInput` says what to write, for either meaning.
    """
    if len(text) <= _LONGEST and (hint := _meant(text)):
        raise InvalidInput(f"{text!r} {hint}; in quotes it is text")


def doubt(text: str) -> str | None:
    """Return what should be said of a value without quotes that is read in one way, and may be meant in another."""
    if len(text) > _LONGEST:
        return None
    if re.fullmatch(_LEADING_ZERO, text):
        number = text.replace("_", "").lstrip("+-0") or "0"
        return f"{text} is the number {'-' * text.startswith('-')}{number}; text with its zeros stands in quotes"
    if re.fullmatch(_NOT_FINITE, text):
        return f"{text!r} is text; the number is written {'-' * text.startswith('-')}.{text.lstrip('+-').lower()[:3]}"
    return _doubt_of_text(text)


def _doubt_of_text(text: str) -> str | None:
    if text.lower() in _YES_OR_NO:
        return f"{text!r} is text; the truth value is {_YES_OR_NO[text.lower()]}"
    if re.fullmatch(_ARITHMETIC, text):
        return f"{text!r} is text, it is not worked out; write the number"
    if text.startswith("(") and text.endswith(")"):
        return f"{text!r} is text; a list is written [{text[1:-1]}]"
    if re.fullmatch(_SPAN, text):
        return f"{text!r} is text; for several numbers write them with commas"
    return None


def _meant(text: str) -> str:
    """Return what is wrong with a text that cannot be meant as it stands; empty where nothing is."""
    if call := re.fullmatch(_CALL, text):
        return _meant_call(call[1], call[2], text)
    if re.fullmatch(_SEVERAL_NUMBERS, text):
        several = ",".join(re.split(r"[\s;|]+", text))
        return f"has no commas: write {several} for several values"
    return _meant_number(text)


def _meant_number(text: str) -> str:
    is_float = re.fullmatch(_FLOAT, text) and set(text) & set(".eE")
    if is_float and math.isinf(float(text.replace("_", ""))):
        return "is larger than any number: the largest is 1.8e308, and .inf is infinity"
    written = unicodedata.normalize("NFKC", text).translate(_TYPOGRAPHY)
    if written != text and re.fullmatch(rf"[\"']?{_NUMBER}[\"']?(?:\s*[,;]\s*{_NUMBER})*", written):
        return f"has characters of typography: write {written}"
    return ""


def _meant_call(name: str, inside: str, text: str) -> str:
    if name.lower() in _DISTRIBUTIONS:
        spelling = name if name in {"loguniform", "uniform", "integers", "choice"} else "loguniform(…), uniform(…)"
        return f"is a distribution, to be drawn from: --sample KEY={text if spelling == name else spelling} --samples N"
    if name.lower() in _RANGES:
        numbers = [int(part) for part in inside.split(",")] if re.fullmatch(_WHOLE_NUMBERS, inside) else []
        if name == "range" and 1 <= len(numbers) <= 3 and 0 not in numbers[2:]:
            values = range(*numbers)
            shown = ",".join(map(str, values[:_SHOWN])) + ",…" * (len(values) > _SHOWN)
            return f"is not worked out: write {shown or 'the values'}"
        return "is not worked out: write the values with commas between them"
    return ""
