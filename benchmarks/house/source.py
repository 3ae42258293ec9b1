"""The modules of a package as they stand on disk: name, path, text and tree. Every measure of the
house reads these.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    """Dotted, as it is imported; a package has the name of its directory."""
    path: Path
    text: str
    is_package: bool

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, str(self.path))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def lines(self) -> list[str]:
        """Its lines, as an editor counts them."""
        return self.text.splitlines()

    @property
    def room(self) -> str:
        """The package at the top in which it lies; `.` for what lies in none."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 2 or (self.is_package and len(parts) == 2) else "."


def read_modules(package: Path) -> list[Module]:
    """Return all modules below `package`, in the order of their names."""
    modules = []
    for path in package.rglob("*.py"):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(name, path, path.read_text(encoding="utf-8"), is_package))
    return sorted(modules, key=lambda module: module.name)
