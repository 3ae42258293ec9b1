"""Code that is edited while runs wait: copies that runs are made from; changes that are said, asked for, refused."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

HELPER = "SAID = 'first'\n"
SCRIPT = """
import sys, time
from pathlib import Path
import helper
while not Path(sys.argv[1]).exists():
    time.sleep(0.02)
print(helper.SAID, Path.cwd())
"""
FUNCTION = """
import helper, os, time
from pathlib import Path
def train(variant):
    while not Path(variant["go"]).exists():
        time.sleep(0.02)
    import late
    print(helper.SAID, late.SAID, os.getcwd())
"""


@pytest.fixture
def project(runslot):
    """A git work tree with a script in a subdirectory, something ignored, and something new; where it lies."""
    tree = runslot.directory / "project"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "script.py").write_text(SCRIPT)
    (tree / "sub" / "work.py").write_text(FUNCTION)
    (tree / "sub" / "late.py").write_text(HELPER)
    (tree / "sub" / "helper.py").write_text(HELPER)
    (tree / ".gitignore").write_text("data/\n")
    (tree / "data").mkdir()
    (tree / "data" / "large").write_bytes(b"\0" * 1000)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(tree)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    (tree / "sub" / "new.py").write_text("")
    runslot.directory = tree / "sub"
    return tree


def consoles(root, name):
    return sorted(path.read_text() for path in root.glob(f"{name}/2*/**/run_*/console.log"))


def edit(project):
    (project / "sub" / "helper.py").write_text("SAID = 'second'\n")
    (project / "sub" / "late.py").write_text("SAID = 'second'\n")


@pytest.mark.parametrize("start", ["script", "warm", "cold"])
def test_runs_of_a_copy_do_not_see_edits(runslot, project, until, start):
    go = project / "sub" / "go"
    if start == "script":
        work = ["--", sys.executable, "script.py", str(go)]
    else:
        work = ["work.py:train", "--start", start, "--grid", f"go={go}"]
    options = ["--name", "c", "--seeds", "4", "--snapshot-code", "--cpus-per-run", "1"]
    target = work if start == "script" else []
    launch = runslot.start("run", *([] if target else work), *options, *target)
    until(lambda: consoles(runslot.root, "c"))
    edit(project)
    go.touch()
    out, err = launch.communicate(timeout=60)
    assert launch.returncode == 0, out + err

    (directory,) = runslot.root.glob("c/2*")
    words = "first" if start == "script" else "first first"
    assert consoles(runslot.root, "c") == [f"{words} {directory}/code/sub\n"] * 4
    copied = {str(path.relative_to(directory / "code")) for path in (directory / "code").rglob("*.py")}
    assert copied == {"sub/script.py", "sub/work.py", "sub/late.py", "sub/helper.py", "sub/new.py"}
    assert not (directory / "code" / "data").exists()


def test_a_resume_uses_the_copy(runslot, project, until):
    go = project / "sub" / "go"
    args = ["run", "--name", "c", "--snapshot-code", "--seeds", "2", "--", sys.executable, "script.py", str(go)]
    launch = runslot.start(*args)
    until(lambda: consoles(runslot.root, "c"))
    runslot("stop", "c", "--kill")
    launch.communicate()
    edit(project)
    (project / "sub" / "script.py").write_text("raise SystemExit(3)\n")
    go.touch()
    said = runslot("resume", "c").stdout
    assert "changed" not in said
    assert {text.split()[0] for text in consoles(runslot.root, "c") if text} == {"first"}


def test_experiments_below_the_tree_are_not_copied(runslot, project):
    runslot("run", "--name", "c", "--root", "runs", "--snapshot-code", "--", sys.executable, "-c", "print(1)")
    runslot("run", "--name", "c", "--root", "runs", "--snapshot-code", "--", sys.executable, "-c", "print(1)")
    assert len(list((project / "sub" / "runs").glob("c/2*/code"))) == 2
    assert not list((project / "sub" / "runs").glob("c/2*/code/sub/runs"))


def test_what_is_too_large_to_be_code_is_refused(runslot, monkeypatch):
    from runslot.errors import InvalidInput
    from runslot.launch import code_copy

    tree = runslot.directory / "plain"
    (tree / "data").mkdir(parents=True)
    (tree / "data" / "a").write_bytes(b"\0" * 2_000_000)
    (tree / "script.py").write_text("")
    (tree / ".hidden").write_text("")
    (tree / "env").mkdir()
    (tree / "env" / "pyvenv.cfg").write_text("")
    assert code_copy.find_source(tree, ()).files == ("data/a", "script.py")
    monkeypatch.setattr(code_copy, "MOST_BYTES", 1_000_000)
    with pytest.raises(InvalidInput, match=r"data \(2 MB\).*gitignore"):
        code_copy.find_source(tree, ())


def changed(runslot):
    """Make an experiment of which a run failed, and change its script."""
    script = runslot.directory / "s.py"
    script.write_text("raise SystemExit(1)\n")
    runslot("run", "--name", "s", "--", sys.executable, "s.py", status=1)
    script.write_text("print('second')\n")


def test_a_changed_script_is_said_by_resume(runslot):
    changed(runslot)
    said = runslot("resume", "s", "--failed").stdout
    assert "note: the code of the command" in said
    assert "has changed" in said


def test_a_changed_script_is_refused_strictly(runslot):
    changed(runslot)
    said = runslot("resume", "s", "--failed", "--strict", status=2).stderr
    assert "cannot be continued strictly: the code of the command" in said


def test_an_accepted_change_is_recorded(runslot):
    changed(runslot)
    (runslot.directory / "go").touch()
    runslot("resume", "s", "--failed", "--accept-code-change")
    assert "changed" not in runslot("resume", "s", "--failed", "--strict").stdout


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_terminal_is_asked(runslot, answer):
    changed(runslot)
    ours, theirs = pty.openpty()
    resume = subprocess.Popen(
        [sys.executable, "-m", "runslot", "resume", "s", "--failed"],
        cwd=runslot.directory,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    seen = b""
    while b"as it is now?" not in seen:
        seen += os.read(ours, 4096)
    os.write(ours, answer.encode() + b"\n")
    try:
        while True:
            seen += os.read(ours, 4096)
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert resume.wait(60) == (0 if answer == "y" else 2)
    assert runslot.status("s")["counts"] == ({"succeeded": 1} if answer == "y" else {"failed": 1})


def test_into_with_a_copy_keeps_the_copy_until_a_change_is_accepted(runslot, project):
    go = project / "sub" / "go"
    go.touch()
    command = ["--", sys.executable, "script.py", str(go)]
    runslot("run", "--name", "c", "--snapshot-code", *command)
    (project / "sub" / "script.py").write_text("print('third')\n")
    (directory,) = runslot.root.glob("c/2*")
    said = runslot("run", "--into", str(directory), "--seeds", "2", *command).stdout
    assert "the runs use the copy" in said
    assert [text.split()[0] for text in consoles(runslot.root, "c")] == ["first", "first"]
    runslot("run", "--into", str(directory), "--seeds", "3", "--snapshot-code", "--accept-code-change", *command)
    assert [text.split()[0] for text in consoles(runslot.root, "c")] == ["first", "first", "third"]
    assert json.loads(Path(directory, "experiment.json").read_text())["code"]["copy"] == "code-2"
