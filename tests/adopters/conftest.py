"""Hydra applications as their users have them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

OURS = ("-m", "hydra/launcher=runslot")

HEAD = """
import os, sys, time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
"""


class Project:
    """An application's directory, and what its users do there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: list[subprocess.Popen[str]] = []

    def write(self, body: str, config: str = "lr: 1\n", main: str = "main()\n") -> None:
        conf = self.directory / "conf"
        conf.mkdir(exist_ok=True)
        (conf / "config.yaml").write_text(config)
        decorator = "@hydra.main(version_base=None, config_path='conf', config_name='config')\n"
        text = HEAD + body.replace("@main\n", decorator) + "if __name__ == '__main__':\n    " + main
        (self.directory / "train.py").write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "train.py", *arguments],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def train(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*OURS, "hydra.sweep.dir=out", *arguments)
        text, _ = process.communicate()
        assert process.returncode == code, text
        return text

    def runslot(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "runslot", *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def jobs(self, place: str = "out") -> list[Path]:
        runs = (self.directory / place / "runs.jsonl").read_text().splitlines()
        return [self.directory / place / json.loads(line)["directory"] for line in runs]

    def texts(self, name: str, place: str = "out") -> list[str]:
        return [(job / name).read_text() for job in self.jobs(place)]

    def outcomes(self, place: str = "out") -> list[str]:
        return [json.loads(text)["kind"] for text in self.texts("outcome.json", place)]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    directory = tmp_path / "project"
    directory.mkdir()
    project = Project(directory)
    yield project
    for process in project.processes:  # a test that failed leaves nothing that others stumble over
        with process:
            process.kill()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 110
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def program(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nexec {line}\n")
    path.chmod(0o755)
