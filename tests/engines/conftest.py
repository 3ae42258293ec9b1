"""Which tests follow one another: those of a testbed, which each of them may switch off; and how
tests look at what the fake queues hold.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _compiled(cached_archive: None) -> None:
    """Most launches here send runslot as one file."""


@contextmanager
def jobs_in(state: Path) -> Iterator[dict[str, Any]]:
    """Hold all jobs as a fake queue does, which writes them in place; they are written back."""
    with (state / "jobs.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        known = json.loads(file.read() or "{}")
        yield known
        file.seek(0)
        file.truncate()
        json.dump(known, file)


def testbed_of(nodeid: str) -> str:
    """Return what a test shares with others; itself where it shares nothing."""
    file = nodeid.partition("::")[0].rpartition("/")[2]
    if file == "test_containers.py":
        return "podman" if "podman" in nodeid.lower() else "docker"
    beds = {"test_ssh.py": "ssh", "test_slurm.py": "slurm", "test_skypilot.py": "slurm"}
    return beds.get(file, nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests of a testbed to one worker, where `--dist loadgroup` asks for that: by their
    names, since xdist 3.8 does not find its own marks with pytest 9.2.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByTestbed(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return testbed_of(nodeid)

    return ByTestbed(config, log)
