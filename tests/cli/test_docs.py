"""Every command of the README and of the pages of docs/: run in bash, and read by zsh as bash reads
it.

A block of `sh` that needs a cluster or a cloud says so in the line above it: `<!-- not run: WHY
-->`. Of those, and of `console` blocks, only what a shell makes of the command lines is tested.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>sh|console)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!-- not run: .{10,} -->\s*\Z")
_FILE = re.compile(
    r"^```(?:python|yaml)\n(?P<text># (?P<name>\w+\.(?:py|yaml))\b.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
"""A file that a reader makes, named in its first line."""
_NOT_RUN = {
    "make ": "sets up an environment",
    "python3 -m venv": "installs into the user's home",
    "pip install": "installs",
    "--on ": "names a cluster or a cloud",
    "--container": "names an engine",
    "launchers check": "names hosts",
    "runslot view": "serves until it is ended",
    "runslot selftest": "tests/faults runs it",
}
"""What a line of the README has that is not run, and why: there are no marks in it."""


@dataclass(frozen=True)
class Block:
    """The command lines of one block of a page."""

    page: Path
    line: int
    kind: str
    text: str
    runs: bool

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    def commands(self) -> list[str]:
        """Return the calls of runslot, each as it is typed."""
        text = self.text.replace("\\\n", " ")
        lines = [re.sub(r"^\$ ", "", line) for line in text.splitlines()]
        return [line for line in lines if line.startswith("runslot ")]


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            inside = "".join(
                line.removeprefix(match["indent"])
                for line in match["text"].splitlines(keepends=True)
            )
            line = text.count("\n", 0, match.start()) + 1
            marked = _MARK.search(text[: match.start()]) is not None
            yield Block(page, line, match["kind"], inside, match["kind"] == "sh" and not marked)


BLOCKS = list(blocks())
IN_ONE_GO = (README, TUTORIAL)

SCRIPT = """
import argparse, json, sys
parser = argparse.ArgumentParser()
for name in ("lr", "seed", "out", "hidden", "sizes", "root"):
    parser.add_argument(f"--{name}", nargs="*" if name == "sizes" else None)
parser.add_argument("--amp", action="store_true")
arguments = parser.parse_args()
for epoch in range(3):
    print(f"epoch {epoch} loss {float(arguments.lr or 1) / (epoch + 1)}")
"""
TRAIN = """
import sys
from runslot import logger

def train(variant):
    for epoch in range(10):
        logger.record_dict({"epoch": epoch, "loss": variant["lr"] / (epoch + 1)})
        logger.dump_tabular()

if __name__ == "__main__":
    print("loss 1")
"""
SWEEP = (
    "name: digits\nfunction: train.py:train\ngrid: {lr: [1e-1], hidden: [32]}\nresources: {cpus:"
    " 1}\n"
)
LAST = 'while [ "$1" != python ]; do shift; done; shift; exec python "$@"\n'
SCRIPT_OF_LAUNCHER = 'while [ "${1%.py}" = "$1" ]; do shift; done; exec python "$@"\n'


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with what the pages speak of, and stand-ins for programs that start Python
    in their way.
    """
    home = tmp_path_factory.mktemp("docs")
    directory, programs = home / "project", home / "bin"
    (home / "other").mkdir()
    directory.mkdir()
    python = Path(sys.executable)
    for name, text in {
        "train.py": TRAIN,
        "my_script.py": SCRIPT,
        "app.py": "",
        "sweep.yaml": SWEEP,
    }.items():
        (directory / name).write_text(text)
    (home / "other" / "train.py").write_text(TRAIN)
    (directory / "examples").symlink_to(ROOT / "examples")
    (directory / ".venv").symlink_to(python.parent.parent)
    program(programs / "runslot", f'exec {python} -m runslot "$@"\n')
    program(programs / "uv", LAST)
    prefixes = json.dumps({"envs": [str(home / "envs" / "rl")]})
    (home / "envs" / "rl" / "conda-meta").mkdir(parents=True)
    (home / "envs" / "rl" / "bin").symlink_to(python.parent)
    program(programs / "conda", f"echo '{prefixes}'\n")
    for name in ("torchrun", "accelerate"):
        program(programs / name, SCRIPT_OF_LAUNCHER)
    program(programs / "mpirun", LAST)
    return directory


def environment(project: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "RUNSLOT_ROOT"}
    return {
        **kept,
        "PATH": f"{project.parent / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def shell(
    name: str, text: str, project: Path, at: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    argv = {"bash": ["bash", "--norc", "-e", "-c"], "zsh": ["zsh", "-f", "-e", "-c"]}[name]
    return subprocess.run(
        [*argv, text],
        cwd=at or project,
        env={**environment(project), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.fixture
def launched(project: Path) -> Path:
    """Return the project, in which two experiments were run before."""
    if not (project / "runs").exists():
        setup = (
            "runslot run -q --name sweep train.py:train --grid lr=0.1\nrunslot run -q"
            " train.py:train --grid lr=0.1"
        )
        done = shell("bash", setup, project)
        assert done.returncode == 0, done.stderr
    return project


@pytest.mark.parametrize(
    "block", [each for each in BLOCKS if each.runs and each.page not in IN_ONE_GO], ids=str
)
def test_the_commands_of_a_page_run(block: Block, launched: Path) -> None:
    text = re.sub(r"\bDIR(/latest)?\b", "runs/sweep/latest", block.text.replace("\\\n", " "))
    done = shell("bash", text, launched)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_the_readme_is_carried_out_from_its_first_line_to_its_last(
    project: Path, tmp_path: Path
) -> None:
    for file in _FILE.finditer(README.read_text()):
        (tmp_path / file["name"]).write_text(file["text"])
    for block in BLOCKS:
        if block.page == README and block.kind == "sh":
            lines = [line.split(" #")[0] for line in block.text.splitlines()]
            lines = [line for line in lines if not any(part in line for part in _NOT_RUN)]
            text = "\n".join(lines).replace("--into DIR", "--into runs/train_digits/latest")
            done = shell(
                "bash", re.sub(r"\bDIR\b", "runs/train/latest", text), project, at=tmp_path
            )
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
            if "-- python train.py" in text:
                assert "4 variants, 20 runs · loss, lower is better" in done.stdout


def test_the_tutorial_leads_from_its_first_command_to_a_figure(
    project: Path, tmp_path: Path
) -> None:
    for file in _FILE.finditer(TUTORIAL.read_text()):
        (tmp_path / file["name"]).write_text(file["text"])
    printed = ""
    for block in [block for block in BLOCKS if block.page == TUTORIAL and block.runs]:
        done = shell("bash", block.text, project, at=tmp_path)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        printed += done.stdout
    assert "4 variants, 12 runs · loss, lower is better" in printed
    assert "2 variants, 10 runs" in printed
    assert (tmp_path / "loss.pdf").read_bytes().startswith(b"%PDF")
    frames = shell("bash", "python frames.py", project, at=tmp_path)
    assert "shape: (4, 6)" in frames.stdout, frames.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_zsh_reads_the_commands_of_a_page_as_bash_does(
    page: Path, project: Path, tmp_path: Path
) -> None:
    commands = [command for block in BLOCKS if block.page == page for command in block.commands()]
    if not commands:
        return
    if shutil.which("zsh") is None:
        pytest.skip("needs zsh")
    program(
        tmp_path / "bin" / "runslot",
        'for each; do printf "%s\\n" "$each" >>"$RECORD"; done\necho == >>"$RECORD"\n',
    )
    read = {}
    for name in ("bash", "zsh"):
        record = tmp_path / name
        done = shell(
            name,
            "\n".join(commands),
            project,
            PATH=f"{tmp_path}/bin:/usr/bin:/bin",
            RECORD=str(record),
        )
        assert done.returncode == 0, f"{page.name} in {name}: {done.stderr}"
        read[name] = record.read_text().split("==\n")
    assert read["zsh"] == read["bash"]
    assert len(read["zsh"]) == len(commands) + 1


def test_every_mark_is_above_a_block() -> None:
    marks = sum(page.read_text().count("<!-- not run:") for page in PAGES)
    assert marks == sum(block.kind == "sh" and not block.runs for block in BLOCKS)
