"""Code that is edited while runs wait: copies that runs are made from; changes that are said, asked
for, refused.
"""

from __future__ import annotations

import json
import os
import pty
import re
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
    """A git work tree with a script in a subdirectory, something ignored, and something new; where
    it lies.
    """
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
    copied = {
        str(path.relative_to(directory / "code")) for path in (directory / "code").rglob("*.py")
    }
    assert copied == {"sub/script.py", "sub/work.py", "sub/late.py", "sub/helper.py", "sub/new.py"}
    assert not (directory / "code" / "data").exists()


def test_a_resume_uses_the_copy(runslot, project, until):
    go = project / "sub" / "go"
    args = [
        "run",
        "--name",
        "c",
        "--snapshot-code",
        "--seeds",
        "2",
        "--",
        sys.executable,
        "script.py",
        str(go),
    ]
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
    runslot(
        "run",
        "--name",
        "c",
        "--root",
        "runs",
        "--snapshot-code",
        "--",
        sys.executable,
        "-c",
        "print(1)",
    )
    runslot(
        "run",
        "--name",
        "c",
        "--root",
        "runs",
        "--snapshot-code",
        "--",
        sys.executable,
        "-c",
        "print(1)",
    )
    assert len(list((project / "sub" / "runs").glob("c/2*/code"))) == 2
    assert not list((project / "sub" / "runs").glob("c/2*/code/sub/runs"))


def test_what_is_too_large_to_be_code_is_refused(runslot, monkeypatch):
    from runslot.errors import InvalidInput
    from runslot.transport import code_snapshot as code_copy

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


def copied(runslot, *options):
    runslot(
        "run", "--name", "c", "--snapshot-code", *options, "--", sys.executable, "script.py", "."
    )
    (directory,) = runslot.root.glob("c/2*")
    return {
        path.relative_to(directory / "code").as_posix()
        for path in (directory / "code").rglob("*")
        if path.is_file() and path.suffix != ".pyc"  # which the runs have made there
    }


@pytest.mark.parametrize(
    ("options", "files"),
    [
        (["--code-exclude", "late.py", "--code-exclude", ".git*"], {"script.py", "helper.py", "work.py", "new.py"}),
        (["--code-include", "/sub/[sh]*.py"], {"script.py", "helper.py"}),
        (
            ["--code-include", "*.py", "--code-exclude", "[nw]*", "--code-include", "data/"],
            {"script.py", "helper.py", "late.py", "../data/large"},
        ),
    ],
)  # fmt: skip
def test_patterns_choose_what_of_the_code_is_copied(runslot, project, options, files):
    assert copied(runslot, *options) == {os.path.normpath(f"sub/{name}") for name in files}


def test_patterns_in_a_sweep_file_are_the_same(runslot, project):
    (project / "sub" / "s.yaml").write_text(
        f"name: c\ncommand: {sys.executable} script.py .\nsnapshot_code: true\n"
        "code: {include: ['*.py'], exclude: late.py}\n"
    )
    runslot("run", "s.yaml")
    (directory,) = runslot.root.glob("c/2*")
    assert {path.name for path in (directory / "code").rglob("*.*") if path.suffix != ".pyc"} == {
        "script.py",
        "helper.py",
        "work.py",
        "new.py",
    }


def test_patterns_that_leave_the_script_behind_are_refused(runslot, project):
    options = ["--snapshot-code", "--code-include", "helper.py"]
    said = runslot.refused("run", *options, "--", sys.executable, "script.py", ".")
    assert "sub/script.py behind" in said
    assert not list(runslot.root.glob("*/2*"))


def test_patterns_where_nothing_is_copied_are_said(runslot, project):
    said = runslot(
        "run", "--dry-run", "--code-exclude", "late.py", "--", sys.executable, "script.py", "."
    )
    assert (
        "note: code_include and code_exclude choose what is copied, and nothing is"
        in said.stdout + said.stderr
    )


@pytest.fixture
def repository(runslot, project, monkeypatch):
    """The project as a repository whose tag `v1` is older than its branch; the user stands
    elsewhere.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.parent / "cache"))
    (project / "sub" / "go").touch()
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(project)]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "go"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    edit(project)
    subprocess.run([*git, "commit", "-q", "-a", "-m", "edited"], check=True)
    runslot.directory = project.parent / "elsewhere"
    runslot.directory.mkdir()
    return project


def commit_of(repository, ref):
    done = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", ref], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("ref", "word"), [("@v1", "first"), ("", "second"), ("@{commit}", "first"), ("@main", "second")]
)
def test_the_code_is_a_clone_at_that_commit(runslot, repository, ref, word):
    subprocess.run(["git", "-C", str(repository), "branch", "-M", "main"], check=True)
    commit = commit_of(repository, "v1" if word == "first" else "main")
    url = f"file://{repository}{ref.replace('{commit}', commit[:10])}"
    runslot("run", "--name", "c", "--code", url, "--", sys.executable, "sub/script.py", "sub/go")
    (directory,) = runslot.root.glob("c/2*")
    assert consoles(runslot.root, "c") == [f"{word} {directory}/code\n"]
    assert f"git hash: {commit}" in (directory / "provenance" / "git_infos.txt").read_text()
    environment = json.loads((directory / "provenance" / "environment.json").read_text())
    assert (environment["git_commit"], environment["git_origin"]) == (commit, url)


def test_a_function_of_a_clone_and_the_rest_of_its_runs(runslot, repository):
    options = [
        "run",
        "--name",
        "c",
        "--code",
        f"{repository}@v1",
        "sub/work.py:train",
        "--grid",
        "go=sub/go",
        "--seeds",
        "3",
    ]
    said = runslot(*options, "--first")
    (directory,) = runslot.root.glob("c/2*")
    assert f"the same with --into {directory} instead of --first" in said.stdout + said.stderr
    assert len(consoles(runslot.root, "c")) == 1
    runslot(*options, "--into", str(directory))
    assert consoles(runslot.root, "c") == [f"first first {directory}/code\n"] * 3
    options[4] = str(repository)
    said = runslot.refused(*options, "--into", str(directory))
    assert re.search(
        rf"c runs {repository}@v1, project-\w+-\w+, and {repository} is project-\w+-\w+; start"
        r" a new",
        said,
    )


def test_a_sweep_file_runs_at_a_commit(runslot, repository):
    (runslot.directory / "s.yaml").write_text(
        f"name: c\nfunction: sub/work.py:train\ngrid: {{go: [sub/go]}}\ncode: {repository}@v1\n"
    )
    runslot("run", "s.yaml")
    runslot("run", "s.yaml", "--code", str(repository))
    assert [text.split()[:2] for text in consoles(runslot.root, "c")] == [
        ["first"] * 2,
        ["second"] * 2,
    ]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("{repository}@v9", "no branch, tag or commit 'v9' in it"),
        ("{repository}@", "ends in @"),
        ("{repository}@a b", "no git repository"),
        ("{repository}/nowhere@v1", "there is no repository at "),
        ("{repository}/sub", "cannot be cloned: fatal: repository"),
        (
            "file:///nowhere/x.git",
            "cannot be cloned: fatal: '/nowhere/x.git' does not appear to be a git repository",
        ),
        (
            "https://user:secret@127.0.0.1:1/x.git",
            "https://…@127.0.0.1:1/x.git cannot be cloned: fatal: unable to access",
        ),
        ("--upload-pack=x", "Error"),
    ],
)
def test_what_cannot_be_cloned_is_refused_with_gits_last_line_and_nothing_is_left(
    runslot, repository, code, said
):
    text = code.format(repository=repository)
    done = runslot(
        "run",
        "--name",
        "c",
        f"--code={text}",
        "--",
        sys.executable,
        "sub/script.py",
        "sub/go",
        status=2,
    )
    assert said in done.stderr or code.startswith("--")
    assert "secret" not in done.stderr
    assert not list(runslot.root.glob("*/2*"))
    cache = repository.parent / "cache" / "runslot" / "code"
    assert not cache.exists() or not list(cache.iterdir())


def test_a_function_that_is_not_the_clones_is_refused(runslot, repository):
    (runslot.directory / "own.py").write_text("def train(variant): pass\n")
    own = runslot.directory / "own.py"
    said = runslot.refused("run", "--code", str(repository), f"{own}:train")
    assert "write the function's path in that repository" in said


def test_a_clone_that_was_written_into_is_made_anew(runslot, repository):
    options = [
        "run",
        "--name",
        "c",
        "--code",
        f"{repository}@v1",
        "--",
        sys.executable,
        "sub/script.py",
        "sub/go",
    ]
    runslot(*options)
    (clone,) = (repository.parent / "cache" / "runslot" / "code").iterdir()
    (clone / "sub" / "helper.py").write_text("SAID = 'edited'\n")
    runslot(*options)
    assert [text.split()[0] for text in consoles(runslot.root, "c")] == ["first", "first"]
    assert [path.name for path in clone.parent.iterdir()] == [clone.name]


def test_the_first_run_alone(runslot):
    sweep = ["run", "train.py:train", "--grid", "lr=0.1,0.01", "--seeds", "2"]
    assert (
        "train: 1 runs (the first of 4: lr ×2, seeds ×2)"
        in runslot(*sweep, "--first", "--dry-run").stdout
    )
    runslot(*sweep, "--first")
    (directory,) = runslot.root.glob("train/2*")
    assert [path.relative_to(directory).as_posix() for path in directory.rglob("run_*")] == [
        "lr=0.1/run_0"
    ]
    assert "keep one" in runslot.refused(*sweep, "--first", "--into", str(directory))
    runslot(*sweep, "--into", str(directory))
    assert len(list(directory.rglob("outcome.json"))) == 4


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
    runslot(
        "run",
        "--into",
        str(directory),
        "--seeds",
        "3",
        "--snapshot-code",
        "--accept-code-change",
        *command,
    )
    assert [text.split()[0] for text in consoles(runslot.root, "c")] == ["first", "first", "third"]
    assert json.loads(Path(directory, "experiment.json").read_text())["code"]["copy"] == "code-2"
