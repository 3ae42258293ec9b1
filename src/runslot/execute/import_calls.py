"""What the code of the user's modules calls while it is imported: the time, chance, names that no
other process has.

`execute.import_state` asks after the import. A value such as `RUN = uuid4().hex` does not show
where it came from, so the code is read: all that an import executes, with the functions and classes
of the user's that it calls. Names are looked up in the modules as they stand, so that any alias is
seen. Nothing is executed.

To parse takes 2 ms for each hundred lines, so first it is asked which lines the import executed,
and whether one of them may call such a thing: what stands deeper than a `def` was executed only
where that function was called; a name that stands before a bracket counts as called.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_SOURCES: Mapping[str, tuple[str, ...]] = {
    "time": (
        "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "ctime",
        "localtime",
        "gmtime", "strftime", "asctime",
    ),
    "datetime": ("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    "uuid": ("uuid1", "uuid4"),
    "os": ("urandom", "getrandom", "getpid"),
    "secrets": ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "randbits", "choice"),
    "tempfile": (
        "mkdtemp", "mkstemp", "mktemp", "TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile",
        "SpooledTemporaryFile",
    ),
}  # fmt: skip
"""Functions of the standard library whose result is another one in every process."""

_DRAWS = (
    "random", "uniform", "randint", "randrange", "choice", "choices", "sample", "shuffle", "gauss",
    "normalvariate",
    "getrandbits", "randbytes", "betavariate", "expovariate", "lognormvariate", "triangular",
)  # fmt: skip
"""Of the module `random`."""

_LAST_WORDS = "|".join(
    sorted({name.rpartition(".")[2] for name in (*_DRAWS, *sum(_SOURCES.values(), ()))})
)
_WORDS = re.compile(rf"\b(?:{_LAST_WORDS})\b\s*(?:\(|as\b)|=\s*[\w.]*\b(?:{_LAST_WORDS})\b")
"""A call, or another name for one. Code that executed none is not parsed, which would cost more
than all else here.
"""

_DEPTH = 5
"""How many calls deep functions of the user's are followed."""


def find_call(modules: Iterable[ModuleType]) -> str:
    """Return in words what importing the modules drew or asked, the first of it; an empty string
    for nothing.
    """
    named = {module.__name__: module for module in modules}
    texts = {name: source_of(module) for name, module in named.items()}
    if (
        not any(map(_WORDS.search, texts.values()))
        or not ExecutedLines(named, texts, _WORDS).may_ask()
    ):
        return ""
    reader = _ImportReader(texts)
    return next((reason for name in texts if (reason := reader.read(name))), "")


def source_of(module: ModuleType) -> str:
    """Return the text of a module, or an empty string where there is none."""
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return ""
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


class _ImportReader:
    """Reads the modules of one import."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._trees: dict[str, ast.Module | None] = {}
        self._sources = dict(_resolved_sources())
        self._seeded = False
        """Whether `random.seed` was called with a seed: what is drawn after it is the same in every
        process.
        """
        self._visited: set[Any] = set()

    def read(self, name: str) -> str:
        """Return what importing this module calls, and on which line."""
        tree = self._tree(name)
        if tree is None:
            return ""
        lines = self._texts[name].splitlines()
        calling = [
            node
            for node in tree.body
            if any("(" in line for line in lines[node.lineno - 1 : node.end_lineno])
        ]
        return self._statements(calling, name, {}, 0)

    def _tree(self, name: str) -> ast.Module | None:
        if name not in self._trees:
            try:
                self._trees[name] = ast.parse(self._texts[name])
            # of another encoding, or made by an import hook
            except (
                SyntaxError,
                ValueError,
                KeyError,
            ):
                self._trees[name] = None
        return self._trees[name]

    def _statements(
        self, nodes: Iterable[ast.AST], name: str, local: dict[str, Any], depth: int
    ) -> str:
        space = {**vars(sys.modules[name]), **local}
        for node in _executed(nodes):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                space.update(_imported(node))
            elif isinstance(node, ast.Call):
                reason = self._call(node, space, depth)
                if reason:
                    return (
                        reason
                        if depth
                        else (
                            f"{reason} ({Path(str(sys.modules[name].__file__)).name}, line"
                            f" {node.lineno})"
                        )
                    )
        return ""

    def _call(self, node: ast.Call, space: Mapping[str, Any], depth: int) -> str:
        called = _resolve(node.func, space)
        if called is None:
            return ""
        source = self._sources.get(_key(called))
        if source == "random.seed":
            self._seeded = self._seeded or bool(node.args)
            return ""
        if source is not None:
            if source in ("time.localtime", "time.gmtime", "time.ctime") and node.args:
                return ""
            is_random = source.startswith("random.")
            return "" if is_random and self._seeded else f"importing it calls {source}()"
        return self._follow(called, depth)

    def _follow(self, called: Any, depth: int) -> str:
        """Read a function or a class of the user's that is called at import."""
        if (
            not issubclass(type(called), (FunctionType, type))
            or called in self._visited
            or depth == _DEPTH
        ):
            return ""
        self._visited.add(called)
        function: Any = called.__dict__.get("__init__") if isinstance(called, type) else called
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        if not isinstance(function, FunctionType) or function.__module__ not in self._texts:
            return ""
        tree = self._tree(function.__module__)
        line = function.__code__.co_firstlineno
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                if first == line and node.name == function.__name__:
                    return self._statements(node.body, function.__module__, {}, depth + 1)
        return ""


def _executed(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield what executes when these statements do, in their order: no bodies of functions, no main
    part.
    """
    for node in nodes:
        parts: Iterable[ast.AST]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            defaults = [value for value in node.args.kw_defaults if value is not None]
            parts = [*node.decorator_list, *node.args.defaults, *defaults]
        elif isinstance(node, ast.Lambda):
            parts = node.args.defaults
        elif isinstance(node, ast.If) and is_main_test(node.test):
            parts = node.orelse
        else:
            parts = ast.iter_child_nodes(node)
        yield from _executed(parts)
        yield node


def is_main_test(test: ast.expr) -> bool:
    """Tell whether this is the test of `if __name__ == "__main__":`."""
    names = {part.id for part in ast.walk(test) if isinstance(part, ast.Name)}
    texts = {part.value for part in ast.walk(test) if isinstance(part, ast.Constant)}
    return "__name__" in names and "__main__" in texts


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, Any]:
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: sys.modules.get(
                alias.name if alias.asname else alias.name.partition(".")[0]
            )
            for alias in node.names
        }
    module = sys.modules.get(node.module or "")
    return {alias.asname or alias.name: getattr(module, alias.name, None) for alias in node.names}


def _resolve(node: ast.expr, space: Mapping[str, Any]) -> Any:
    """Return the object that a dotted name means, None where that cannot be told without executing
    anything.
    """
    if isinstance(node, ast.Name):
        return space.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _resolve(node.value, space)
        # an attribute of another object might compute
        if issubclass(type(owner), (ModuleType, type)):
            return (
                vars(owner).get(node.attr)
                if isinstance(owner, ModuleType)
                else getattr(owner, node.attr, None)
            )
    return None


def _resolved_sources() -> Iterator[tuple[Any, str]]:
    for module, names in {**_SOURCES, "random": (*_DRAWS, "seed")}.items():
        for name in names:
            value: Any = sys.modules.get(module)
            for part in name.split("."):
                value = getattr(value, part, None)
            if value is not None:
                yield _key(value), f"{module}.{name}"


def _key(value: Any) -> Any:
    """Return what tells a callable: bound methods are made anew whenever they are looked up."""
    if type(value) in (MethodType, BuiltinFunctionType):
        return (id(value.__self__), value.__name__)
    return id(value)


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
