"""How a function, and variants that JSON cannot hold, reach the processes of the runs: by name, or
by value.

By name where a new process finds it by importing; by name in the script (`launch.script_pickle`)
where it stands in the `__main__` of a script with a main part; by value (cloudpickle) from other
scripts, a REPL, a notebook, a closure, a lambda.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import reduce
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from runslot.errors import InvalidInput, NotInstalled, nearest
from runslot.execute.main_script import refuse_while_loading
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


def by_value(value: Any, subject: str) -> bytes:
    """Return `value` as cloudpickle bytes; `InvalidInput` says why it cannot travel."""
    try:
        import cloudpickle
    except ImportError:
        raise NotInstalled(
            f"{subject} travels by value, which needs cloudpickle: pip install cloudpickle"
        ) from None
    module = _unimportable(value)
    if module is not None:
        cloudpickle.register_pickle_by_value(module)
    from runslot.launch.script_pickle import dumps

    try:
        return dumps(value)
    except Exception as error:
        culprit = _culprit(value, cloudpickle.dumps)
        message = f"{subject} cannot travel to another process: {culprit or error}"
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
