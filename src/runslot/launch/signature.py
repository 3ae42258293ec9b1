"""How the user's function takes its variant, told before anything starts: as one dict, or as
keyword arguments.

A function that is named by text is not imported for it: its file is parsed. What a file cannot tell
(a decorator, a name that is made at import) is left to the run.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from runslot.errors import InvalidInput, nearest
from runslot.experiment.records import Function
from runslot.variants.encode import SEED_KEY

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
            shown = ", ".join(names) or "no key"
            raise InvalidInput(
                f"{named} takes neither the variant as one dict, as `def {function.name}(variant)`"
                f" would, nor its items ({shown}): {problem}"
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
    made: list[inspect.Parameter] = []
    for number, argument in enumerate(positional):
        kind = (
            kinds.POSITIONAL_ONLY
            if number < len(arguments.posonlyargs)
            else kinds.POSITIONAL_OR_KEYWORD
        )
        made.append(
            inspect.Parameter(
                argument.arg, kind, default=kinds.empty if number < first_default else ...
            )
        )
    if arguments.vararg is not None:
        made.append(inspect.Parameter(arguments.vararg.arg, kinds.VAR_POSITIONAL))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        made.append(
            inspect.Parameter(
                argument.arg, kinds.KEYWORD_ONLY, default=kinds.empty if default is None else ...
            )
        )
    if arguments.kwarg is not None:
        made.append(inspect.Parameter(arguments.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(made)
