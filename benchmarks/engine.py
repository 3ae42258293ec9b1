"""The engine beside its peers: scripts, functions, the turnaround of a slot, and large experiments.

    python benchmarks/engine.py [--write] [--rounds N] [--runs N] [--python PATH] [--only PART …]

Peers that are not installed are named. `--python` is an interpreter that has submitit, Ray, joblib,
torch, cloudpickle. `--write` replaces docs/performance.md; with `--only`, those parts of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engine_parts import functions, scale, scripts, turnaround
from engine_parts.machine import Table, describe, place

_PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
_PARTS = ("scripts", "functions", "scale")


def main() -> None:
    """Measure, print, and on request write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="the interpreter for functions, with the peers in it",
    )
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    asked = parser.parse_args()
    if asked.write and asked.rounds < 5:
        parser.error("--write needs 5 rounds or more")
    print(describe())
    with place() as directory:
        tables = measure(directory, asked)
    if asked.write:
        whole = tuple(asked.only) == _PARTS
        _PAGE.write_text(
            page(tables, asked.rounds)
            if whole
            else with_part(_PAGE.read_text(), tables, asked.only)
        )
        print(f"written: {_PAGE}")


def measure(directory: Path, asked: argparse.Namespace) -> list[Table]:
    """Return the tables, each printed when it is there."""
    tables: list[Table] = []
    made: dict[str, list[Path]] = {}

    def show(*further: Table) -> None:
        for table in further:
            print(f"\n{table.markdown()}", flush=True)
        tables.extend(further)

    if "scripts" in asked.only:
        table, made["scripts"] = scripts.measure(directory, asked.runs, asked.rounds)
        show(table)
    if "functions" in asked.only:
        further, experiments = functions.measure(directory, asked.runs, asked.rounds, asked.python)
        made |= experiments
        show(*further)
    if made:
        show(turnaround.measure(made))
    if "functions" in asked.only:
        show(turnaround.measure_functions(directory, 40, asked.rounds, asked.python))
    if "scale" in asked.only:
        show(scale.measure(directory, (10_000, 100_000), asked.rounds))
    return tables


def page(tables: list[Table], rounds: int) -> str:
    """Return docs/performance.md."""
    intro = (
        "# Performance\n\nWritten by `python benchmarks/engine.py --write`; do not edit. Figures"
        f" compare what ran\nside by side in the same {rounds} rounds on one machine: elsewhere"
        " ratios are similar, times are not.\n"
    )
    # Others' work on the machine shows here: the three figures are of the last 1, 5 and 15 minutes.
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    versions = f"{describe()}\n- {time.strftime('%Y-%m-%d')}; load average at the end {load}\n\n"
    return f"{intro}\n{versions}" + "\n".join(table.markdown() for table in tables)


def with_part(text: str, tables: list[Table], parts: Sequence[str]) -> str:
    """Return the page with the tables of some parts replaced, row by row, and with when that
    was.
    """
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    note = (
        f"- measured again, {' and '.join(parts)}: {time.strftime('%Y-%m-%d')}; load average at the"
        f" end {load}\n"
    )
    head, *sections = text.split("\n## ")
    new = {made.split("\n", 1)[0]: made for made in (table.markdown()[3:] for table in tables)}
    lines = [
        line for line in head.split("\n") if not line.startswith(note.split(":", maxsplit=1)[0])
    ]
    head = "\n".join(lines).rstrip() + "\n" + note
    merged = [_merged(old, new.get(old.split("\n", 1)[0])) for old in sections]
    return "\n## ".join([head, *merged])


def _merged(old: str, new: str | None) -> str:
    if new is None:
        return old
    rows = {line.split("|")[1]: line for line in new.split("\n") if line.startswith("| ")}
    kept = [
        line
        for line in old.rstrip().split("\n")
        if line.startswith("| ") and line.split("|")[1] not in rows
    ]
    same = any(line.split("|")[1] in rows for line in old.split("\n") if line.startswith("| "))
    return (
        new.rstrip() + "\n" + "".join(f"{line}\n" for line in kept if same and "xargs" not in old)
    )


if __name__ == "__main__":
    main()
