"""YAML that configurations are written in: a quick reader of the plain part of it, ruamel.yaml for
the rest.

A thousand jobs of a sweep have a thousand configurations, and a whole YAML parser takes a second
for thirty of them.
"""

from __future__ import annotations

import re
from typing import Any

from runslot.errors import RunslotError

_ENTRY = re.compile(r"([A-Za-z_][\w./-]*):(?: +(\S.*))?")
_PLAIN = re.compile(r"[A-Za-z_/+-]?[\w./+=,()-][\w./ +=,()-]*|[A-Za-z]")
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d*)")
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d+)?")
_UNUSUAL = re.compile(
    r"[+-]?(0\d.*|0[xob].*|\d[\d_]*_[\d_.]*|\.[a-zA-Z].*|\d+(:\d+)+|\d{4}-\d\d?-\d\d?.*)|-|\?.*"
)
"""Scalars that YAML reads as something else than text or a plain number."""

Scalar = int | float | str | bool | None


class _NotPlain(Exception):
    pass


def read_yaml(text: str) -> Any:
    """Return what YAML says; tags such as `!!python/object` give plain values, never objects."""
    try:
        return _plain_yaml(text)
    except _NotPlain:
        pass
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="rt", pure=True).load(text)
    except YAMLError as error:
        raise RunslotError(
            f"is not YAML ({str(error).splitlines()[0]}); its hyperparameters are left out"
        ) from error


def scalar(text: str) -> Scalar:
    """Return a number or a truth value where a text is one, else the text."""
    if text in {"true", "True", "false", "False"}:
        return text in {"true", "True"}
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _plain_yaml(text: str) -> Any:
    """Read nested mappings of plain scalars and lists of them; raises `_NotPlain` for anything
    else."""
    lines = [
        (len(line) - len(line.lstrip(" ")), line.strip())
        for line in text.splitlines()
        if line.strip()
    ]
    value, end = _block(lines, 0, lines[0][0]) if lines else ({}, 0)
    if end < len(lines):
        raise _NotPlain
    return value


def _block(lines: list[tuple[int, str]], start: int, indent: int) -> tuple[Any, int]:
    """Return the mapping or the list whose first line is `start`, and the line after it."""
    end = start
    if lines[start][1].startswith("- "):
        items = []
        while end < len(lines) and lines[end][0] == indent and lines[end][1].startswith("- "):
            items.append(_value(lines[end][1][2:].strip()))
            end += 1
        return items, end
    mapping: dict[str, Any] = {}
    while end < len(lines) and lines[end][0] == indent and not lines[end][1].startswith("- "):
        entry = _ENTRY.fullmatch(lines[end][1])
        if entry is None or entry[1] in mapping:
            raise _NotPlain
        end += 1
        is_deeper = end < len(lines) and (
            lines[end][0] > indent or (lines[end][0] == indent and lines[end][1].startswith("- "))
        )
        if entry[2] is not None:
            mapping[entry[1]] = _value(entry[2])
        elif is_deeper:
            mapping[entry[1]], end = _block(lines, end, lines[end][0])
        else:
            mapping[entry[1]] = None
    return mapping, end


def _value(text: str) -> Any:
    if text in {"{}", "[]"}:
        return {} if text == "{}" else []
    if text in {"null", "~", "Null", "NULL"}:
        return None
    if text[0] == "[" and text[-1] == "]":
        return [_value(part.strip()) for part in text[1:-1].split(",")]
    if not _PLAIN.fullmatch(text) or _UNUSUAL.fullmatch(text):
        raise _NotPlain
    return text.lower() == "true" if text.lower() in {"true", "false"} else scalar(text)
