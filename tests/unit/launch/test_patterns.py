"""Patterns of paths: which files are the code, which come home."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runslot.errors import InvalidInput
from runslot.experiment.records import Command, ExperimentFile, LoggerSettings
from runslot.transport.patterns import Patterns, check_patterns, comes_home, fits

PATHS = (
    "a.py",
    "b.pt",
    "src/a.py",
    "src/data/x.csv",
    "data/x.csv",
    "data/deep/y.pt",
    "src/[1].txt",
    "x y/z.pt",
    "ü.pt",
)
PATTERNS = (
    "*.py",
    "a.py",
    "/a.py",
    "src/",
    "data",
    "data/",
    "/data/",
    "src/*.py",
    "data/*",
    "data/**",
    "**/x.csv",
)
PATTERNS += (
    "*.p?",
    "[ab].p[!y]",
    "src/**/x.csv",
    "x*/",
    "/*",
    "**",
    "deep",
    "src/data/x.csv",
    "[a-c].py",
    "\\*.py",
)


@pytest.mark.parametrize("pattern", [pattern for pattern in PATTERNS if "\\" not in pattern])
def test_a_pattern_means_what_it_means_to_git(pattern: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text(f"{pattern}\n")
    asked = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", "--no-index", "-z", "--stdin"],
        input="\0".join(PATHS).encode(), capture_output=True, check=False,
    )  # fmt: skip
    ignored = set(asked.stdout.decode().split("\0")) - {""}
    for path in PATHS:  # git asks the file system whether a path is a directory
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert {path for path in PATHS if fits(path, [pattern])} == ignored


def test_what_is_included_is_less_what_is_excluded() -> None:
    chosen = Patterns(("*.py", "data/"), ("data/deep/",))
    assert [path for path in PATHS if chosen.takes(path)] == [
        "a.py",
        "src/a.py",
        "src/data/x.csv",
        "data/x.csv",
    ]
    assert all(Patterns().takes(path) for path in PATHS)


@pytest.mark.parametrize(
    "pattern", ["!a.py", "", "/", "../up", "a/./b", "[z-a]", 3, ["a", 3], "a\0"]
)
def test_what_is_no_pattern_is_refused_by_name(pattern: object) -> None:
    with pytest.raises(InvalidInput, match="no_fetch"):
        check_patterns(pattern, "no_fetch")


def test_what_tells_how_a_run_went_comes_home_whatever_is_chosen() -> None:
    file = ExperimentFile(
        "x",
        Command(("true",)),
        0.0,
        "/",
        "python",
        logger=LoggerSettings(metrics="out/rows.csv"),
        fetch=("*.txt",),
        no_fetch=("*",),
    )
    always = (
        "outcome.json",
        "run.json",
        "attempt.json",
        "progress.csv",
        "console.log",
        "variant.json",
        "out/rows.csv",
    )
    assert all(comes_home(file, path) for path in always)
    assert all(
        comes_home(file, f"attempt_2/{name}")
        for name in ("console.log", "outcome.json", "progress_of_attempt.csv")
    )
    assert not any(
        comes_home(file, path)
        for path in ("params.pkl", "sub/console.log", "a.txt", "attempt_2/params.pkl")
    )
