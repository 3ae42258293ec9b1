"""Engines beside what people use by hand: Slurm beside a bare array and submitit.

    tests/testbeds/slurm-up
    python benchmarks/engines.py [--rounds 5] [--runs 100] [--python PATH] [--only slurm]

Peers that are not installed are named. `--python` is an interpreter that has submitit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from engine_parts import slurm_arrays
from engine_parts.machine import Table, describe, place

Part = Callable[[Path, argparse.Namespace], Table]


def slurm(directory: Path, options: argparse.Namespace) -> Table:
    """Return the table of short runs in an array."""
    return slurm_arrays.measure(directory, options.runs, options.rounds, options.python)


PARTS: dict[str, Part] = {"slurm": slurm}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with submitit")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    print(describe())
    with place() as directory:
        for name in options.only:
            print(f"\n{PARTS[name](directory, options).markdown()}", flush=True)


if __name__ == "__main__":
    main()
