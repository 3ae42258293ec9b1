"""How the functions and classes of the launching script's own `__main__` are pickled: by name in
that script.

`launch.function` uses it for scripts that can be loaded without launching: those with an `if
__name__ == "__main__":`. Beside the name go the values of the globals that the main part of the
script set or used, as far as the function needs them, and the function by value for where the
script is not (`execute.main_script` reads both).
"""

from __future__ import annotations

import ast
import functools
import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, ClassVar

import cloudpickle

from runslot.execute.import_calls import is_main_test
from runslot.execute.import_state import is_chance
from runslot.execute.main_script import MainScript, digest_of_script, main_or_value


def dumps(value: Any) -> bytes:
    """Return `value` as bytes; what this process's script defines in its `__main__` goes by
    name.
    """
    script = _script()
    if script is None:
        return _by_value(value)
    buffer = io.BytesIO()
    _ScriptPickler(buffer, script).dump(value)
    return buffer.getvalue()


def _by_value(value: Any) -> bytes:
    buffer = io.BytesIO()
    _ValuePickler(buffer).dump(value)
    return buffer.getvalue()


def _reduce_code(code: CodeType) -> tuple[Any, ...]:
    """Reduce code as cloudpickle does, with the file it is of, which tracebacks name."""
    make, parts, *rest = _cloudpickle_code(code)
    return (
        make,
        tuple(code.co_filename if part == "<dynamic-code>" else part for part in parts),
        *rest,
    )


_cloudpickle_code = cloudpickle.Pickler.dispatch_table[CodeType]


class _ValuePickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    dispatch_table: ClassVar[Mapping[type, Any]] = ChainMap(
        {CodeType: _reduce_code}, cloudpickle.Pickler.dispatch_table
    )


class _Script:
    """The launching script, with a main part, as it was read."""

    def __init__(self, path: str, data: bytes, tree: ast.Module) -> None:
        self.path = path
        self.digest = digest_of_script(data)
        parts = [node for node in tree.body if isinstance(node, ast.If) and is_main_test(node.test)]
        self.defined = {name for node in tree.body if node not in parts for name in _bound(node)}
        """Names that loading the script gives."""
        self.touched = set(_mentioned(tree, parts))
        """Names that its main part sets or uses, itself or in functions that it calls."""
        self.has_main_part = bool(parts)


def _script() -> _Script | None:
    path = getattr(sys.modules["__main__"], "__file__", None)
    if not path or not path.endswith(".py"):
        return None
    absolute = Path(path).absolute()
    try:
        script = _read(str(absolute), absolute.stat().st_mtime_ns)
    except (OSError, SyntaxError, ValueError):
        return None
    return script if script.has_main_part else None


@functools.lru_cache(maxsize=1)
def _read(path: str, _changed: int) -> _Script:
    data = Path(path).read_bytes()
    return _Script(path, data, ast.parse(data))


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement of a module binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Store):
            yield node.id
    elif not isinstance(node, ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _bound(child)


def _mentioned(tree: ast.Module, parts: Iterable[ast.AST]) -> Iterator[str]:
    functions = {
        node.name: node
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    waiting, visited = list(parts), set[str]()
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.Global):
                yield from node.names
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = node.func.id
                if name in functions and name not in visited:
                    visited.add(name)
                    waiting.append(functions[name])


class _ScriptPickler(_ValuePickler):
    def __init__(self, buffer: io.BytesIO, script: _Script) -> None:
        super().__init__(buffer)
        self._script = script

    def reducer_override(self, value: Any) -> Any:
        """Reduce what the script defines to its name; all else as cloudpickle does."""
        if not _is_of_main(value, self._script):
            return super().reducer_override(value)
        main, script = sys.modules["__main__"], self._script
        values, lost = _values(value, main, script)
        try:
            by_value = _by_value(value)
        except Exception:
            if lost:  # the run would have it neither way
                raise
            by_value = None
        spec = getattr(main, "__spec__", None)
        record = MainScript(
            script.path, script.digest, getattr(spec, "name", None), tuple(sys.argv), values
        )
        return main_or_value, (record, value.__qualname__, by_value)


def _is_of_main(value: Any, script: _Script) -> bool:
    if not isinstance(value, (FunctionType, type)) or value.__module__ != "__main__":
        return False
    first, *rest = value.__qualname__.split(".")
    if first not in script.defined:
        return False
    try:
        return functools.reduce(getattr, rest, vars(sys.modules["__main__"])[first]) is value
    except (AttributeError, KeyError):
        return False


def _values(value: Any, main: ModuleType, script: _Script) -> tuple[dict[str, bytes], list[str]]:
    """Return the pickled globals that `value` needs and the main part touched, and names that
    nothing can give.
    """
    values: dict[str, bytes] = {}
    lost = []
    for name in sorted(_used(value, vars(main))):
        global_value = vars(main)[name]
        loads = name in script.defined
        if (
            (loads and name not in script.touched)
            or _is_of_main(global_value, script)
            or (loads and is_chance(global_value))
        ):
            continue
        if loads and isinstance(global_value, (ModuleType, FunctionType, type)):
            continue
        try:
            values[name] = _pickled(global_value)
        except Exception:  # noqa: BLE001  any error of pickling is the answer
            if not loads:
                lost.append(name)
    return values, lost


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(
            value
        )  # with what the script defines by name: it is loaded there by then
    except Exception:  # noqa: BLE001  modules, lambdas
        return _by_value(value)


def _used(value: Any, space: dict[str, Any]) -> set[str]:
    """Return the globals that a function or a class of the script refers to, itself or through
    others of the script.
    """
    used: set[str] = set()
    waiting, visited = [value], set[int]()
    while waiting:
        item = waiting.pop()
        if id(item) in visited:
            continue
        visited.add(id(item))
        if isinstance(item, type):
            waiting += [
                part for part in (*vars(item).values(), *item.__mro__[1:]) if _is_code(part)
            ]
            continue
        function = getattr(item, "__func__", getattr(item, "fget", item))
        if not isinstance(function, FunctionType) or function.__globals__ is not space:
            continue
        names = {name for name in _names_in(function.__code__) if name in space}
        used |= names
        waiting += [space[name] for name in names if _is_code(space[name])]
        waiting += [
            cell.cell_contents for cell in function.__closure__ or () if _is_code(_content(cell))
        ]
    return used


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty yet
        return None


def _is_code(value: Any) -> bool:
    kind = isinstance(value, (FunctionType, type, staticmethod, classmethod, property))
    return kind and getattr(value, "__module__", "__main__") == "__main__"


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
