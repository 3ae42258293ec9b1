"""How many runs a machine does at a time, as far as a cloud's catalog tells. Pure."""

from __future__ import annotations

from dataclasses import replace

from runslot.engines.sky.client import Offer
from runslot.errors import InvalidInput
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve
from runslot.hardware.topology import Gpu, flat_topology


def at_once(offer: Offer, resources: Resources, runs: int) -> int:
    """Return how many of these runs a machine has slots for; `InvalidInput` where it has room for
    none.

    Clouds count hardware threads: two are taken for a core, unless the runs only fit where each is
    one.
    """
    if not offer.vcpus:
        return 1
    try:
        return _slots(offer, max(1, int(offer.vcpus) // 2), resources, runs)
    except InvalidInput:
        pass
    try:
        return _slots(offer, int(offer.vcpus), resources, runs)
    except InvalidInput as error:
        raise InvalidInput(f"{offer.what} has no room for a run: {error}") from error


def _slots(offer: Offer, cores: int, resources: Resources, runs: int) -> int:
    gpus = tuple(Gpu(number, str(number)) for number in range(offer.gpus))
    machine = replace(flat_topology("", tuple(range(max(1, cores)))), gpus=gpus)
    return max(1, len(carve(machine, resources, runs)))
