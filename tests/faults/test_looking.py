"""Who only looks at experiments writes nothing into them, and executes and unpickles nothing of
theirs.

An audit hook in each command's own process tells: Python reports every opening, renaming and
unpickling to it.
"""

from __future__ import annotations

import pickle
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import pytest

from runslot import Experiment, Variant, current_run, logger

pytestmark = pytest.mark.fault

HOOK = """
import os, sys
_ROOT, _OUT = os.environ["AUDIT_ROOT"], os.open(os.environ["AUDIT_OUT"], os.O_WRONLY | os.O_APPEND)
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
            "os.chown", "os.utime", "os.setxattr", "os.mkfifo", "os.mknod", "shutil.rmtree"}

def _inside(path):
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    return isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(_ROOT)

def _hook(event, arguments):
    bad = False
    if event == "open":
        path, mode, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        bad = bool(writes) and _inside(path)
    elif event in _CHANGES:
        bad = any(_inside(each) for each in arguments)
    elif event == "pickle.find_class":
        bad = arguments[0] == "posix" or arguments[0].startswith("trap")
    elif event in {"os.system", "compile"}:
        bad = event == "os.system" or _inside(arguments[1])
    if bad:
        os.write(_OUT, f"{event} {arguments!r}"[:300].encode() + b"\\n")

sys.addaudithook(_hook)
"""


class Trap:
    """Whoever unpickles it calls `os.system`."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("true",)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an experiment whose runs have logged, with pickles that must not be opened."""

    class Net:
        pass

    def train(variant: dict) -> None:
        for step in range(5):
            logger.record_tabular("step", step)
            logger.record_tabular("loss", step * variant["lr"])
            logger.dump_tabular()
        run = current_run()
        assert run is not None
        (run.directory / "params.pkl").write_bytes(b"")
        if variant["lr"] == 2:
            raise ValueError("diverged")

    variants = [Variant({"lr": lr, "net": Net}, f"lr={lr}") for lr in (1, 2)]
    done = Experiment("e", train, variants=variants, root=tmp_path_factory.mktemp("looks")).launch(
        lambda _: None
    )
    trap = pickle.dumps(Trap())
    for run in done.directory.glob("lr=*/run_0"):
        for name in ("params.pkl", "variant.pkl", "experiment.pkl"):
            (run / name).write_bytes(trap)
    (done.directory / "function.pkl").write_bytes(trap)
    return done.directory


def environment(experiment: Path, place: Path) -> dict[str, str]:
    import os

    (place / "sitecustomize.py").write_text(textwrap.dedent(HOOK))
    (place / "audit").touch()
    audit = {
        "AUDIT_ROOT": str(experiment),
        "AUDIT_OUT": str(place / "audit"),
        "PYTHONPATH": str(place),
    }
    return {
        **os.environ,
        **audit,
        "PYTHONDONTWRITEBYTECODE": "1",
        "RUNSLOT_ROOT": str(experiment.parents[1]),
    }


def tree(experiment: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in [experiment, *experiment.rglob("*")]
    }


COMMANDS = (
    ["ls"], ["status", "--all"], ["status", "--json"], ["results"],
    ["queue"], ["queue", "--json"],
    ["logs", "lr=1/run_0"], ["results", "diff", "lr=1/run_0", "lr=2/run_0"], ["export", "--csv", "--out", "OUT"],
    ["plot", "-o", "OUT/figure.svg"],
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_who_looks_writes_nothing(command: list[str], experiment: Path, tmp_path: Path) -> None:
    before = tree(experiment)
    (tmp_path / "out").mkdir()
    argv = [part.replace("OUT", str(tmp_path / "out")) for part in command]
    argv = [sys.executable, "-m", "runslot", *argv]
    done = subprocess.run(
        argv,
        cwd=tmp_path,
        env=environment(experiment, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "audit").read_text() == ""
    assert tree(experiment) == before


def test_the_page_writes_nothing(experiment: Path, tmp_path: Path) -> None:
    before = tree(experiment)
    argv = [sys.executable, "-m", "runslot", "view", "--port", "0", "--no-token", str(experiment)]
    server = subprocess.Popen(
        argv,
        cwd=tmp_path,
        env=environment(experiment, tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert server.stdout is not None
        address = None
        while address is None and (line := server.stdout.readline()):
            address = re.search(rb"http://[^\s/]+", line)
        assert address is not None
        for page in ("/", "/_dash-layout", "/_dash-dependencies"):
            with urllib.request.urlopen(address[0].decode() + page, timeout=60) as answer:
                assert answer.status == 200
    finally:
        server.terminate()
        server.communicate()
    assert (tmp_path / "audit").read_text() == ""
    assert tree(experiment) == before


def test_a_page_that_a_shell_started_behind_an_ampersand_is_ended_by_an_interrupt(
    experiment: Path, tmp_path: Path
) -> None:
    argv = [sys.executable, "-m", "runslot", "view", "--port", "0", "--no-token", str(experiment)]
    # So a shell without job control starts what it puts behind `&`.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server = subprocess.Popen(
            argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().decode().strip()
        with urllib.request.urlopen(address, timeout=60) as answer:  # it answers, so it listens
            assert answer.status == 200
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
    finally:
        server.kill()
        server.communicate()


def test_the_hook_tells_of_who_writes(experiment: Path, tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; pathlib.Path(sys.argv[1], 'x').touch(); pathlib.Path(sys.argv[1],"
        " 'x').unlink()"
    )
    argv = [sys.executable, "-c", code, str(experiment)]
    subprocess.run(argv, env=environment(experiment, tmp_path), check=True)
    code = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    argv = [sys.executable, "-c", code, str(experiment / "function.pkl")]
    subprocess.run(argv, env=environment(experiment, tmp_path), check=True)
    told = (tmp_path / "audit").read_text()
    assert all(
        event in told for event in ("open ", "os.remove ", "pickle.find_class ", "os.system ")
    )
