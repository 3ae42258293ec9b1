"""The house in numbers: files, shares, names, cycles, lengths, and the modules on the way of a run.

    python benchmarks/house             print the measures
    python benchmarks/house --list      also what each one counts, with its place
    python benchmarks/house --check     fail where a measure is past its limit (`make lint`)

The limits stand in `LIMITS` and only ever get stricter: they hold what has been reached. What is
aimed at stands beside them.
"""

from __future__ import annotations

import argparse
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from graph import cycles, import_graph, importers
from names import bindings, is_verbal, repeated_classes
from source import Function, Module, read_modules
from way import modules_on_the_way

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "runslot"

SMALL_FILE_LINES = 40
LONG_FILE_LINES = 450
LONG_FUNCTION_LINES = 60
LONG_LINE_COLUMNS = 100
_ITEMS_OF_A_CHECK = 30


@dataclass(frozen=True)
class Limit:
    """What a measure may be at most (at least, where more is better), and what it should become."""

    value: float
    aim: float
    more_is_better: bool = False

    def is_kept_by(self, value: float) -> bool:
        """Tell whether `value` is within the limit; shares are compared as they are printed."""
        return (
            round(value, 2) >= self.value if self.more_is_better else round(value, 2) <= self.value
        )


LIMITS = {
    "largest package": Limit(16, 20),
    "lines a file, on average": Limit(190, 190, more_is_better=True),
    "files under 40 lines beside their one importer": Limit(0, 0),
    "files over 450 lines": Limit(0, 0),
    "functions over 60 lines": Limit(0, 0),
    "class names that occur twice": Limit(0, 0),
    "bound names that are pronoun-like": Limit(0.5, 0.5),
    "file names that are gerunds or participles": Limit(0, 0),
    "modules in import cycles": Limit(0, 0),
    "lines with a comment": Limit(1.4, 2, more_is_better=True),
    "lines over 100 columns": Limit(0.2, 0),
    "modules on the way of a run": Limit(75, 75),
}


_HEADING = f"{'':52}{'now':>9}{'limit':>9}{'aim':>9}"


@dataclass(frozen=True)
class Measure:
    """One number of the house, and what it counts."""

    name: str
    value: float
    items: list[str]
    unit: str = ""


def measures(modules: list[Module]) -> list[Measure]:
    """Measure the source alone."""
    return [
        _largest_room(modules),
        _average(modules),
        _small_files(modules),
        _long_files(modules),
        _long_functions(modules),
        _repeated_classes(modules),
        _pronouns(modules),
        _verbal_files(modules),
        _cycles(modules),
        _comments(modules),
        _long_lines(modules),
    ]


def _lines_of_rooms(modules: Iterable[Module]) -> Counter[str]:
    lines: Counter[str] = Counter()
    for module in modules:
        lines[module.room] += len(module.lines)
    return lines


def _largest_room(modules: list[Module]) -> Measure:
    lines = _lines_of_rooms(modules)
    share = {room: 100 * count / lines.total() for room, count in lines.most_common()}
    files = Counter(module.room for module in modules)
    items = [
        f"{room:12} {files[room]:4} files {lines[room]:6} lines {share[room]:5.1f} %"
        for room in share
    ]
    return Measure("largest package", max(share.values()), items, "%")


def _average(modules: list[Module]) -> Measure:
    """Of all files: docs/decisions/0021 says why not their number is measured."""
    lines = [len(module.lines) for module in modules]
    return Measure("lines a file, on average", sum(lines) / len(lines), [f"{len(lines)} files"])


def _small_files(modules: list[Module]) -> Measure:
    by_name = {module.name: module for module in modules}
    items = []
    for name, users in importers(import_graph(modules)).items():
        module = by_name[name]
        if module.is_package or len(module.lines) >= SMALL_FILE_LINES or len(users) != 1:
            continue
        (user,) = users
        if by_name[user].path.parent == module.path.parent:
            items.append(f"{_place(module)}: {len(module.lines)} lines, imported by {user} alone")
    return Measure(
        f"files under {SMALL_FILE_LINES} lines beside their one importer", len(items), items
    )


def _long_files(modules: list[Module]) -> Measure:
    long = [module for module in modules if len(module.lines) > LONG_FILE_LINES]
    items = [f"{_place(module)}: {len(module.lines)} lines" for module in long]
    return Measure(f"files over {LONG_FILE_LINES} lines", len(items), items)


def _long_functions(modules: list[Module]) -> Measure:
    items = []
    for module in modules:
        for node in module.nodes:
            if not isinstance(node, Function):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONG_FUNCTION_LINES:
                items.append(f"{_place(module, node.lineno)}: {node.name}, {length} lines")
    return Measure(f"functions over {LONG_FUNCTION_LINES} lines", len(items), items)


def _repeated_classes(modules: list[Module]) -> Measure:
    repeated = repeated_classes(modules)
    items = []
    for name, places in repeated.items():
        items.append(
            f"{name}: {', '.join(str(Path(place).relative_to(REPOSITORY)) for place in places)}"
        )
    return Measure("class names that occur twice", len(items), items)


def _pronouns(modules: list[Module]) -> Measure:
    bound = [binding for module in modules for binding in bindings(module)]
    pronouns = [binding for binding in bound if binding.is_pronoun_like]
    items = [f"{_place(binding.module, binding.line)}: {binding.name}" for binding in pronouns]
    return Measure(
        "bound names that are pronoun-like", 100 * len(pronouns) / len(bound), items, "%"
    )


def _verbal_files(modules: list[Module]) -> Measure:
    items = [_place(module) for module in modules if is_verbal(module.name.rpartition(".")[2])]
    return Measure("file names that are gerunds or participles", len(items), items)


def _cycles(modules: list[Module]) -> Measure:
    groups = cycles(import_graph(modules))
    return Measure(
        "modules in import cycles", sum(map(len, groups)), [" ↔ ".join(group) for group in groups]
    )


def _comments(modules: list[Module]) -> Measure:
    """Of the lines that are not blank, those that have a comment for a reader: `noqa` and the like
    alone are none.
    """
    commented = 0
    for module in modules:
        with tokenize.open(module.path) as handle:
            tokens = tokenize.generate_tokens(handle.readline)
            commented += sum(
                token.type == tokenize.COMMENT and _is_prose(token.string) for token in tokens
            )
    lines = sum(bool(line.strip()) for module in modules for line in module.lines)
    return Measure("lines with a comment", 100 * commented / lines, [], "%")


def _is_prose(comment: str) -> bool:
    text = comment.lstrip("# ")
    return not text.startswith(("type:", "fmt:", "!")) and not (
        text.startswith("noqa") and "  " not in text
    )


def _long_lines(modules: list[Module]) -> Measure:
    lines = [line for module in modules for line in module.lines if line.strip()]
    items = []
    for module in modules:
        for number, line in enumerate(module.lines, 1):
            if len(line) > LONG_LINE_COLUMNS:
                items.append(f"{_place(module, number)}: {len(line)}")
    return Measure(
        f"lines over {LONG_LINE_COLUMNS} columns", 100 * len(items) / len(lines), items, "%"
    )


def _place(module: Module, line: int | None = None) -> str:
    path = str(module.path.relative_to(REPOSITORY))
    return path if line is None else f"{path}:{line}"


def report(taken: list[Measure], items: int) -> None:
    """Print a line a measure, and up to `items` of what it counts."""
    for measure in taken:
        limit = LIMITS[measure.name]
        numbers = "".join(
            f"{_written(number, measure.unit):>9}"
            for number in (measure.value, limit.value, limit.aim)
        )
        print(f"{measure.name:52}{numbers}")
        for item in measure.items[:items]:
            print(f"    {item}")
        if items and len(measure.items) > items:
            print(f"    … and {len(measure.items) - items} more: --list")


def _written(number: float, unit: str) -> str:
    return f"{number:.2f} {unit}" if unit else f"{number:.0f}"


def main() -> int:
    """Measure, print, and with --check return 1 where a limit is passed."""
    parser = argparse.ArgumentParser(prog="house", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="also print what each measure counts")
    parser.add_argument(
        "--check", action="store_true", help="print only what is past its limit, and fail for it"
    )
    arguments = parser.parse_args()
    way = modules_on_the_way(PACKAGE)
    taken = [
        *measures(read_modules(PACKAGE)),
        Measure("modules on the way of a run", len(way), way),
    ]
    if not arguments.check:
        print(_HEADING)
        report(taken[:2], sys.maxsize)
        report(taken[2:], sys.maxsize if arguments.list else 0)
        return 0
    passed = [measure for measure in taken if not LIMITS[measure.name].is_kept_by(measure.value)]
    if passed:
        print("the house is past its limits (benchmarks/house/__main__.py):")
        print(_HEADING)
        report(passed, _ITEMS_OF_A_CHECK)
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main())
