"""A fuzzer of command lines, sweep files and configuration: whatever is given, the answer is a
sentence.

Seeded, with a fixed number of inputs; a find prints its input. In this process where nothing is
started, since that is a hundred times as fast as a process each. `RUNSLOT_FUZZ=SEED:COUNT` tries
others.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runslot.__main__ import main

SEED, COUNT = (int(part) for part in os.environ.get("RUNSLOT_FUZZ", "13:120").split(":"))
ANSWER_TIME_S = 60.0
"""Far more than any refusal takes: what is over it has no bound."""
STATUSES = {0, 1, 2}

MODULE = """
def train(variant): pass
def items(lr, hidden=1): pass
class Net:
    def fit(self): pass
"""

# No path here leads out of the test's directory: `stop /` and `resume ..` mean every experiment
# below.
ODD_TEXTS = [
    *(
        "",
        " ",
        "-",
        "--",
        "=",
        "a=",
        "=1",
        ".",
        "~nobody",
        "a//b",
        "x" * 300,
        "x" * 100_000,
        "\udcff",
    ),
    *(
        "\x1b[2J",
        "a\nb",
        "\u202e",
        "None",
        "nan",
        "inf",
        "-1",
        "0",
        "1e400",
        "9" * 5000,
        "007",
        "1_000",
        "[",
        "[" * 2000,
    ),
    *(
        "{",
        "{}",
        "{lr}",
        "{lr:.3f}",
        "{{",
        "'",
        '"',
        "'a'b",
        "$HOME",
        "`x`",
        "a|b",
        "a;b",
        "*",
        "é",
        "²",
        "𝟙",
        "[/red]",
    ),
    *(
        "file",
        "dir",
        "loop",
        "m.py",
        "m.py:train",
        "m.py:items",
        "m.py:Net.fit",
        "m.py:no",
        "no.py:f",
        ":",
        "m:train",
    ),
    *(
        "os:getcwd",
        "..:f",
        ".m:f",
        "json.tool:main",
        "sweep.yaml",
        "no.yaml",
        "dir.yaml",
        "exp",
        "exp/experiment.json",
    ),
    *(
        "exp/run_0",
        "exp/run_0/console.log",
        "lr=0.1,0.2",
        "lr=",
        "lr=[1",
        "lr=uniform(0,1)",
        "lr=range(3)",
        "a.b.c=1,2",
    ),
    *(
        "seed=1,2",
        "run_dir=1",
        "a..b=1",
        "lr=1,1",
        "lr=(1,2)",
        "lr={a: 1}",
        "lr=0.1 0.2",
        "0-9",
        "7,",
        "5-2",
        "8GB",
        "10m",
    ),
]
COMMANDS = ["run"] * 12 + [
    *(
        "status",
        "resume",
        "stop",
        "attach",
        "logs",
        "pause",
        "continue",
        "pull",
        "ls",
        "results",
        "export",
        "plot",
        "queue",
    ),
    *("hardware", "schema", "launchers", "cloud", "nonsense", ""),
]
OPTIONS = [
    *(
        "--name",
        "--root",
        "--grid",
        "--zip",
        "--sample",
        "--samples",
        "--seeds",
        "--cpus-per-run",
        "--gpus-per-run",
    ),
    *(
        "--runs-per-gpu",
        "--memory-per-run",
        "--threads",
        "--retries",
        "--timeout",
        "--grace",
        "--start",
        "--max-failures",
    ),
    *(
        "--reserved-cpus",
        "--into",
        "--on",
        "--container",
        "--engine",
        "--max-cost",
        "--set",
        "--json",
        "-q",
        "--strict",
    ),
    *(
        "--metric",
        "--mode",
        "--where",
        "--limit",
        "-n",
        "--csv",
        "--out",
        "-o",
        "--all",
        "--every",
        "-f",
        "--wat",
    ),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a module, an experiment, a file, a link to itself; the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNSLOT_ROOT", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "m.py").write_text(MODULE)
    (tmp_path / "file").write_text("x\n")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir.yaml").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "sweep.yaml").write_text("function: m.py:train\ngrid: {lr: [0.1, 0.2]}\n")
    from runslot import Experiment

    made = Experiment(
        "exp", ["true", "{lr}"], variants={"lr": [1]}, root=tmp_path / "made"
    ).prepare()
    (tmp_path / "exp").symlink_to(made.path)
    yield tmp_path
    left = {path.name for path in tmp_path.iterdir()}
    known = {
        "m.py",
        "file",
        "dir",
        "dir.yaml",
        "loop",
        "sweep.yaml",
        "made",
        "exp",
        "config",
        "runslot.toml",
        ".locks",
    }
    assert left - known <= {
        "runs",
        "__pycache__",
        *(each for each in left if "export" in each or each.startswith("f.")),
    }


def answer(arguments: list[str]) -> tuple[int | None, str]:
    """Return the exit status and all that was printed; an exception that comes out is printed as it
    would be.
    """
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status: int | None = main(arguments)
        except SystemExit as ended:  # argparse's, of the commands for engines
            status = ended.code if isinstance(ended.code, int) else None
    for stream in (out, err):
        stream.flush()
    return status, "".join(stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]


def check(arguments: list[str], given: str = "") -> None:
    """Fail, with the input, where the answer is no sentence."""
    began = time.monotonic()
    shown = f"\nrunslot {arguments!r:.2000}\n{given:.2000}"
    try:
        status, text = answer(arguments)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} came out of{shown}") from error
    assert status in STATUSES, f"status {status} of{shown}\n{text[-2000:]}"
    assert "Traceback" not in text, shown + text[-2000:]
    assert status != 2 or text.strip(), f"refused without a word:{shown}"
    assert not re.search("[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202e]|\x1b\\[2J", text), (
        f"controls in the answer of{shown}"
    )
    assert len(text) < 200_000, f"an answer of {len(text)} characters to{shown}"
    assert time.monotonic() - began < ANSWER_TIME_S, f"{time.monotonic() - began:.0f} s for{shown}"


def command_lines(rng: random.Random) -> Iterator[list[str]]:
    while True:
        words = [rng.choice(COMMANDS)]
        if words == ["run"]:
            words += ["--dry-run"] + ["m.py:train"] * rng.choice((0, 1, 1))
        for _ in range(rng.randrange(5)):
            option = [rng.choice(OPTIONS)] if rng.random() < 0.6 else []
            words += [*option, *([rng.choice(ODD_TEXTS)] if rng.random() < 0.8 else [])]
        if words[0] == "run" and rng.random() < 0.3:
            words += [
                "--",
                *(
                    rng.choice(["python3", "m.py", "|", "A=1", "{lr}", *ODD_TEXTS])
                    for _ in range(rng.randrange(4))
                ),
            ]
        if (
            words[0] in {"attach", "resume", "view", "pull", "plot", "export"}
            or "-f" in words
            or "--follow" in words
        ):
            words = [
                word
                for word in words
                if word not in {"exp", "exp/run_0", "exp/experiment.json", "-f", "."}
            ]
        yield words


def test_every_command_line_is_answered_with_a_sentence(place):
    rng = random.Random(SEED)
    lines = command_lines(rng)
    for _ in range(COUNT):
        check(next(lines))


WORDS = [
    "function",
    "command",
    "grid",
    "zip",
    "sample",
    "samples",
    "variants",
    "seeds",
    "resources",
    "name",
    "root",
    "on",
    "container",
    "retries",
    "timeout",
    "grace",
    "start",
    "notify",
    "snapshot_mode",
    "max_failures",
    "odd",
    "1",
    "&a",
    "<<",
]
VALUES = [
    *(
        "m.py:train",
        "a.b:c",
        "python3 m.py {lr}",
        "python3 x | y",
        "[python3, m.py]",
        "[]",
        "{}",
        "null",
        "~",
        "true",
        "3",
    ),
    *(
        "-1",
        "1e400",
        "0x",
        "2024-01-01",
        "!!binary aGk=",
        "!!set {a}",
        "!!int a",
        "!!float ''",
        "!!timestamp x",
        "!x y",
    ),
    *(
        "{lr: [0.1, 0.2]}",
        "{lr: 0.1}",
        "{lr: [1, 1]}",
        "{lr: []}",
        "{1: 2}",
        "{[a]: b}",
        "{lr: uniform(0, 1)}",
        "{a.b: 1}",
    ),
    *(
        "&a [*a]",
        "*a",
        "*b",
        "{x: *a}",
        "{<<: *a}",
        "{<<: 3}",
        "'" + "x" * 300 + "'",
        "[" * 3000,
        "{a: " * 1500,
        '"\\ud800"',
    ),
    *(
        '"\\0"',
        '"\\e[2J"',
        "yes",
        "None",
        "007",
        ".inf",
        ".nan",
        "[{lr: 1}, {lr: 2}]",
        "[[1]]",
        "|\n  text",
        "- a",
        "%",
        "@",
    ),
]


def sweep_files(rng: random.Random) -> Iterator[str]:
    while True:
        lines = ["function: m.py:train"] if rng.random() < 0.6 else []
        for _ in range(rng.randrange(1, 5)):
            lines.append(f"{rng.choice(WORDS)}: {rng.choice(VALUES)}")
        text = "\n".join(lines) + "\n"
        for _ in range(rng.choice((0, 0, 0, 1, 3))):  # a slip of the hand
            at = rng.randrange(len(text))
            text = (
                text[:at]
                + rng.choice(
                    ["\t", ":", "-", "{", "}", "'", "\x00", "\ufeff", "#", "&", "*", "\n", ""]
                )
                + text[at + 1 :]
            )
        yield text


def test_every_sweep_file_is_answered_with_a_sentence(place):
    rng = random.Random(SEED)
    files = sweep_files(rng)
    for number in range(COUNT):
        text, name = next(files), f"f.{rng.choice(['yaml', 'yml', 'json'])}"
        Path(name).write_bytes(
            text.encode(errors="surrogateescape") + (b"\xff" if number % 50 == 0 else b"")
        )
        check(
            [
                "run",
                name,
                "--dry-run",
                *rng.choice([[], ["--set", f"{rng.choice(WORDS)}={rng.choice(VALUES)[:50]}"]]),
            ],
            text,
        )


JSON_VALUES: list[Callable[[random.Random], object]] = [
    lambda _: None,
    lambda _: True,
    lambda _: 3,
    lambda _: -1.5,
    lambda _: 10**400,
    lambda _: float("nan"),
    lambda _: "m.py:train",
    lambda _: "\ud800",
    lambda _: [1, "a", None],
    lambda _: {"lr": [0.1]},
    lambda _: {"": 1},
    lambda _: [[]],
    lambda rng: [{"a": rng.random()}],
]


def test_every_sweep_file_of_json_is_answered_with_a_sentence(place):
    rng = random.Random(SEED)
    for _ in range(COUNT // 4):
        value = {
            rng.choice(WORDS): rng.choice(JSON_VALUES)(rng) for _ in range(rng.randrange(1, 5))
        }
        text = json.dumps({"function": "m.py:train", **value})
        Path("f.json").write_text(text)
        check(["run", "f.json", "--dry-run"], text)


TOML = [
    *(
        "root = 3",
        'root = ""',
        'root = "~nobody"',
        'root = "a\\u0000b"',
        "launchers = 3",
        "[launchers]\nx = 1",
        "[launchers.x]",
    ),
    *(
        '[launchers.x]\nkind = "slurm"',
        '[launchers.x]\nkind = "ssh"',
        '[launchers.x]\nkind = "ssh"\nhosts = 3',
        "odd = 1",
        "= 1",
    ),
    *(
        '[launchers.x]\nkind = "slurm"\npartition = 3',
        '[launchers.x]\nkind = "nope"',
        '[launchers.x]\nkind = ["a"]',
        "[launchkit]\nx = 1",
    ),
    *(
        '[launchers.x]\nkind = "ec2"\nregion = []',
        "[launchkit]\nmodes = 1",
        "launchkit = 1",
        "x = " + "[" * 3000,
        "x = 1979-01-01",
    ),
    *(
        '[launchers."a b"]\nkind = "local"',
        "\udcff",
        "a.b.c.d = 1",
        "root = '/proc/none'",
        "[[launchers.x]]\nkind = 1",
    ),
]


def test_every_configuration_is_answered_with_a_sentence(place):
    rng = random.Random(SEED)
    for text in [*TOML, *("\n".join(rng.sample(TOML, 2)) for _ in range(COUNT // 20))]:
        Path("runslot.toml").write_bytes(text.encode(errors="surrogateescape"))
        for arguments in (
            ["ls"],
            ["launchers"],
            ["run", "m.py:train", "--dry-run", "--on", "x"],
            ["status"],
        ):
            check(arguments, text)
