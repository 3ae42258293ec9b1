"""What the tests of the front doors share: scripts of the ancestors' shape, run as users run
them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runslot.errors import AffinityError
from runslot.rlpyt import quick_affinity_code

SCRIPTS = Path(__file__).parent / "scripts"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's project with the scripts in it, which is the current directory."""
    directory = tmp_path / "project"
    shutil.copytree(SCRIPTS, directory)
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where experiments go (see tests/conftest.py)."""
    return tmp_path / "runs"


@pytest.fixture
def run_script(project: Path) -> Run:
    """Run a script of the project to its end; it must succeed, with nothing on standard error."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", name, *arguments],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == "", done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def affinity_code() -> str:
    """A code of rlpyt's for this machine, with two run slots where it has two cores."""
    try:
        return quick_affinity_code(n_parallel=2, use_gpu=False)
    except AffinityError as error:
        pytest.skip(f"no affinity code describes this machine: {error}")
