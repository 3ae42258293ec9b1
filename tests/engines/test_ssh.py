"""A pool of two real ssh hosts keeps the contract of every launcher, and what only ssh hosts can suffer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from runslot.testing.contract import LauncherContract, Place, until

TESTBED = Path(__file__).parent.parent / "testbeds"
NODES = ("node1", "node2")

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def up() -> str:
    """Switch both hosts on, and return the ssh configuration that reaches them."""
    done = subprocess.run([TESTBED / "ssh-up"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("=")[2].strip()


def down(*nodes: str) -> None:
    """Switch hosts off as a power cut would."""
    subprocess.run([TESTBED / "ssh-down", *nodes], check=True)


@pytest.fixture(scope="module")
def testbed() -> Iterator[str]:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("two ssh hosts in namespaces want root on Linux")
    yield up()
    down()


@pytest.fixture
def ssh_config(testbed: str) -> str:
    up()  # what another test switched off
    return testbed


@pytest.fixture
def configured(ssh_config: str) -> Mapping[str, Any]:
    return {"kind": "ssh", "hosts": list(NODES), "config": ssh_config, "sync_every": 1, "lost_after": 8}


class TestSSH(LauncherContract):
    @pytest.fixture
    def configured(self, ssh_config: str) -> Mapping[str, Any]:
        return {"kind": "ssh", "hosts": list(NODES), "config": ssh_config, "sync_every": 1, "lost_after": 8}

    @contextmanager
    def lose_machine(self, place: Place) -> Iterator[None]:
        down("node1")
        yield
        up()
