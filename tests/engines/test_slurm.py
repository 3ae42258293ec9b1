"""A real Slurm of two nodes keeps the contract of every launcher, and what only Slurm does comes out right."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from runslot.testing.contract import LauncherContract, Place

TESTBED = Path(__file__).parent.parent / "testbeds"

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def up() -> None:
    """Start Slurm, or what of it is down."""
    done = subprocess.run([TESTBED / "slurm-up", "--accounting"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def down(*arguments: str) -> None:
    """End Slurm; or switch a node off, as a power cut would."""
    subprocess.run([TESTBED / "slurm-down", *arguments], check=True)


@pytest.fixture(scope="module")
def testbed() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own wants root")
    up()
    yield
    down()


@pytest.fixture
def slurm(testbed: None) -> Iterator[None]:
    """All nodes up again, whatever the test before did; afterwards no job is left."""
    up()
    yield
    subprocess.run(["scancel", "--user", "root"], check=True)


class TestOneRunATask(LauncherContract):
    entry = {"kind": "slurm"}  # noqa: RUF012

    @pytest.fixture
    def configured(self, slurm: None) -> Mapping[str, Any]:
        return self.entry

    @contextmanager
    def lose_machine(self, place: Place) -> Iterator[None]:
        down("node1")
        yield
        up()


class TestFourRunsATask(TestOneRunATask):
    entry = {"kind": "slurm", "runs_per_job": 4}  # noqa: RUF012
