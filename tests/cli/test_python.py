"""The Python of the runs: another interpreter than runslot's, an environment of uv's or conda's,
the active one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runslot import Container, Experiment, InvalidInput, grid
from runslot.cli.run import with_project
from runslot.launch.interpreter import active_environment
from runslot.transport.zipapp import experiment_archive

SHOW = """
import json, os, sys
import theirs

def show(variant=None):
    names = ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "FROM_ACTIVATE_D", "FROM_STATE", "PATH")
    variables = {name: os.environ.get(name) for name in names}
    print(json.dumps({"prefix": sys.prefix, "theirs": theirs.__file__, **variables}))
    leaked = [entry for entry in sys.path if entry.startswith(ELSEWHERE)]
    assert not leaked, leaked

ELSEWHERE = %r

if __name__ == "__main__":
    show()
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment without runslot, with a module of its own."""
    directory = tmp_path_factory.mktemp("theirs") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    packages = (
        directory / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    )
    (packages / "theirs.py").write_text("")
    return directory


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv(
        "XDG_CACHE_HOME", str(cache)
    )  # the one-file runslot is made once for all of them
    (tmp_path / "show.py").write_text(SHOW % f"{sys.prefix}/")


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def pretends(path: Path, version: str) -> Path:
    """Make a stand-in for an interpreter of another version, as far as it is asked."""
    answer = [[*map(int, version.split(".")), 0], str(path), "/old", "/old", []]
    return program(path, f"echo 'runslot {json.dumps(answer)}'\n")


def printed(root: Path, name: str) -> list[dict[str, Any]]:
    return [
        json.loads(file.read_text())
        for file in sorted((root / name / "latest").glob("**/console.log"))
    ]


@pytest.mark.parametrize("target", [["show.py:show"], ["--", "python", "show.py"]])
def test_what_is_recorded_as_installed_is_of_the_runs_python(
    runslot: Any, environment: Path, target: list[str]
) -> None:
    packages = next(environment.glob("lib/python3*/site-packages"))
    (packages / "theirs-1.5.dist-info").mkdir(exist_ok=True)
    (packages / "theirs-1.5.dist-info" / "METADATA").write_text("Name: theirs\nVersion: 1.5\n")
    runslot("run", "--python", str(environment), "--name", "x", *target)
    recorded = json.loads(
        (runslot.root / "x" / "latest" / "provenance" / "environment.json").read_text()
    )
    assert recorded["executable"] == f"{environment}/bin/python"
    assert (recorded["python"], recorded["packages"]) == (sys.version.split()[0], {"theirs": "1.5"})


def test_the_python_that_a_command_finds_on_path_is_the_one_that_is_recorded(
    runslot: Any, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{environment}/bin:{os.environ['PATH']}")
    runslot("run", "--name", "x", "--", "python", "-c", "pass")
    recorded = json.loads(
        (runslot.root / "x" / "latest" / "provenance" / "environment.json").read_text()
    )
    assert recorded["executable"] == f"{environment}/bin/python"
    assert "pytest" not in recorded["packages"]


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_a_function_runs_in_a_python_that_has_no_runslot(
    runslot: Any, environment: Path, start: str
) -> None:
    said = runslot(
        "run", "show.py:show", "--grid", "lr=1,2", "--python", str(environment), "--start", start
    ).stdout
    assert f"the runs have Python {sys.version.split()[0]} of {environment}\n" in said
    for run in printed(runslot.root, "show"):
        assert run["prefix"] == run["VIRTUAL_ENV"] == str(environment)
        assert run["theirs"].startswith(str(environment))
        assert run["PATH"].startswith(f"{environment}/bin:")


def test_a_command_has_their_python_as_if_the_environment_were_active(
    runslot: Any, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = runslot.directory / "other"
    monkeypatch.setenv("VIRTUAL_ENV", str(other))
    monkeypatch.setenv("PATH", f"{other}/bin:{os.environ['PATH']}")
    runslot(
        "run",
        "--seeds",
        "1",
        "--python",
        str(environment / "bin" / "python"),
        "--",
        "python",
        "show.py",
    )
    (run,) = printed(runslot.root, "show")
    assert run["prefix"] == run["VIRTUAL_ENV"] == str(environment)
    assert run["PATH"].startswith(f"{environment}/bin:")
    assert f"{other}/bin" not in run["PATH"]


def test_a_resume_has_the_same_python(runslot: Any, environment: Path) -> None:
    runslot("run", "show.py:show", "--seeds", "2", "--python", str(environment))
    latest = runslot.root / "show" / "latest"
    (latest / "run_1" / "outcome.json").unlink()
    runslot("resume", str(latest))
    assert [run["prefix"] for run in printed(runslot.root, "show")] == [str(environment)] * 2


def test_a_worker_of_an_engine_starts_their_python(tmp_path: Path, environment: Path) -> None:
    directory = Experiment("x", f"{tmp_path}/show.py:show", python=environment).prepare()
    argv = [sys.executable, str(experiment_archive(directory)), "work", str(directory.path)]
    subprocess.run(argv, check=True, cwd=tmp_path, capture_output=True)
    assert json.loads((directory.path / "run_0" / "console.log").read_text())["prefix"] == str(
        environment
    )


def test_functions_run_in_the_environment_that_is_active(
    runslot: Any, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", str(environment))
    assert (
        f"of {environment}, the active environment (--python names another)"
        in runslot("run", "show.py:show", "--dry-run").stdout
    )
    runslot("run", "show.py:show", "--seeds", "1")
    assert printed(runslot.root, "show")[0]["prefix"] == str(environment)


@pytest.mark.parametrize(
    "active",
    [
        {"VIRTUAL_ENV": sys.prefix},
        {"VIRTUAL_ENV": sys.prefix, "CONDA_PREFIX": "/usr"},
        {"VIRTUAL_ENV": "/usr", "CONDA_PREFIX": sys.prefix},
        {"VIRTUAL_ENV": "/removed"},
        {"CONDA_PREFIX": "ENVIRONMENT", "CONDA_DEFAULT_ENV": "base"},
        {},
    ],
    ids=str,
)
def test_an_environment_that_is_runslots_own_or_says_nothing_changes_nothing(
    active: dict[str, str], environment: Path
) -> None:
    named = {name: value.replace("ENVIRONMENT", str(environment)) for name, value in active.items()}
    assert active_environment(named) is None


def test_uv_says_the_python_of_a_project(
    runslot: Any, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runslot.directory / "project").mkdir()
    uv = f'echo "$@" >>{runslot.directory}/asked\nwhile [ "$1" != python ]; do shift; done; shift\n'
    program(runslot.directory / "bin" / "uv", f'{uv}exec {environment}/bin/python "$@"\n')
    monkeypatch.setenv("PATH", f"{runslot.directory}/bin:{os.environ['PATH']}")
    runslot("run", "--uv", "project", "show.py:show", "--seeds", "1")
    assert printed(runslot.root, "show")[0]["prefix"] == str(environment)
    project = runslot.directory / "project"
    assert f"run --quiet --project {project} python -c" in (runslot.directory / "asked").read_text()


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["--uv"], ["--uv=."]),
        (["--uv", "project", "a:b"], ["--uv=project", "a:b"]),
        (["--uv", "a:b", "--seeds", "2"], ["--uv=.", "a:b", "--seeds", "2"]),
        (["--uv", "--seeds", "2"], ["--uv=.", "--seeds", "2"]),
        (["--uv=x", "a:b"], ["--uv=x", "a:b"]),
    ],
    ids=" ".join,
)
def test_a_directory_behind_uv_is_its_project(
    words: list[str], read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path)
    assert with_project(words) == read


def test_uv_that_fails_is_quoted(runslot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    program(runslot.directory / "bin" / "uv", "echo 'error: no such package: torhc' >&2; exit 2\n")
    monkeypatch.setenv("PATH", f"{runslot.directory}/bin:{os.environ['PATH']}")
    assert "error: no such package: torhc" in runslot.refused("run", "--uv", "show.py:show")


@pytest.fixture
def conda(tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an environment as conda makes them, known to a stand-in for conda."""
    prefix = tmp_path / "conda" / "envs" / "rl"
    for directory in (prefix / "conda-meta", prefix / "etc" / "conda" / "activate.d"):
        directory.mkdir(parents=True)
    (prefix / "conda-meta" / "state").write_text('{"env_vars": {"FROM_STATE": "two words"}}')
    (prefix / "etc" / "conda" / "activate.d" / "gdal.sh").write_text(
        'export FROM_ACTIVATE_D="$CONDA_PREFIX/share"; echo noise'
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    packages = next((prefix / "lib").glob("python*/site-packages"))
    (packages / "theirs.py").write_text("")
    listed = json.dumps({"envs": [str(tmp_path / "conda"), str(prefix)]})
    program(tmp_path / "bin" / "conda", f"[ \"$*\" = 'env list --json' ] && echo '{listed}'\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return prefix


@pytest.mark.parametrize("by_name", [True, False], ids=["by its name", "by its directory"])
def test_an_environment_of_conda_is_activated(runslot: Any, conda: Path, by_name: bool) -> None:
    runslot(
        "run", "--conda", "rl" if by_name else str(conda), "--seeds", "1", "--", "python", "show.py"
    )
    (run,) = printed(runslot.root, "show")
    assert run["prefix"] == run["CONDA_PREFIX"] == str(conda)
    assert (run["CONDA_DEFAULT_ENV"], run["FROM_STATE"]) == ("rl", "two words")
    assert run["FROM_ACTIVATE_D"] == f"{conda}/share"
    assert run["PATH"].startswith(f"{conda}/bin:")


@pytest.mark.usefixtures("conda")
def test_an_unknown_environment_of_conda_is_refused_with_those_there_are(runslot: Any) -> None:
    assert "has no environment 'rll' (did you mean 'rl'?)" in runslot.refused(
        "run", "--conda", "rll", "show.py:show"
    )


def test_a_sweep_file_says_the_python_relative_to_itself(runslot: Any, environment: Path) -> None:
    (runslot.directory / "env").symlink_to(environment)
    (runslot.directory / "sweep.yaml").write_text("function: show.py:show\npython: ./env\n")
    runslot("run", "sweep.yaml")
    assert printed(runslot.root, "show")[0]["prefix"] == str(runslot.directory / "env")


def test_a_python_that_is_not_in_an_environment_is_what_python_means(runslot: Any) -> None:
    python = program(runslot.directory / "here" / "python9", f'exec {sys.executable} "$@"\n')
    (runslot.directory / "s.py").write_text("print('ran')")
    runslot("run", "--python", str(python), "--seeds", "1", "--", "python", "s.py")
    command = json.loads((runslot.root / "s" / "latest" / "run_0" / "run.json").read_text())[
        "work"
    ]["command"]
    assert Path(command["argv"][0]).name.startswith("python")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--python", "nowhere"], "nowhere is not there"),
        (["--python", "."], "is a directory without bin/python"),
        (["--python", "train.py"], "train.py cannot be executed"),
        (["--python", "old"], "functions run in Python 3.10 or newer, and"),
        (["--python", "/bin/true"], "does not say which Python it is"),
        (["--uv=nowhere"], "there is no directory nowhere"),
        (["--python", "old", "--conda", "rl"], "python and conda both say which Python; keep one"),
        (["--uv", "--container", "image"], "name the interpreter in the image with --python"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_the_runs_python_is_refused(
    runslot: Any, words: list[str], said: str
) -> None:
    pretends(runslot.directory / "old", "3.8")
    words = [f"./{word}" if word == "old" else word for word in words]
    assert said in runslot.refused("run", *words, "train.py:train", "--grid", "lr=1")


def test_a_function_by_value_wants_the_same_minor_version(tmp_path: Path) -> None:
    python = pretends(tmp_path / "python", "3.99")
    with pytest.raises(
        InvalidInput,
        match=r"travels by value from Python 3\.\d+, and .* is 3\.99: use the same minor",
    ):
        Experiment("x", lambda _: None, python=python).plan()


def test_where_runs_execute_elsewhere_python_is_the_one_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runslot.toml").write_text('[launchers.box]\nkind = "ssh"\nhosts = ["node1"]\n')
    command = ["python", "train.py"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("")
    inside = Experiment("x", command, container="image", python="/opt/python").plan().file
    there = Experiment("x", command, on="box", python="~/env/bin/python").plan().file
    assert inside.container is not None
    assert inside.container.python == "/opt/python"
    assert there.launcher is not None
    assert there.launcher.settings["python"] == "~/env/bin/python"
    with pytest.raises(InvalidInput, match="leave one of them out"):
        Experiment("x", command, container=Container("image", python="/a"), python="/b").plan()


@pytest.mark.parametrize(
    "work", [["show.py:show"], ["--", "python", "show.py"]], ids=["a function", "a command"]
)
def test_a_missing_module_names_the_interpreter_and_the_options(
    runslot: Any, work: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    done = runslot.start("run", "--seeds", "1", *work)
    said = "".join(done.communicate())
    python = Path(sys.executable).parent / "python"
    advice = (
        f"{python} has no module 'theirs': activate the environment that has it, or name its Python"
        " with --python"
    )
    assert said.count(advice) == 1


def test_the_variants_of_a_plan_are_as_without(tmp_path: Path, environment: Path) -> None:
    (tmp_path / "f.py").write_text("def f(variant): pass\n")
    work = f"{tmp_path}/f.py:f"
    one, other = (
        Experiment("x", work, grid({"lr": [1, 2]}), python=python).plan()
        for python in (None, environment)
    )
    assert [run.id for run in one.runs] == [run.id for run in other.runs]
    assert other.file.path[0] == str(tmp_path)
