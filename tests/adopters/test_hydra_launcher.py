"""What Hydra's launcher `runslot` does beyond Hydra's own suites for launchers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.adopters.conftest import OURS, Project, program, wait_for

pytestmark = pytest.mark.adopters

pytest.importorskip("hydra", reason="needs hydra-core")

SAY = """
@main
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    (out / "said").write_text(f"{HydraConfig.get().job.num} {cfg.lr}")
"""


def test_jobs_leave_what_the_basic_launcher_leaves(project: Project) -> None:
    project.write(SAY)
    project.train("lr=0.1,0.01")
    process = project.start("-m", "lr=0.1,0.01", "hydra.sweep.dir=basic")
    process.communicate()
    assert project.texts("said") == ["0 0.1", "1 0.01"]
    for job in ("0", "1"):
        for name in ("config.yaml", "overrides.yaml"):
            ours, basic = (
                (project.directory / place / job / ".hydra" / name).read_text()
                for place in ("out", "basic")
            )
            assert ours == basic
        assert (project.directory / "out" / job / "train.log").exists()
        ours, basic = (_hydra_yaml(project.directory / place / job) for place in ("out", "basic"))
        assert ours == basic
    assert (project.directory / "out" / "multirun.yaml").exists()


def _hydra_yaml(job: Path) -> str:
    """Return what Hydra saved of itself, but for what names the launcher and the directory."""
    from omegaconf import OmegaConf

    config = OmegaConf.load(job / ".hydra" / "hydra.yaml")
    text = (job / ".hydra" / "hydra.yaml").read_text()
    assert text == OmegaConf.to_yaml(config)
    for key in ("launcher", "overrides.hydra", "sweep.dir", "runtime.output_dir"):
        OmegaConf.update(config.hydra, key, None)
    config.hydra.runtime.choices["hydra/launcher"] = None
    return OmegaConf.to_yaml(config)


def test_what_no_pickle_holds_comes_along(project: Project) -> None:
    project.write(
        """
import threading
LOCK, OPENED = threading.Lock(), open(__file__)
calls = []
OmegaConf.register_new_resolver("twice", lambda value: [calls.append(LOCK), 2 * value][1])
@main
def main(cfg):
    with LOCK:
        print(cfg.lr, cfg.double, OPENED.closed, set_in_main)
""",
        config="lr: 1\ndouble: ${twice:${lr}}\n",
        main="set_in_main = 'yes'; main()\n",
    )
    text = project.train("lr=1,2")
    assert "new interpreter" not in text
    assert [line.split() for line in project.texts("console.log")] == [
        ["1", "2", "False", "yes"],
        ["2", "4", "False", "yes"],
    ]
    refusal = project.runslot("resume", "out")
    assert "nothing to do" in refusal


def test_jobs_of_a_process_with_threads_start_in_a_new_interpreter(project: Project) -> None:
    project.write(
        """
import threading
OmegaConf.register_new_resolver("twice", lambda value: 2 * value)
@main
def main(cfg):
    print(cfg.lr, cfg.double, os.getppid() == PARENT)
""",
        config="lr: 1\ndouble: ${twice:${lr}}\n",
        main=(
            "threading.Thread(target=time.sleep, args=(60,), daemon=True, name='beat').start()\n"
            "    PARENT = os.getpid()\n    main()\n"
        ),
    )
    text = project.train("lr=1,2")
    assert "new interpreter" in text
    assert "beat" in text
    assert [line.split() for line in project.texts("console.log")] == [
        ["1", "2", "False"],
        ["2", "4", "False"],
    ]


def test_a_fork_that_waits_for_what_a_thread_held_is_not_waited_for(project: Project) -> None:
    project.write(
        "import _thread\n@main\ndef main(cfg):\n    print(cfg.lr)\n",
        main=(
            "_thread.start_new_thread(time.sleep, (100,))\n"  # which threading does not list
            "    os.register_at_fork(after_in_child=lambda: time.sleep(100))\n    main()\n"
        ),
    )
    batches = ("hydra/sweeper=basic", "hydra.sweeper.max_batch_size=1")
    text = project.train("lr=1,2", *batches)
    assert text.count("new interpreter") == 2
    assert project.outcomes() == ["succeeded"] * 2


def test_a_task_function_that_cannot_travel_says_why(project: Project) -> None:
    project.write(
        """
import threading
LOCK = threading.Lock()
@main
def main(cfg):
    with LOCK:
        print(cfg.lr)
""",
        main=(
            "threading.Thread(target=time.sleep, args=(60,), daemon=True, name='beat').start()\n"
            "    main()\n"
        ),
    )
    text = project.train("lr=1,2", "hydra.launcher.python=" + sys.executable, code=1)
    assert "task function 'main' cannot travel" in text
    assert "'LOCK'" in text
    assert "Traceback" not in text


def test_an_exception_of_a_job_ends_the_application_as_with_the_basic_launcher(
    project: Project,
) -> None:
    project.write(
        """
class Diverged(Exception):
    def __init__(self, lr, step):
        super().__init__(f"diverged at {step}")
@main
def main(cfg):
    if cfg.lr == 2:
        raise Diverged(cfg.lr, 7)
"""
    )
    text = project.train("lr=1,2,3", code=1)
    assert project.outcomes() == ["succeeded", "failed", "succeeded"]
    assert "Error executing job with overrides: ['lr=2']" in text
    assert "diverged at 7" in text
    assert "raise Diverged(cfg.lr, 7)" in text


def test_what_a_job_returns_and_what_cannot_be_brought_back(project: Project) -> None:
    project.write(
        """
import threading
class Result:
    def __init__(self, value):
        self.value = value
@main
def main(cfg):
    if cfg.lr == 1:
        return Result({"loss": cfg.lr})
    if cfg.lr == 2:
        sys.exit(0)
    if cfg.lr == 3:
        return threading.Lock()
class Catch(hydra.experimental.callback.Callback):
    pass
from runslot.hydra import launch
whole = launch.Multirun.launch
def seen(self, *arguments):
    returns = whole(self, *arguments)
    for job in returns:
        value = job.return_value
        print("returned", job.status.name, isinstance(value, Result), type(value).__name__)
    return returns
launch.Multirun.launch = seen
""".replace("class Catch(hydra.experimental.callback.Callback):\n    pass\n", "")
    )
    text = project.train("lr=1,2,3")
    assert [line for line in text.splitlines() if line.startswith("returned")] == [
        "returned COMPLETED True Result",
        "returned COMPLETED False NoneType",
        "returned COMPLETED False str",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("hydra.launcher.gpus=999",), "GPU"),
        (("hydra.launcher.gpu=1",), "gpu"),
        (("hydra.launcher.cpus=-1",), "hydra.launcher.cpus is -1"),
        (("hydra.launcher.retries=-1",), "hydra.launcher.retries must be"),
        (("+hydra.launcher.gpu=1",), "did you mean 'gpus'"),
        (("hydra.launcher.gpus=many",), "many"),
        (("hydra.launcher.memory=8",), "hydra.launcher.memory"),
        (("hydra.launcher.timeout=soon",), "hydra.launcher.timeout"),
        (("hydra.launcher.on=nowhere",), "nowhere"),
        (("hydra.launcher.python=/no/such/python",), "hydra.launcher.python: /no/such/python"),
        (("rate=1",), "rate"),
        (("model=small",), "model"),
        (("hydra.sweep.subdir=.",), "hydra.sweep.subdir"),
        (("hydra.sweep.subdir=same",), "hydra.sweep.subdir"),
    ],
)
def test_bad_input_is_one_message_and_nothing_starts(
    project: Project, overrides: tuple[str, ...], message: str
) -> None:
    project.write(SAY)
    text = project.train("lr=1,2", *overrides, code=1)
    assert message in text
    assert "Traceback" not in text
    assert not list(project.directory.glob("out/**/said"))
    assert not (project.directory / "out" / "experiment.json").exists()


SLOW = """
@main
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    with (out / "starts").open("a") as file:
        file.write("x")
    print("began", flush=True)
    while cfg.lr > 1 and not Path("go").exists():
        time.sleep(0.01)
    print("loss", cfg.lr)
    return cfg.lr
"""


def test_a_multirun_that_was_killed_is_resumed(project: Project) -> None:
    project.write(SLOW)
    process = project.start(*OURS, "lr=1,2,3,4", "hydra.sweep.dir=out", "hydra.launcher.cpus=1")
    wait_for((project.directory / "out/1/console.log").exists)
    process.kill()
    process.communicate()
    (project.directory / "go").touch()
    assert "not continued" not in project.runslot("resume", "out")
    assert project.outcomes() == ["succeeded"] * 4
    assert project.texts("starts") == ["x"] * 4
    assert [text.split()[-1] for text in project.texts("console.log")] == ["1", "2", "3", "4"]
    rows = json.loads(project.runslot("results", "out", "--json"))
    assert rows


def test_resume_says_what_it_cannot_do_for_a_sweeper_that_launches_in_batches(
    project: Project,
) -> None:
    project.write(SLOW)
    batches = ("hydra/sweeper=basic", "hydra.sweeper.max_batch_size=2", "hydra.launcher.cpus=1")
    process = project.start(*OURS, "lr=1,2,3,4", "hydra.sweep.dir=out", *batches)
    wait_for((project.directory / "out/1/console.log").exists)
    process.kill()
    process.communicate()
    (project.directory / "go").touch()
    text = project.runslot("resume", "out")
    assert "note: hydra/sweeper=basic is not continued" in text
    assert "it adds no further ones" in text
    assert project.outcomes() == ["succeeded"] * 2
    assert project.texts("starts") == ["x"] * 2


def test_ctrl_c_stops_the_jobs_and_says_how_to_go_on(project: Project) -> None:
    project.write(SLOW)
    process = project.start(*OURS, "lr=2,3", "hydra.sweep.dir=out", "hydra.launcher.cpus=1")
    wait_for(lambda: list(project.directory.glob("out/*/starts")))
    begun = next(project.directory.glob("out/*/starts")).parent
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate()
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert "runslot resume out" in text
    # of the others one may not have begun
    assert json.loads((begun / "outcome.json").read_text())["kind"] == "stopped"


def test_stop_and_status_work_on_a_multirun(project: Project) -> None:
    project.write(SLOW)
    process = project.start(*OURS, "lr=2,3", "hydra.sweep.dir=out", "hydra.launcher.cpus=1")
    wait_for(lambda: list(project.directory.glob("out/*/starts")))
    begun = next(project.directory.glob("out/*/starts")).parent
    status = json.loads(project.runslot("status", "out", "--json"))
    assert "running" in json.dumps(status)
    project.runslot("stop", "out")
    text, _ = process.communicate()
    assert process.returncode != 0, text
    assert json.loads((begun / "outcome.json").read_text())["kind"] == "stopped"


def test_two_multiruns_share_the_slots_of_a_machine(project: Project) -> None:
    project.write(
        """
@main
def main(cfg):
    cores = sorted(os.sched_getaffinity(0))
    for core in cores:
        os.close(os.open(f"core-{core}", os.O_CREAT | os.O_EXCL))
    time.sleep(0.05)
    for core in cores:
        os.unlink(f"core-{core}")
"""
    )
    arguments = (*OURS, "lr=range(8)", "hydra.launcher.cpus=1")
    both = [project.start(*arguments, f"hydra.sweep.dir=out{number}") for number in (1, 2)]
    for process in both:
        text, _ = process.communicate()
        assert process.returncode == 0, text
    assert project.outcomes("out1") == project.outcomes("out2") == ["succeeded"] * 8


def test_the_same_directory_again_runs_every_job_again(project: Project) -> None:
    project.write(SAY)
    project.train("lr=1,2,3")
    project.train("lr=5,6")
    assert project.texts("said") == ["0 5", "1 6"]
    assert project.outcomes() == ["succeeded"] * 2


def test_each_job_draws_numbers_of_its_own_and_a_seeded_application_the_same(
    project: Project,
) -> None:
    project.write(
        """
import random
random.seed(7)
@main
def main(cfg):
    print(random.random())
"""
    )
    project.train("lr=1,2,3")
    first = project.texts("console.log")
    assert len(set(first)) == 3
    project.train("lr=1,2,3")
    assert project.texts("console.log") == first


def test_exit_handlers_of_the_application_run_once(project: Project) -> None:
    project.write(
        """
import atexit
atexit.register(lambda: print("the end", os.getpid(), flush=True))
@main
def main(cfg):
    atexit.register(lambda: print("end of job", flush=True))
"""
    )
    text = project.train("lr=1,2")
    assert text.count("the end") == 1
    assert [text.strip() for text in project.texts("console.log")] == ["end of job"] * 2


def test_jobs_have_the_interpreter_that_is_named(project: Project, tmp_path: Path) -> None:
    python = tmp_path / "other" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nOTHER=yes exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    project.write(
        "@main\ndef main(cfg):\n    print(cfg.lr, os.environ.get('OTHER'))\n    return cfg.lr\n"
    )
    project.train("lr=1,2", f"hydra.launcher.python={python}")
    assert project.outcomes() == ["succeeded"] * 2
    assert [line.split()[0] for line in project.texts("console.log")] == ["1", "2"]


def on_cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        fake = TESTS / "testbeds" / "slurm-fake"
        program(home / "bin" / name, f'{sys.executable} {fake} {name} "$@"')
    (home / "state").mkdir()
    monkeypatch.setenv("FAKE_SLURM", str(home / "state"))
    return 'kind = "slurm"'


def on_host(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (home / "far").mkdir()
    program(home / "bin" / "ssh", f'{sys.executable} {TESTS / "cli" / "ssh_stand_in"} "$@"')
    monkeypatch.setenv("FAR_HOME", str(home / "far"))
    return f'kind = "ssh"\nhosts = ["far1"]\npython = "{sys.executable}"\nsync_every = 0.5'


TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("place", [on_cluster, on_host])
def test_jobs_go_where_on_says_and_their_values_come_back(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Callable[[Path, pytest.MonkeyPatch], str],
) -> None:
    settings = place(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (project.directory / "runslot.toml").write_text(f"[launchers.there]\n{settings}\n")
    project.write(SAY + "    if cfg.lr == 2:\n        raise ValueError('of a job')\n")
    text = project.train("lr=1,2", "hydra.launcher.on=there", "hydra.launcher.cpus=1", code=1)
    assert project.texts("said") == ["0 1", "1 2"]
    assert project.outcomes() == ["succeeded", "failed"]
    assert all((job / ".hydra" / "config.yaml").exists() for job in project.jobs())
    assert "ValueError: of a job" in text


def test_a_job_that_takes_too_long_is_one_message(project: Project) -> None:
    project.write("@main\ndef main(cfg):\n    time.sleep(60)\n")
    text = project.train("lr=1", "hydra.launcher.timeout=1", code=1)
    assert "timed_out" in text
    assert "Traceback" not in text


def test_the_shell_completes_the_fields(project: Project) -> None:
    project.write(SAY)
    line = "python train.py hydra/launcher=runslot hydra.launcher."
    done = subprocess.run(
        [sys.executable, "train.py", "-sc", "query=bash"],
        cwd=project.directory,
        env={**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))},
        capture_output=True,
        text=True,
        check=False,
    )
    for field in ("cpus", "gpus", "runs_per_gpu", "memory", "timeout", "retries", "on", "python"):
        assert f"hydra.launcher.{field}=" in done.stdout, done.stdout + done.stderr


def test_the_commands_of_the_page_run(project: Project) -> None:
    page = (TESTS.parent / "docs" / "hydra.md").read_text()
    shutil.copytree(TESTS.parent / "examples" / "hydra", project.directory, dirs_exist_ok=True)
    program(project.directory / "bin" / "python", f'{sys.executable} "$@"')
    program(project.directory / "bin" / "runslot", f'{sys.executable} -m runslot "$@"')
    blocks = [block.partition("```")[0] for block in page.split("```sh\n")[1:]]
    ours = [
        block
        for block in blocks
        if ("hydra/launcher=runslot" in block and "hydra/sweeper" not in block)
        or "runslot status multirun/2" in block
    ]
    assert len(ours) == 2
    for block in ours:
        multiruns = sorted(project.directory.glob("multirun/*/*"))
        newest = str(multiruns[-1]) if multiruns else ""
        text = block.replace("multirun/2026-11-27/09-30-00", newest)
        done = subprocess.run(
            ["bash", "-ec", text],
            cwd=project.directory,
            env={**os.environ, "PATH": f"{project.directory / 'bin'}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, text + done.stdout + done.stderr
