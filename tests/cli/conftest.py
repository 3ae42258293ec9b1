"""The command line as a user has it: real processes of `python -m runslot`, in a directory of their
own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TRAIN = '''
import sys, time
from runslot import logger

def train(variant):
    """Log a row an epoch; lr above 1 fails after the first."""
    print("training with", variant["lr"])
    for epoch in range(variant.get("epochs", 2)):
        logger.record_dict({"epoch": epoch, "loss": variant["lr"] / (epoch + 1)})
        logger.dump_tabular()
        if variant["lr"] > 1:
            raise ValueError("the loss is nan")

def wait(variant):
    """Go on until `go` lies in the working directory."""
    from pathlib import Path
    print("waiting", flush=True)
    while not Path("go").exists():
        time.sleep(0.02)
    print("went", flush=True)
'''

SCRIPT = """
import sys
print("\\n".join(sys.argv[1:]))
sys.exit(float(sys.argv[2]) > 1)
"""


class Cli:
    """Calls `runslot` in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = Path(os.environ["RUNSLOT_ROOT"])
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Carry out a command line; fail where its exit status is another than `status` (None:
        any).
        """
        done = subprocess.run(
            [sys.executable, "-m", "runslot", *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert status is None or done.returncode == status, (
            f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        assert "\nTraceback" not in "\n" + done.stderr
        return done

    def refused(self, *arguments: str) -> str:
        """Return the one message of a command line that is refused."""
        done = self(*arguments, status=2)
        assert done.stdout == ""
        assert done.stderr.startswith("runslot: ")
        return done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command line and go on."""
        process = subprocess.Popen(
            [sys.executable, "-m", "runslot", *arguments],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def events(self, *arguments: str, status: int | None = 0) -> list[dict[str, Any]]:
        """Return the objects that a command line with `--json` prints."""
        done = self(arguments[0], "--json", *arguments[1:], status=status)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def status(self, *arguments: str) -> dict[str, Any]:
        """Return the one experiment of `status --json`."""
        (experiment,) = json.loads(self("status", "--json", *arguments).stdout)["experiments"]
        return dict(experiment)

    def end(self) -> None:
        """End what was started."""
        (self.directory / "go").touch()
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def runslot(tmp_path: Path) -> Iterator[Cli]:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "script.py").write_text(SCRIPT)
    cli = Cli(tmp_path)
    yield cli
    cli.end()
