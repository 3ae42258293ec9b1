"""Captured machines, and made-up ones of any shape."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runslot.hardware.topology import Core, Gpu, NumaNode, Package, Topology

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library that the real nvidia-ml-py loads as the driver's."""
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the fake driver library with")
    directory = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("fake_nvml.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", directory / "libnvidia-ml.so.1", source], check=True
    )
    return directory


@pytest.fixture
def no_nvidia(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment in which the driver has no GPU, also on a machine that has some."""
    if not Path("/proc/driver/nvidia").exists():
        return {}
    (tmp_path / "no-gpus.txt").write_text("")
    return {
        "FAKE_NVML": str(tmp_path / "no-gpus.txt"),
        "LD_LIBRARY_PATH": str(request.getfixturevalue("library")),
    }


@pytest.fixture(scope="session")
def golden() -> dict:
    """What hwloc says of each captured machine."""
    return json.loads((DATA / "topologies/golden.json").read_text())


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpack a captured machine and return its root."""
    roots: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in roots:
            roots[name] = tmp_path_factory.mktemp("machine")
            with tarfile.open(DATA / f"topologies/{name}.tar.xz") as archive:
                archive.extraction_filter = getattr(
                    tarfile, "data_filter", None
                )  # Python 3.10.12, 3.11.4 and newer
                archive.extractall(roots[name])
        return roots[name]

    return unpack


@pytest.fixture(scope="session")
def machine() -> Callable[..., Topology]:
    """Make a machine of equal packages, nodes and cores; GPUs lie beside nodes in the order
    given.
    """

    def make(
        packages=1, nodes=1, cores=4, smt=1, gpus=(), kinds=(), allowed=None, distances=()
    ) -> Topology:
        count = packages * nodes * cores
        every = tuple(
            Core(
                tuple(c + thread * count for thread in range(smt)),
                c // (nodes * cores),
                (c // cores,),
                kinds[c] if kinds else None,
            )
            for c in range(count)
        )

        def pus(chosen) -> tuple[int, ...]:
            return tuple(sorted(pu for core in chosen for pu in core.pus))

        numa = tuple(
            NumaNode(n, pus(c for c in every if c.numa == (n,)), 64 << 30)
            for n in range(packages * nodes)
        )
        return Topology(
            host="made-up",
            packages=tuple(
                Package(p, pus(c for c in every if c.package == p)) for p in range(packages)
            ),
            numa_nodes=numa,
            cores=every,
            gpus=tuple(
                Gpu(i, f"GPU-{i:04}", numa=(n,), pus=numa[n].pus, visible=str(i))
                for i, n in enumerate(gpus)
            ),
            online=pus(every),
            allowed=pus(every) if allowed is None else tuple(allowed),
            distances=distances,
        )

    return make
