"""Engines beside what people use by hand: Slurm beside a bare array and submitit, ssh hosts beside
GNU parallel.

    tests/testbeds/slurm-up; eval "$(tests/testbeds/ssh-up)"
    python benchmarks/engines.py [--rounds 5] [--runs N] [--python PATH] [--hosts node1 node2]
        [--only slurm ssh]

Peers that are not installed are named. `--python` is an interpreter that has submitit; the hosts
are those that `ssh -F $RUNSLOT_SSH_CONFIG` reaches.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from engine_parts import slurm_arrays, ssh_hosts
from engine_parts.machine import Table, describe, place

Part = Callable[[Path, argparse.Namespace], Table]
SLURM_RUNS, SSH_RUNS = 100, 60


def slurm(directory: Path, options: argparse.Namespace) -> Table:
    """Return the table of short runs in an array."""
    runs = options.runs or SLURM_RUNS
    return slurm_arrays.measure(directory, runs, options.rounds, options.python)


def ssh(directory: Path, options: argparse.Namespace) -> Table:
    """Return the table of short runs on hosts."""
    config = os.environ.get("RUNSLOT_SSH_CONFIG")
    runs = options.runs or SSH_RUNS
    return ssh_hosts.measure(directory, config, options.hosts, runs, options.rounds)


PARTS: dict[str, Part] = {"slurm": slurm, "ssh": ssh}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, help="else 100 on Slurm, 60 on hosts")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with submitit")
    parser.add_argument("--hosts", nargs="+", default=["node1", "node2"])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    print(describe())
    with place() as directory:
        for name in options.only:
            print(f"\n{PARTS[name](directory, options).markdown()}", flush=True)


if __name__ == "__main__":
    main()
