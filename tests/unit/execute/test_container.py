"""The command lines of containers, decided from values alone; and Apptainer's, as a stand-in for it
receives them.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot import InvalidInput
from runslot.execute.container import (
    Contained,
    Mount,
    User,
    client_environment,
    command_line,
    engine_words,
    mount_text,
    name_of,
    say_end,
)
from runslot.execute.inside import slot_inside
from runslot.experiment.files import write_json
from runslot.experiment.processes import start_time
from runslot.experiment.records import Command, Container, Run, RunFile
from runslot.experiment.rundir import RunDir
from runslot.hardware.slots import Slot
from runslot.hardware.topology import Core, Gpu
from runslot.launchkit.modes import container_of

GPUS = (Gpu(3, "GPU-aa", visible="3"), Gpu(5, "GPU-bb", visible="5"))
SLOT = Slot("host", 1, (Core((2, 10)), Core((3, 11))), (2, 3, 10, 11), GPUS)
WHAT = Contained(
    "runslot-1", "/e/run", "/code", (Mount("/e", "/e"),), User(7, 8, (8, 9), "me"), slot=SLOT
)


def words(engine: str, what: Contained = WHAT, **settings: Any) -> list[str]:
    container = Container("image:1", engine, **settings)  # type: ignore[arg-type]
    return command_line(container, f"/bin/{engine}", what, ["-c", "pass"])


def values(argv: list[str], option: str) -> list[str]:
    return [argv[i + 1] for i, word in enumerate(argv) if word == option]


def pairs(argv: list[str]) -> dict[str, str]:
    return dict(pairwise(argv))


def test_docker() -> None:
    argv = words("docker", replace(WHAT, memory=1000, shared_memory=64, settings={"HOME": "/tmp"}))
    assert argv[:2] == ["/bin/docker", "run"]
    assert argv[-5:] == ["--entrypoint", "python3", "image:1", "-c", "pass"]
    assert {"--rm", "--init", "--interactive", "--sig-proxy=false"} <= set(argv)
    found = pairs(argv)
    assert (found["--name"], found["--workdir"], found["--user"]) == ("runslot-1", "/code", "7:8")
    assert values(argv, "--group-add") == ["9"]
    assert values(argv, "--mount") == ["type=bind,source=/e,target=/e"]
    assert (found["--cpuset-cpus"], found["--gpus"]) == ("2-3,10-11", '"device=GPU-aa,GPU-bb"')
    assert (found["--memory"], found["--memory-swap"], found["--shm-size"]) == (
        "1000",
        "1000",
        "64",
    )
    assert values(argv, "--env") == ["HOME=/tmp"]


def test_podman_takes_gpus_by_cdi() -> None:
    argv = words("podman", replace(WHAT, user=User(0, 0)))
    assert values(argv, "--device") == ["nvidia.com/gpu=GPU-aa", "nvidia.com/gpu=GPU-bb"]
    assert "--gpus" not in argv
    assert values(argv, "--user") == ["0:0"]


def test_a_users_own_podman_keeps_the_user_id_and_may_not_be_asked_for_limits() -> None:
    argv = words("podman", replace(WHAT, memory=1000, pins=False))
    assert values(argv, "--userns") == ["keep-id"]
    assert not {"--user", "--cpuset-cpus", "--memory"} & set(argv)


def test_a_run_that_chooses_its_gpus_itself_gets_all() -> None:
    assert values(words("docker", replace(WHAT, all_gpus=True)), "--gpus") == ["all"]
    assert values(words("podman", replace(WHAT, all_gpus=True)), "--device") == [
        "nvidia.com/gpu=all"
    ]


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_amd_gpus_are_devices_and_no_gpu_is_none(engine: str) -> None:
    amd = replace(SLOT, gpus=(Gpu(0, "x", vendor="amd"),))
    assert values(words(engine, replace(WHAT, slot=amd)), "--device") == ["/dev/kfd", "/dev/dri"]
    bare = words(engine, replace(WHAT, slot=replace(SLOT, gpus=())))
    assert not {"--gpus", "--device"} & set(bare)


def test_options_come_after_ours_so_that_they_win() -> None:
    argv = words(
        "docker", replace(WHAT, shared_memory=64), options=("--shm-size=1g", "--user", "0:0")
    )
    assert argv.index("--user") < len(argv) - 1 - argv[::-1].index("--user")
    assert "--shm-size" not in argv


def test_values_of_named_variables_are_on_no_command_line() -> None:
    container = Container("i", environment=("SECRET",))
    argv = command_line(container, "docker", WHAT, [])
    assert values(argv, "--env") == ["SECRET"]
    assert client_environment(container, "docker", WHAT, {"SECRET": "s3"}) == {"SECRET": "s3"}


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), min_size=1))
def test_a_mount_of_any_name_is_one_csv_record(name: str) -> None:
    text = mount_text(Mount(f"/{name}", f"/to/{name}", writable=False))
    assert next(
        csv.reader([text], strict=True) if "\n" not in name else csv.reader(text.splitlines(True))
    ) == [
        "type=bind",
        f"source=/{name}",
        f"target=/to/{name}",
        "readonly",
    ]


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/data", Mount("/data", "/data")),
        ("/data:ro", Mount("/data", "/data", writable=False)),
        ("/a:b", Mount("/a:b", "/a:b")),
        ("/data:/mnt/data", Mount("/data", "/mnt/data")),
        ("/data:/mnt/data:ro", Mount("/data", "/mnt/data", writable=False)),
    ],
)
def test_mounts_are_read(text: str, mount: Mount) -> None:
    assert Mount.of(text) == mount


def test_one_name_a_run_directory() -> None:
    assert name_of("/a") == name_of("/a") != name_of("/b")
    assert name_of("/a").replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("docker: Error response from daemon: no such thing.\n\nRun 'docker run --help' for more\n", "no such thing."),
        ("unknown flag: --x\n\nUsage:  docker run [OPTIONS]\n\nRun 'docker run --help' for more", "unknown flag: --x"),
        ("hello\nError: statfs /x: no such file or directory\n", "statfs /x: no such file or directory"),
        ('time="now" level=warning msg="x"\n', ""),
        ('time="now" level=error msg="error waiting: unexpected EOF"\n', "error waiting: unexpected EOF"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_engines_say(output: str, said: str) -> None:
    assert engine_words(output) == said


@pytest.mark.parametrize(
    ("code", "memory", "said"),
    [
        (-9, None, "the docker client was killed by signal 9, and the run's container with it"),
        (125, None, "docker could not start a container of image i: why"),
        (127, None, "docker cannot run python3 in image i: why"),
        (137, None, "the run's container (docker, image i) was killed from outside"),
        (137, 8_000_000, "killed from outside, or Python itself did not fit into 8 MB of memory"),
        (3, None, "the container (docker, image i) ended with exit code 3 before the run did: why"),
    ],
)
def test_ends_without_an_outcome_are_told_apart(code: int, memory: int | None, said: str) -> None:
    assert said in say_end(Container("i"), code, "Error: why", memory)


@pytest.mark.parametrize(
    ("engine", "indices"), [("docker", [0, 1]), ("podman", [0, 1]), ("apptainer", [3, 5])]
)
def test_gpus_are_named_by_uuid_inside(engine: str, indices: list[int]) -> None:
    """CUDA's indices, and EGL's, count what the container shows; a UUID is the same everywhere."""
    file = RunFile(
        Run("", "", {}, ""),
        "e",
        Command(("true",)),
        "/",
        "python",
        container=Container("i", engine),
    )  # type: ignore[arg-type]
    inside = slot_inside(SLOT, file).gpus
    assert [gpu.visible for gpu in inside] == ["GPU-aa", "GPU-bb"]
    assert [gpu.index for gpu in inside] == indices


# ---- Apptainer, of which there is only a stand-in ------------------------------------------------


STAND_IN = """#!{python}
import json, os, sys
argv = sys.argv[1:]
with open({record!r}, "a") as file:
    file.write(json.dumps({{"argv": argv, "environment": dict(os.environ)}}) + "\\n")
image = argv.index({image!r})
mounts = [argv[i + 1] for i, word in enumerate(argv) if word == "--mount"]
(package,) = [text.split(",")[1].partition("=")[2] for text in mounts if "/opt/.runslot" in text]
os.makedirs({place!r}, exist_ok=True)
link = os.path.join({place!r}, "runslot")
if not os.path.islink(link):
    os.symlink(package, link)
os.chdir(argv[argv.index("--pwd") + 1])
prefix = "APPTAINERENV_"
kept = {{key.removeprefix(prefix): value for key, value in os.environ.items() if key.startswith(prefix)}}
command = [{python!r}, *(word.replace("/opt/.runslot", {place!r}) for word in argv[image + 2:])]
os.execve({python!r}, command, {{"PATH": os.environ["PATH"], **kept}})
"""


@pytest.fixture
def apptainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Put a stand-in on PATH that notes its arguments and executes the command here; return the
    image and the notes.
    """
    programs, image, record = tmp_path / "bin", tmp_path / "im age.sif", tmp_path / "record.jsonl"
    programs.mkdir()
    image.touch()
    settings = {
        "python": sys.executable,
        "record": str(record),
        "image": str(image),
        "place": str(tmp_path / "there"),
    }
    (programs / "apptainer").write_text(STAND_IN.format(**settings))
    (programs / "apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return image, record


def test_apptainer_by_a_stand_in(
    apptainer: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, record = apptainer
    project = tmp_path / "pro,ject"
    project.mkdir()
    (project / "look.py").write_text(
        "import os; print(os.environ.get('NAMED'), os.environ.get('OTHER'))\n"
    )
    sweep = {
        "name": "one",
        "command": ["python", "look.py"],
        "grid": {"a": [1]},
        "container": {
            "image": str(image),
            "engine": "apptainer",
            "environment": ["NAMED"],
            "options": ["--fakeroot"],
        },
    }
    (project / "sweep.json").write_text(json.dumps(sweep))
    monkeypatch.setenv("NAMED", "named")
    monkeypatch.setenv("OTHER", "other")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # a run with a GPU has --nv

    argv = [sys.executable, "-m", "runslot", "run", "sweep.json", "--root", "runs"]
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    (console,) = project.rglob("console.log")
    assert console.read_text() == "named None\n"
    probe, run = [json.loads(line) for line in record.read_text().splitlines()]
    assert probe["argv"][:2] == ["exec", "--cleanenv"]
    assert run["argv"][0] == "exec"
    given, command = (
        run["argv"][: run["argv"].index(str(image))],
        run["argv"][run["argv"].index(str(image)) + 1 :],
    )
    assert {"--cleanenv", "--no-home", "--pid", "--fakeroot"} <= set(given)
    assert values(given, "--pwd") == [str(project)]
    assert f'type=bind,"source={project}","destination={project}"' in values(given, "--mount")
    assert not {"--rm", "--name", "--cpuset-cpus", "--nv"} & set(given)
    assert command[0] == "python3"
    assert run["environment"]["APPTAINERENV_NAMED"] == "named"


POLITE = """
import os, signal, sys, time
from pathlib import Path
def note(text):
    with open("notes.txt", "a") as file:
        file.write(text + "\\n")
signal.signal(signal.SIGTERM, lambda *_: (note("TERM"), sys.exit(0)))
signal.signal(signal.SIGUSR1, lambda *_: note("USR1"))
note(str(os.getpid()))
time.sleep(120)
"""


@pytest.fixture
def polite(
    until, apptainer: tuple[Path, Path], tmp_path: Path
) -> Iterator[tuple[RunDir, subprocess.Popen[bytes]]]:
    """Start a run by its keeper, and wait until it is under way."""
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    work = Command(("python3", "-c", POLITE))
    container = Container(str(apptainer[0]), "apptainer")
    file = RunFile(Run("", "", {}, ""), "e", work, str(run_dir.path), "", container=container)
    write_json(run_dir.run_file, file.to_json())
    keeper = subprocess.Popen(
        [sys.executable, "-m", "runslot", "exec", run_dir.path], stderr=subprocess.DEVNULL
    )
    until(lambda: bool(notes(run_dir)))
    yield run_dir, keeper
    keeper.kill()
    keeper.wait()


def notes(run_dir: RunDir) -> list[str]:
    file = run_dir.path / "notes.txt"
    return file.read_text().splitlines() if file.exists() else []


def test_signals_go_through_both_keepers(
    until, polite: tuple[RunDir, subprocess.Popen[bytes]]
) -> None:
    run_dir, keeper = polite
    keeper.send_signal(signal.SIGUSR1)
    until(lambda: "USR1" in notes(run_dir))
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(60) == 1
    outcome = run_dir.read_outcome()
    assert outcome is not None
    assert (outcome.kind, outcome.exit_code, outcome.message) == (
        "stopped",
        0,
        "stopped on request",
    )
    assert notes(run_dir)[1:] == ["USR1", "TERM"]
    assert not run_dir.contained_file.exists()


def test_a_killed_keeper_takes_its_run_with_it(
    until,
    polite: tuple[RunDir, subprocess.Popen[bytes]],
) -> None:
    run_dir, keeper = polite
    keeper.kill()
    keeper.wait()
    until(lambda: start_time(int(notes(run_dir)[0])) is None)
    assert run_dir.read_outcome() is None


def test_apptainer_shows_gpus_by_their_kind() -> None:
    assert "--nv" in words("apptainer")
    amd = replace(SLOT, gpus=(Gpu(0, "x", vendor="amd"),))
    assert "--rocm" in words("apptainer", replace(WHAT, slot=amd))


def test_an_apptainer_image_that_is_no_file(apptainer: tuple[Path, Path], tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "runslot", "run", "--name", "x", "--root", str(tmp_path / "runs")]
    options = ["--container", "/no/such.sif", "--engine", "apptainer", "--", "true"]
    done = subprocess.run(
        [*argv, *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "apptainer has no image '/no/such.sif': there is no such file on" in done.stderr
    assert not list((tmp_path / "runs").glob("*/[0-9]*"))


# ---- launchkit's modes ---------------------------------------------------------------------------


def test_launchkits_modes_are_names_of_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=r"write docker_image = .* below \[launchkit\]"):
        container_of("local_docker", False, None)
    (tmp_path / "runslot.toml").write_text(
        '[launchkit]\ndocker_image = "cpu"\ngpu_docker_image = "gpu"\nsingularity_image ='
        ' "s.sif"\nmounts = ["/a"]\n'
    )
    assert container_of("local", False, None) is None
    assert container_of("local_docker", False, {"/b": "/there"}) == Container(
        "cpu", "docker", ("/a", "/b:/there")
    )
    assert container_of("local_docker", True, None) == Container("gpu", "docker", ("/a",))
    assert container_of("local_singularity", False, None) == Container(
        "s.sif", "apptainer", ("/a",)
    )
    (tmp_path / "runslot.toml").write_text('[launchkit]\ndocker_imag = "cpu"\n')
    with pytest.raises(
        InvalidInput, match=r"unknown key 'docker_imag' \(did you mean 'docker_image'\?\)"
    ):
        container_of("local_docker", False, None)
