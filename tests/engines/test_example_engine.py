"""The engine of `examples/engine`, built and installed as a stranger does it, passes the contract
of all launchers.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "engine"

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the package is installed, beside what the tests' has."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the package, is not installed")
    directory = tmp_path_factory.mktemp("stranger")
    shutil.copytree(EXAMPLE, directory / "package")
    wheels, site = directory / "wheels", directory / "site"
    build = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(wheels),
    ]
    subprocess.run(build, cwd=directory / "package", check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    install = ["install", "--quiet", "--no-index", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    above = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{site}:{above}" if above else str(site)}


def test_the_example_is_found_by_its_entry_point_and_checked(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """No configuration: a kind that needs no keys is its own name."""
    command = [sys.executable, "-m", "runslot", "launchers", "check", "wrap"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ok   wrap: env: Python 3.")


def test_the_example_passes_the_contract(environment: dict[str, str], tmp_path: Path) -> None:
    """By its own test, away from this repository's settings."""
    shutil.copy(EXAMPLE / "test_wrap.py", tmp_path)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        "test_wrap.py",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "10 passed, 1 skipped" in done.stdout


def test_the_example_is_short() -> None:
    """What it takes is what a reader is to see."""
    assert len((EXAMPLE / "runslot_wrap.py").read_text().splitlines()) < 150
