"""The script that draws a paper's figure again from its data: the functions that drew it, with
their settings.

`runslot.view.paper.figure` calls `script_for`. The functions are those of
`runslot.view.paper.axes`, found from `draw` by the names that their code uses, so that the script
holds all that it needs and nothing of other kinds of figures.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

import polars as pl

from runslot.view.paper import axes

_HEAD = '''"""Draws {name}.{kind} from {name}.csv; needs matplotlib. Written by runslot."""

import csv
import textwrap
import unicodedata
from typing import Any

'''
_TAIL = """

SETTINGS = {{
    {settings},
}}
READERS = {{{readers}}}

if __name__ == "__main__":
    import matplotlib
    from matplotlib.figure import Figure

    with open("{name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    points = {{key: [row[key] for row in rows] for key in rows[0]}}
    for key, read in READERS.items():
        points[key] = [read(value) if value else None for value in points[key]]
    with matplotlib.rc_context({{**STYLE, "font.family": SETTINGS["families"]}}):
        figure = draw(Figure, points, SETTINGS)
        figure.savefig("{name}.{kind}", dpi=SETTINGS["dpi"], metadata={metadata})
"""


def script_for(
    name: str, kind: str, table: pl.DataFrame, settings: Mapping[str, Any], metadata_key: str
) -> str:
    """Return a script that reads `name`.csv and draws it; the file that it writes says its caption
    by that key."""
    marks = dict.fromkeys(panel["mark"] for panel in settings["panels"])
    drawers = {mark: axes.MARKS[mark] for mark in marks}
    functions: dict[str, FunctionType] = {}
    constants: dict[str, Any] = {"STYLE": axes.STYLE}
    for function in (axes.draw, *drawers.values()):
        _collect(function, functions, constants)
    lines = [f"{constant} = {_literal(value)}" for constant, value in constants.items()]
    sources = sorted(
        functions.values(),
        key=lambda function: (function.__module__, function.__code__.co_firstlineno),
    )
    registry = ", ".join(f'"{mark}": {drawer.__name__}' for mark, drawer in drawers.items())
    texts = (inspect.getsource(function).strip("\n") for function in sources)
    body = "\n\n\n".join(["\n".join(lines), *texts, f"MARKS = {{{registry}}}"])
    readers = ((column, _reader_for(dtype)) for column, dtype in table.schema.items())
    return (
        _HEAD.format(name=name, kind=kind)
        + body
        + _TAIL.format(
            name=name,
            kind=kind,
            settings=",\n    ".join(f"{key!r}: {value!r}" for key, value in settings.items()),
            readers=", ".join(f"{column!r}: {reader}" for column, reader in readers if reader),
            metadata=f'{{{metadata_key!r}: SETTINGS["caption"]}}',
        )
    )


def _collect(
    function: FunctionType, functions: dict[str, FunctionType], constants: dict[str, Any]
) -> None:
    """Add a function, and all functions and constants of this project that it names."""
    if function.__name__ in functions:
        return
    functions[function.__name__] = function
    for name in sorted(_names_in(function.__code__)):
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType):
            _collect(value, functions, constants)
        elif name.isupper() and name != "MARKS":
            constants[name] = value


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):  # a lambda or a comprehension
            yield from _names_in(constant)


def _literal(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    return "{\n" + "".join(f"    {key!r}: {item!r},\n" for key, item in value.items()) + "}"


def _reader_for(dtype: pl.DataType) -> str:
    """Return the function, as Python writes it, that reads a value of a CSV; empty for text."""
    if dtype == pl.Boolean:
        return '"true".__eq__'
    return "int" if dtype.is_integer() else "float" if dtype.is_numeric() else ""
