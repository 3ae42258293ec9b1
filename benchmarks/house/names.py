"""The words of the source: names that a scope binds, class names, file names."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from source import Module

_PRONOUNS = "each own ours theirs others one some such which whose what why how there"
_PAST = (
    "found said told asked known left spoken heard wanted meant given taken seen got gone kept"
    " chosen"
)
PRONOUN_LIKE = frozenset(f"{_PRONOUNS} {_PAST}".split())
"""A variable is the noun of its value; these say of a value only that something was done to it, or
that it is there.
"""

_NOUNS_IN_ING = frozenset({"string", "setting", "standing", "testing", "smoothing"})
"""Words in -ing that name a thing: `testing`, what others' tests import; `standing`, whether a run
counts.
"""
_NOUNS_IN_ED = frozenset({"seed", "speed", "sacred"})
_IRREGULAR = (
    "begun built chosen drawn found given gone heard held kept known left lent made meant said seen"
    " sent shown"
)
_PARTICIPLES = frozenset(f"{_IRREGULAR} spoken taken thought told understood written".split())


@dataclass(frozen=True)
class Binding:
    """A name that a scope binds: a parameter, a variable, a field, an attribute that it sets."""

    module: Module
    line: int
    name: str

    @property
    def is_pronoun_like(self) -> bool:
        """Whether the name is no noun of its value."""
        return self.name.strip("_") in PRONOUN_LIKE


def bindings(module: Module) -> list[Binding]:
    """Return each name that each scope of `module` binds, once a scope; a comprehension is one, as
    a function, a class and a module are. `self`, `cls` and `_` are nobody's choice.
    """
    bound: list[Binding] = []
    for scope in [node for node in module.nodes if isinstance(node, _Scope)]:
        names: dict[str, int] = {}
        for name, line in _bound_in(scope):
            if name not in {"self", "cls", "_"}:
                names.setdefault(name, line)
        bound += [Binding(module, line, name) for name, line in names.items()]
    return bound


def repeated_classes(modules: list[Module]) -> dict[str, list[str]]:
    """Return the class names that stand in more than one place, with their places."""
    places = defaultdict(list)
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{module.path}:{node.lineno}")
    return {name: lines for name, lines in sorted(places.items()) if len(lines) > 1}


def is_verbal(stem: str) -> bool:
    """Tell whether a file's name ends in a gerund or a participle (`checking`, `given_up`'s
    `given`, `launched`).
    """
    words = stem.strip("_").split("_")
    last = words[-1]
    return (
        (last.endswith("ing") and last not in _NOUNS_IN_ING)
        or (last.endswith("ed") and last not in _NOUNS_IN_ED)
        or any(word in _PARTICIPLES for word in words)
    )


_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_Block = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Scope = _Block | _Comprehension


def _bound_in(scope: _Scope) -> Iterator[tuple[str, int]]:
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        arguments = scope.args
        starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]:
            yield argument.arg, argument.lineno
    if isinstance(scope, _Comprehension):
        for part in scope.generators:
            yield from _stored_in(part.target)
        return
    body = scope.body if isinstance(scope.body, list) else [scope.body]
    for node in body:
        yield from _stored_in(node)


def _stored_in(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id, node.lineno
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr, node.lineno
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name, node.lineno
    if isinstance(node, _Comprehension):  # whose walrus binds outside of it
        for part in ast.walk(node):
            if isinstance(part, ast.NamedExpr):
                yield part.target.id, part.lineno
    elif not isinstance(node, _Scope):
        for child in ast.iter_child_nodes(node):
            yield from _stored_in(child)
