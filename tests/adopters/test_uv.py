"""uv itself: `--uv` makes the project's environment as `uv run` does, and the runs have its
Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.adopters

SHOW = "import sys\ndef show(variant=None): print(sys.prefix)\nif __name__ == '__main__': show()\n"
PROJECT = '[project]\nname = "toy"\nversion = "1"\nrequires-python = ">=3.10"\n'


@pytest.mark.parametrize(
    "work", [["show.py:show"], ["--", "python", "show.py"]], ids=["a function", "a command"]
)
def test_the_runs_have_the_environment_of_the_project(tmp_path: Path, work: list[str]) -> None:
    search_path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if shutil.which("uv", path=search_path) is None:
        pytest.skip("uv is not installed: make adopters brings it")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "show.py").write_text(SHOW)
    variables = {
        "PATH": search_path,
        "UV_PYTHON": sys.executable,
        "UV_OFFLINE": "1",
        "RUNSLOT_ROOT": str(tmp_path),
    }
    argv = [sys.executable, "-m", "runslot", "run", "--name", "uv", "--uv", *work]
    done = subprocess.run(
        argv,
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        tmp_path / "uv" / "latest" / "run_0" / "console.log"
    ).read_text() == f"{tmp_path / '.venv'}\n"
