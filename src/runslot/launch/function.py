"""The function of an experiment, as its launch sees it: how it reaches the processes of the runs,
and what it is to be called with.

It travels, as variants do that JSON cannot hold, by name or by value. By name where a new process
finds it by importing; by name in the script (`launch.script_pickle`) where it stands in the
`__main__` of a script with a main part; by value (cloudpickle) from other scripts, a REPL, a
notebook, a closure, a lambda.

How it takes its variant, as one dict or as keyword arguments, is told before anything starts. One
that is named by text is not imported for that: its file is parsed, and what a file cannot tell (a
decorator, a name that is made at import) is left to the run.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from runslot.errors import InvalidInput, NotInstalled, nearest
from runslot.execute.main_script import scripts_loading
from runslot.experiment.records import Function
from runslot.variants.encode import SEED_KEY


def refer(work: str | Callable[..., Any], unpack: bool = False) -> tuple[Function, bytes | None]:
    """Return how the runs find `work`, and its bytes where it travels by value.

    `work` is a callable, `"file.py:function"` or `"package.module:function"`.
    """
    if scripts_loading:  # for a run, which would launch without end
        raise InvalidInput(
            f"{scripts_loading[-1]} launches whenever it is loaded: do so below `if __name__ =="
            ' "__main__":`'
        )
    if isinstance(work, str):
        return _refer_to_text(work, unpack), None
    if not callable(work):
        raise InvalidInput(f"{work!r} is not a function, a command, or the text 'file.py:function'")
    name = getattr(work, "__qualname__", type(work).__qualname__)
    module = _importable_module(work)
    if module is not None:
        digest = digest_of_module(module) or digest_of_source(work)
        return Function(name, module=module, digest=digest, unpack=unpack), None
    digest = digest_of_source(work)
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


def digest_of_source(work: Any) -> str:
    """Return the hash of a function's source, or of its code; an empty string for what has none."""
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


# ---- how it takes its variant --------------------------------------------------------------------


_DYNAMIC = {"exec", "eval", "globals", "setattr", "vars", "locals", "__getattr__"}
"""Names in a module by which it may define what no statement shows."""


def takes_items(
    function: Function, work: str | Callable[..., Any], keys: Collection[tuple[str, ...]]
) -> bool:
    """Tell whether the runs are to pass the variant's items, not one dict; `keys` are those of each
    different variant.

    `InvalidInput` where it can take neither, where the file does not define it, or where a call
    would not run it.
    """
    signature = _of_callable(function, work) if callable(work) else _of_source(function)
    if signature is None or (
        _binds(signature, [object()], ()) is None and not _names_keys(signature, keys)
    ):
        return False
    named = f"{function.name}{signature}"
    for names in keys:
        seeded = (*names, SEED_KEY) if SEED_KEY in signature.parameters else names
        if problem := _binds(signature, [], seeded):
            key_text = ", ".join(names) or "no key"
            raise InvalidInput(
                f"{named} takes neither the variant as one dict, as `def {function.name}(variant)`"
                f" would, nor its items ({key_text}): {problem}"
            )
    return True


def _names_keys(signature: inspect.Signature, keys: Iterable[Sequence[str]]) -> bool:
    """Tell whether several parameters, the first among them, are named as the keys of all variants
    are.
    """
    first = next(iter(signature.parameters), "")
    return all(
        first in names
        and len(signature.parameters) > 1
        and not set(names) - set(signature.parameters)
        for names in keys
    )


def mistakable(
    function: Function, work: str | Callable[..., Any], keys: Iterable[str]
) -> str | None:
    """Return a sentence where the only parameter has the name of a key, but is given the whole
    variant.
    """
    signature = _of_callable(function, work) if callable(work) else _of_source(function)
    if signature is None:
        return None
    needed = [
        parameter for parameter in signature.parameters.values() if parameter.kind in _POSITIONAL
    ]
    if len(needed) != 1 or needed[0].name not in keys:
        return None
    name = needed[0].name
    return (
        f"{function.name}{signature} is given the whole variant, a dict, as {name};"
        f" {name}[{name!r}] is its value"
    )


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _binds(
    signature: inspect.Signature, positional: Sequence[object], names: Iterable[str]
) -> str | None:
    """Return what is wrong with a call, or None."""
    try:
        signature.bind(*positional, **dict.fromkeys(names))
    except TypeError as error:
        return str(error)
    return None


def _of_callable(function: Function, work: Callable[..., Any]) -> inspect.Signature | None:
    _refuse_kind(function, inspect.iscoroutinefunction(work), inspect.isgeneratorfunction(work))
    try:
        return inspect.signature(work)
    except (TypeError, ValueError):  # a builtin that does not say
        return None


def _refuse_kind(function: Function, is_async: bool, is_generator: bool) -> None:
    if is_async:
        raise InvalidInput(
            f"{function} is `async def`: a call of it runs nothing; wrap it, as asyncio.run({{…}})"
        )
    if is_generator:
        raise InvalidInput(
            f"{function} yields: a call of it runs nothing; wrap it in a function that goes"
            " through it"
        )


def _of_source(function: Function) -> inspect.Signature | None:
    path = function.file or _file_of_module(function.module or "")
    if path is None or "." in function.name:
        return None
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError):  # the run says it better
        return None
    except SyntaxError as error:
        raise InvalidInput(
            f"{path}, line {error.lineno}: {error.msg}; the runs could not import it"
        ) from None
    definitions = [
        statement for statement in tree.body if getattr(statement, "name", None) == function.name
    ]
    if not definitions:
        _refuse_unknown(function, path, tree)
    if (
        len(definitions) != 1
        or not isinstance(definitions[0], (ast.FunctionDef, ast.AsyncFunctionDef))
        or definitions[0].decorator_list
    ):
        return None
    is_async = isinstance(definitions[0], ast.AsyncFunctionDef)
    _refuse_kind(function, is_async, not is_async and any(_yields(definitions[0])))
    return _signature(definitions[0].args)


def _file_of_module(name: str) -> str | None:
    try:
        spec = importlib.util.find_spec(name)
    except Exception:  # noqa: BLE001  the user's packages are imported for it; the run shows what they raise
        return None
    return (
        None
        if spec is None or spec.origin is None or not spec.origin.endswith(".py")
        else spec.origin
    )


def _refuse_unknown(function: Function, path: str, tree: ast.Module) -> None:
    """Refuse a name that no statement of the module makes; nothing is said where some could make
    any.
    """
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                names.add(name)
            case ast.Name(id=name):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names.add(other or name.partition(".")[0])
            case _:
                pass
    if function.name not in names and not names & (_DYNAMIC | {"*"}):
        defined = [
            statement.name
            for statement in tree.body
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef))
        ]
        hint = nearest(function.name, defined) or (
            f"; it has {', '.join(defined)}" if defined else ""
        )
        raise InvalidInput(f"{path} has no function {function.name!r}{hint}")


def _yields(function: ast.AST) -> Iterator[bool]:
    for node in ast.iter_child_nodes(function):
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            yield True
        elif not isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
        ):
            yield from _yields(node)


def _signature(arguments: ast.arguments) -> inspect.Signature:
    kinds = inspect.Parameter
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    parameters: list[inspect.Parameter] = []
    for number, argument in enumerate(positional):
        kind = (
            kinds.POSITIONAL_ONLY
            if number < len(arguments.posonlyargs)
            else kinds.POSITIONAL_OR_KEYWORD
        )
        parameters.append(
            inspect.Parameter(
                argument.arg, kind, default=kinds.empty if number < first_default else ...
            )
        )
    if arguments.vararg is not None:
        parameters.append(inspect.Parameter(arguments.vararg.arg, kinds.VAR_POSITIONAL))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters.append(
            inspect.Parameter(
                argument.arg, kinds.KEYWORD_ONLY, default=kinds.empty if default is None else ...
            )
        )
    if arguments.kwarg is not None:
        parameters.append(inspect.Parameter(arguments.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(parameters)
