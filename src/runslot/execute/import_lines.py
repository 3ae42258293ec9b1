"""Which lines an import executed, and whether one of them may ask for chance, the time or a name of
its own.

`execute.import_calls` asks before it parses anything, which takes 2 ms for each hundred lines. Of a
module's text, what stands deeper than a `def` was executed only where that function was called; a
name that stands before a bracket counts as called. What is answered here is `perhaps`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

_OPTIMIZED = 0x1
"""The flag of code that is a function's, not a module's or a class's (CO_OPTIMIZED)."""
_AT_ONCE = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_CALLED = re.compile(
    r"(?<![\w.])(def |class )?(?P<name>[A-Za-z_][\w.]*)\s*\(|@(?P<decorator>[A-Za-z_][\w.]*)"
)


class ExecutedLines:
    """The lines of the modules of one import, and of their functions that it may have called."""

    def __init__(
        self, modules: Mapping[str, ModuleType], texts: Mapping[str, str], words: re.Pattern[str]
    ) -> None:
        self._modules = modules
        self._lines = {name: text.splitlines() for name, text in texts.items()}
        self._words = words
        self._visited: set[CodeType] = set()

    def may_ask(self) -> bool:
        """Tell whether any of these lines has one of the words."""
        return any(
            self._has_word(lines_outside_functions(lines), name)
            for name, lines in self._lines.items()
        )

    def _calls_word(self, code: CodeType, module: str) -> bool:
        if code in self._visited:
            return False
        self._visited.add(code)
        lines = self._lines[module]
        return self._has_word(
            [lines[number - 1] for number in _lines_of(code) if 0 < number <= len(lines)], module
        )

    def _has_word(self, lines: list[str], module: str) -> bool:
        text = "\n".join(lines)
        if self._words.search(text):
            return True
        names = {
            match["name"] or match["decorator"] for match in _CALLED.finditer(text) if not match[1]
        }
        return any(
            self._calls_word(*called) for name in names for called in self._functions(name, module)
        )

    def _functions(self, name: str, module: str) -> Iterator[tuple[CodeType, str]]:
        """Yield the code of the user's functions, or of the class, that a dotted name means."""
        head, *rest = name.split(".")
        value: Any = vars(self._modules[module]).get(head)
        for part in rest:
            if not issubclass(type(value), (ModuleType, type)):
                return
            value = (
                vars(value).get(part)
                if isinstance(value, ModuleType)
                else getattr(value, part, None)
            )
        if isinstance(value, type):
            value = value.__dict__.get("__init__")
        while isinstance(value, FunctionType) and "__wrapped__" in vars(value):
            value = vars(value)["__wrapped__"]
        if isinstance(value, FunctionType) and value.__module__ in self._modules:
            yield value.__code__, value.__module__


def lines_outside_functions(lines: list[str]) -> list[str]:
    """Return the lines that do not stand in the body of a function."""
    outside = []
    function: int | None = None  # how deep the function stands whose body is being passed over
    brackets = 0  # of its signature, whose defaults are executed, that are open
    for line in lines:
        text = line.lstrip()
        if not text:
            continue
        if brackets <= 0:
            depth = len(line.expandtabs()) - len(text.expandtabs())
            if function is not None and depth > function:
                continue
            function = depth if text.startswith(("def ", "async def ")) else None
        if function is not None:
            brackets += sum(map(text.count, "([{")) - sum(map(text.count, ")]}"))
        outside.append(line)
    return outside


def _lines_of(code: CodeType) -> list[int]:
    """Return the lines that executing this code executes, those of classes and comprehensions in it
    among them.
    """
    lines = {line for _, _, line in code.co_lines() if line is not None}
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and (
            not constant.co_flags & _OPTIMIZED or constant.co_name in _AT_ONCE
        ):
            lines.update(_lines_of(constant))
    return sorted(lines)
