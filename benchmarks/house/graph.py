"""Who imports whom: imports within functions counted, those for type checkers alone not.

A module that is reached by its name in a string (a command's table, an entry point) is no edge: the
string is there so that it is none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from source import Module

Graph = dict[str, set[str]]
"""For each module, those that it imports."""


def import_graph(modules: list[Module]) -> Graph:
    """Return the imports among `modules`."""
    names = {module.name for module in modules}
    return {module.name: set(_imports(module, names)) - {module.name} for module in modules}


def importers(graph: Graph) -> Graph:
    """Return the graph with its arrows turned round."""
    turned: Graph = {name: set() for name in graph}
    for importer, imported in graph.items():
        for name in imported:
            turned[name].add(importer)
    return turned


def cycles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules in which each reaches every other: Tarjan's strongly connected
    components.
    """
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for imported in sorted(graph[name]):
            if imported not in order:
                visit(imported)
                lowest[name] = min(lowest[name], lowest[imported])
            elif imported in stack:
                lowest[name] = min(lowest[name], order[imported])
        if lowest[name] == order[name]:
            position = stack.index(name)
            group = stack[position:]
            del stack[position:]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return groups


def _imports(module: Module, names: set[str]) -> Iterator[str]:
    for node in _executed(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            for alias in node.names:
                member = f"{base}.{alias.name}"
                if member in names:
                    yield member
                elif base in names:
                    yield base


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    parts = package[: len(package) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _executed(tree: ast.Module) -> Iterator[ast.AST]:
    """Walk the statements of `tree`, and those within them, without the blocks of `if
    TYPE_CHECKING:`.
    """
    statements: list[ast.AST] = [tree]
    while statements:
        statement = statements.pop()
        yield statement
        if (
            isinstance(statement, ast.If)
            and isinstance(statement.test, ast.Name)
            and statement.test.id == "TYPE_CHECKING"
        ):
            statements += statement.orelse
        elif not isinstance(statement, ast.expr):
            statements += ast.iter_child_nodes(statement)
