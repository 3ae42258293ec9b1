"""What carving, probing and leasing cost beside the work that they stand next to.

`python benchmarks/hardware.py [REPEATS]` prints medians in milliseconds, and each as a share of
starting one `python -c pass` on the same machine: what every run pays at least. Probing is measured
in fresh interpreters, since it happens once in a process; the drivers of GPUs are not asked.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from runslot.hardware.lease import Holder, Lease, Leases
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve
from runslot.hardware.topology import Core, Gpu, NumaNode, Package, Topology

PROBE = """
import time
from runslot.hardware.probe import probe
start = time.perf_counter()
probe(gpus=False)
print(time.perf_counter() - start)
"""


def machine(packages: int, nodes: int, cores: int, gpus: int) -> Topology:
    """Return a machine with two threads a core, `nodes` nodes a package and `cores` cores a
    node.
    """
    count = packages * nodes * cores
    every = tuple(Core((c, c + count), c // (nodes * cores), (c // cores,)) for c in range(count))

    def pus(first: int, number: int) -> tuple[int, ...]:
        return tuple(range(first, first + number)) + tuple(
            range(first + count, first + count + number)
        )

    numa = tuple(NumaNode(n, pus(n * cores, cores), 64 << 30) for n in range(packages * nodes))
    return Topology(
        host="made-up",
        packages=tuple(Package(p, pus(p * nodes * cores, nodes * cores)) for p in range(packages)),
        numa_nodes=numa,
        cores=every,
        gpus=tuple(
            Gpu(i, f"GPU-{i}", numa=(node.id,), pus=node.pus, visible=str(i))
            for i in range(gpus)
            for node in [numa[i * len(numa) // gpus]]
        ),
        online=pus(0, count),
        allowed=pus(0, count),
    )


def timed(action: Callable[[], object]) -> Callable[[], float]:
    """Return a function that says how many seconds `action` takes."""

    def run() -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    return run


def median(seconds: Callable[[], float], repeats: int) -> float:
    """Return the median of what `seconds` says."""
    return statistics.median(seconds() for _ in range(repeats))


def python(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def lease_time(leases: Leases, topology: Topology, resources: Resources) -> float:
    """Return the seconds of one `try_acquire` of the first slot."""
    slot = carve(topology, resources)[0]
    holder = Holder.of("benchmark", "0")
    start = time.perf_counter()
    lease = leases.try_acquire(slot, holder)
    taken = time.perf_counter() - start
    assert isinstance(lease, Lease)
    lease.close()
    return taken


def main() -> None:
    """Measure and print."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    large = machine(packages=2, nodes=4, cores=32, gpus=16)
    islands = machine(packages=64, nodes=2, cores=2, gpus=16)
    yardstick = median(timed(lambda: python("pass")), repeats)
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as directory:
        leases = Leases(Path(directory))
        rows = {
            "carve 256 cores, 16 GPUs": timed(lambda: carve(large, Resources())),
            "carve the same, 2 runs a GPU": timed(lambda: carve(large, Resources(runs_per_gpu=2))),
            "carve the same, 5 cores a run": timed(lambda: carve(large, Resources(cpus=5, gpus=0))),
            "carve 128 nodes, 100 cores a run": timed(
                lambda: carve(islands, Resources(cpus=100, gpus=0))
            ),
            "probe this machine": lambda: float(python(PROBE)),
            "lease of 1 core": lambda: lease_time(leases, large, Resources(cpus=1, gpus=0)),
            "lease of 4 cores and a GPU": lambda: lease_time(leases, large, Resources(cpus=4)),
            "lease of 16 cores and a GPU": lambda: lease_time(leases, large, Resources(cpus=16)),
        }
        print(f"{'what':34} {'median ms':>9} {'of a python -c pass':>20}")
        for name, action in rows.items():
            seconds = median(action, repeats)
            print(f"{name:34} {seconds * 1e3:9.3f} {seconds / yardstick:19.1%}")


if __name__ == "__main__":
    main()
