"""How the failure of the user's module at its import is told: the traceback without runslot's
frames around it.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import traceback

_MISSING = r"(?m)(?:^|: )ModuleNotFoundError: No module named '([^'.]+)'$"
_NOT_THE_USERS = (
    f"{Path(__file__).resolve().parents[1]}/",
    f"{Path(importlib.__file__).parent}/",
    "<frozen importlib",
)


def missing_module(text: str, python: str) -> str:
    """Return what to do where an error's text says that a module is not installed in `python`; else
    nothing.
    """
    missing = re.search(_MISSING, text)
    if missing is None:
        return ""
    if missing[1] == "runslot":
        return (
            f"{python} has no runslot, which a command that imports it needs: install it there too"
        )
    return (
        f"{python} has no module {missing[1]!r}: activate the environment that has it, "
        "or name its Python with --python PATH, --uv or --conda ENV"
    )


def describe_failure(error: BaseException) -> str:
    """Return the traceback, those of its causes included, without frames of runslot's and of
    Python's own import.
    """
    import traceback

    report = traceback.TracebackException.from_exception(error)
    _strip(report)
    return "".join(report.format() if report.stack else report.format_exception_only())


def _strip(report: traceback.TracebackException | None) -> None:
    if report is not None:
        frames = [frame for frame in report.stack if not frame.filename.startswith(_NOT_THE_USERS)]
        import traceback

        report.stack = traceback.StackSummary.from_list(frames)
        _strip(report.__cause__)
        _strip(report.__context__)
