"""How many runs a machine of a catalog does at a time."""

from __future__ import annotations

import pytest

from runslot.engines.sky.check import at_once
from runslot.engines.sky.client import Offer
from runslot.errors import InvalidInput
from runslot.hardware.resources import Resources


@pytest.mark.parametrize(
    ("vcpus", "gpus", "resources", "runs", "slots"),
    [
        (96, 8, {}, 100, 8),  # a run a GPU
        (96, 8, {"gpus": 2}, 100, 4),
        (4, 1, {"runs_per_gpu": 2}, 100, 2),
        (8, 0, {}, 100, 4),
        (8, 0, {"cpus": 2}, 100, 2),
        (8, 0, {}, 3, 4),
        (2, 0, {"cpus": 2}, 9, 1),  # each thread a core, as on machines of ARM
        (0, 0, {"cpus": 64}, 9, 1),  # not known
    ],
)
def test_slots_of_a_machine_that_only_the_catalog_knows(
    vcpus: float, gpus: int, resources: dict[str, int], runs: int, slots: int
) -> None:
    assert at_once(Offer("m", 1.0, vcpus, gpus), Resources(**resources), runs) == slots  # type: ignore[arg-type]


@pytest.mark.parametrize(("vcpus", "gpus", "resources"), [(4, 1, {"gpus": 2}), (4, 0, {"cpus": 8})])
def test_a_machine_that_is_too_small_for_a_run_is_refused(
    vcpus: float, gpus: int, resources: dict[str, int]
) -> None:
    with pytest.raises(InvalidInput, match=r"g4dn\.xlarge has no room for a run"):
        at_once(Offer("g4dn.xlarge", 1.0, vcpus, gpus), Resources(**resources), 4)  # type: ignore[arg-type]
