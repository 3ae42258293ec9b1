"""The record of what is rented, and whose results come home where machines had the same runs one
after another.
"""

from __future__ import annotations

import dataclasses
import time

from runslot.engines.sky.rental import Record, Rented
from runslot.transport.bucket import MachineShare


def machine(batch: str, name: str, **more: object) -> Rented:
    made = Rented(
        name, MachineShare(batch), 0, (("r1", 1),), "aws", 0.5, "cpu.small", launched=(time.time(),)
    )
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def test_a_machine_that_is_given_back_late_stays_older_than_the_one_that_has_its_runs_now() -> None:
    first, second = machine("b1", "rs-1"), machine("b2", "rs-2")
    record = Record("file:///x").with_machine(first).with_machine(second)

    record = record.with_machine(dataclasses.replace(first, ended=(time.time(),)))

    assert [each.name for each in record.machines] == ["rs-1", "rs-2"]
    assert not record.machines[0].alive
