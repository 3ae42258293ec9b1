"""How a function, and variants that JSON cannot hold, reach the processes of the runs: by name, or
by value.

By name where a new process finds it by importing; by name in the script (`launch.function_pickle`)
where it stands in the `__main__` of a script with a main part; by value (cloudpickle) from other
scripts, a REPL, a notebook, a closure, a lambda.

How the functions and classes of the launching script's own `__main__` are pickled: by name in
that script.

`launch.function_pickle` uses it for scripts that can be loaded without launching: those with an `if
__name__ == "__main__":`. Beside the name go the values of the globals that the main part of the
script set or used, as far as the function needs them, and the function by value for where the
script is not (`execute.main_script` reads both).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import io
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import reduce
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle

from runslot.errors import InvalidInput, NotInstalled, nearest
from runslot.execute.import_calls import is_main_test
from runslot.execute.import_state import is_chance
from runslot.execute.main_script import (
    MainScript,
    digest_of_script,
    main_or_value,
    refuse_while_loading,
)
from runslot.experiment.records import Function


def refer(work: str | Callable[..., Any], unpack: bool = False) -> tuple[Function, bytes | None]:
    """Return how the runs find `work`, and its bytes where it travels by value.

    `work` is a callable, `"file.py:function"` or `"package.module:function"`.
    """
    refuse_while_loading()
    if isinstance(work, str):
        return _refer_to_text(work, unpack), None
    if not callable(work):
        raise InvalidInput(f"{work!r} is not a function, a command, or the text 'file.py:function'")
    name = getattr(work, "__qualname__", type(work).__qualname__)
    module = _importable_module(work)
    if module is not None:
        digest = digest_of_module(module) or _digest_of_source(work)
        return Function(name, module=module, digest=digest, unpack=unpack), None
    digest = _digest_of_source(work)
    return Function(name, pickle="function.pkl", digest=digest, unpack=unpack), by_value(
        work, f"function {name!r}"
    )


def by_value(value: Any, what: str) -> bytes:
    """Return `value` as cloudpickle bytes; `InvalidInput` says why it cannot travel."""
    try:
        import cloudpickle
    except ImportError:
        raise NotInstalled(
            f"{what} travels by value, which needs cloudpickle: pip install cloudpickle"
        ) from None
    module = _unimportable(value)
    if module is not None:
        cloudpickle.register_pickle_by_value(module)

    try:
        return dumps(value)
    except Exception as error:
        culprit = _culprit(value, cloudpickle.dumps)
        message = f"{what} cannot travel to another process: {culprit or error}"
        raise InvalidInput(message) from error
    finally:
        if module is not None:
            cloudpickle.unregister_pickle_by_value(module)


def import_path() -> tuple[str, ...]:
    """Return this process's `sys.path`, with the current directory spelled out."""
    return tuple(str(Path(entry).absolute()) if entry else str(Path.cwd()) for entry in sys.path)


def _refer_to_text(text: str, unpack: bool) -> Function:
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name:
        raise InvalidInput(
            f"{text!r} does not name a function: write file.py:function or package.module:function"
        )
    if not (where.endswith(".py") or os.sep in where):
        return Function(name, module=where, digest=digest_of_module(where), unpack=unpack)
    path = Path(where)
    if not path.is_file():
        near = nearest(path.name, [file.name for file in path.parent.glob("*.py")])
        raise InvalidInput(f"{text!r}: there is no file {path.absolute()}{near}")
    return Function(
        name, file=str(path.absolute()), digest=_digest(path.read_bytes()), unpack=unpack
    )


def _importable_module(work: Any) -> str | None:
    """Return the module in which a new process finds `work` under its name; None where it does
    not.
    """
    module = getattr(work, "__module__", None)
    name = getattr(work, "__qualname__", "<locals>")
    if not module or module == "__main__" or "<" in name:
        return None
    try:
        attribute = reduce(getattr, name.split("."), sys.modules[module])
    except (KeyError, AttributeError):
        return None
    return module if attribute is work and _found_by_import(sys.modules[module]) else None


def _found_by_import(module: ModuleType) -> bool:
    name = module.__name__
    top = name.partition(".")[0]
    if top != name and _spec_of(top) is None:  # its packages were made here, as by a test runner
        return False
    spec = _spec_of(name)
    if spec is None:
        return False
    file = getattr(module, "__file__", None)
    return (
        file is None or spec.origin is None or Path(file).resolve() == Path(spec.origin).resolve()
    )


def _spec_of(name: str) -> ModuleSpec | None:
    loaded = sys.modules.pop(name, None)  # find_spec would answer with what is loaded
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    finally:
        if loaded is not None:
            sys.modules[name] = loaded


def _unimportable(work: Any) -> ModuleType | None:
    """Return the module of `work` where cloudpickle would refer to it by name and a new process
    would not find it.
    """
    module = sys.modules.get(getattr(work, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or _found_by_import(module):
        return None
    return module


def _culprit(value: Any, dumps: Callable[[Any], bytes]) -> str:
    """Name the first thing that `value` uses and that does not pickle."""
    if isinstance(value, Mapping):
        parts: Mapping[str, Any] = {f"key {key!r}": item for key, item in value.items()}
    elif isinstance(value, FunctionType):
        used = inspect.getclosurevars(value)
        parts = {
            f"it uses {name!r}": item for name, item in {**used.globals, **used.nonlocals}.items()
        }
    else:
        return ""
    for name, part in parts.items():
        try:
            dumps(part)
        except Exception as error:  # noqa: BLE001  any pickling error is the answer
            return f"{name}, of type {type(part).__name__} ({error})"
    return ""


def _digest_of_source(work: Any) -> str:
    with suppress(OSError, TypeError):
        return _digest(inspect.getsource(work).encode())
    code = getattr(work, "__code__", None)
    return _digest(code.co_code + repr(code.co_consts).encode()) if code is not None else ""


def digest_of_file(path: str) -> str:
    """Return the hash of a file's content, or an empty string where it cannot be read."""
    try:
        return _digest(Path(path).read_bytes())
    except OSError:
        return ""


def digest_of_module(name: str) -> str:
    """Return the hash of the file that importing this module finds, or an empty string."""
    try:
        spec = importlib.util.find_spec(name)
    except Exception:  # noqa: BLE001  its packages are the user's; the template says it better, with the traceback
        return ""
    return "" if spec is None or spec.origin is None else digest_of_file(spec.origin)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


# ---- what a script holds -------------------------------------------------------------------------


def dumps(value: Any) -> bytes:
    """Return `value` as bytes; what this process's script defines in its `__main__` goes by
    name.
    """
    script = _script()
    if script is None:
        return bytes(cloudpickle.dumps(value))
    buffer = io.BytesIO()
    _ScriptPickler(buffer, script).dump(value)
    return buffer.getvalue()


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


class _ScriptPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
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
            by_value = bytes(cloudpickle.dumps(value))
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
        held = vars(main)[name]
        loads = name in script.defined
        if (
            (loads and name not in script.touched)
            or _is_of_main(held, script)
            or (loads and is_chance(held))
        ):
            continue
        if loads and isinstance(held, (ModuleType, FunctionType, type)):
            continue
        try:
            values[name] = _pickled(held)
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
        return bytes(cloudpickle.dumps(value))


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
