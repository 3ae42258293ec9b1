"""Jobs of Hydra's in slots with GPUs, limits and containers, and what applications do beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.adopters.conftest import OURS, Project

pytestmark = pytest.mark.adopters

pytest.importorskip("hydra", reason="needs hydra-core")


def last_line(text: str) -> str:
    """Return what a job printed, behind what Hydra 1.4 warns of."""
    return text.splitlines()[-1]


# ---- GPUs ----------------------------------------------------------------------------------------

NVML = """
class NVMLError(Exception):
    pass
class Record:
    def __init__(self, **values):
        self.__dict__.update(values)
NVML_P2P_CAPS_INDEX_NVLINK = NVML_P2P_STATUS_OK = 0
UUIDS = {uuids}
def nvmlInit(): pass
def nvmlDeviceGetCount(): return len(UUIDS)
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetUUID(handle): return UUIDS[handle]
def nvmlDeviceGetName(handle): return "NVIDIA H100"
def nvmlDeviceGetMemoryInfo(handle): return Record(total=80 << 30, used=0, free=80 << 30)
def nvmlDeviceGetPciInfo(handle): return Record(busId=f"00000000:{{handle + 16:02X}}:00.0")
def nvmlDeviceGetMigMode(handle): return (0, 0)
def nvmlDeviceGetComputeRunningProcesses(handle): return []
def nvmlDeviceGetGraphicsRunningProcesses(handle): return []
def nvmlDeviceGetP2PStatus(a, b, index): return 0
def nvmlDeviceGetTopologyCommonAncestor(a, b): return 50
"""

TOGETHER = """
@main
def main(cfg):
    Path(f"here-{cfg.lr}").touch()
    until = time.monotonic() + 60
    while len(list(Path(".").glob("here-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put a driver with two GPUs on the path of imports, and return their UUIDs."""
    uuids = [f"GPU-{number}5d4cd0a-1b5c-4b41-8c2e-6d0f7a1c9e2{number}" for number in range(2)]
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "pynvml.py").write_text(NVML.format(uuids=uuids))
    paths = [str(tmp_path / "driver"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return uuids


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.usefixtures("driver")
def test_jobs_at_once_have_a_gpu_each(project: Project) -> None:
    project.write(TOGETHER)
    project.train("lr=1,2", "hydra.launcher.gpus=1", "hydra.launcher.cpus=1")
    assert sorted(project.texts("console.log")) == ["0\n", "1\n"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_jobs_share_a_gpu_where_that_is_asked_for(
    project: Project, driver: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", driver[1])
    project.write(TOGETHER)
    fields = ("hydra.launcher.gpus=1", "hydra.launcher.cpus=1", "hydra.launcher.runs_per_gpu=2")
    project.train("lr=1,2", *fields)
    assert project.texts("console.log") == ["1\n"] * 2


@pytest.mark.root
def test_jobs_of_a_process_that_has_opened_a_gpu_start_in_a_new_interpreter(
    project: Project,
) -> None:
    device = Path("/dev/nvidia-of-a-test")
    project.write(
        "@main\ndef main(cfg):\n    print(cfg.lr, os.getppid() == PARENT)\n",
        main=(
            f"GPU = open({str(device)!r}, 'w'); os.unlink({str(device)!r})\n"
            "    PARENT = os.getpid()\n    main()\n"
        ),
    )
    text = project.train("lr=1,2")
    assert "new interpreter" in text
    assert "it has opened the GPU (/dev/nvidia-of-a-test" in text
    assert [last_line(text) for text in project.texts("console.log")] == ["1 False", "2 False"]


# ---- limits and attempts -------------------------------------------------------------------------


def test_a_job_that_fails_once_is_tried_again(project: Project) -> None:
    project.write(
        """
@main
def main(cfg):
    print("try", flush=True)
    tries = Path(f"tries-{cfg.lr}")
    with tries.open("a") as file:
        file.write("x")
    if cfg.lr == 2 and len(tries.read_text()) < 3:
        raise ValueError("not yet")
    return cfg.lr
""",
    )
    text = project.train("lr=1,2", "hydra.launcher.retries=2")
    assert project.outcomes() == ["succeeded"] * 2
    tries = [(project.directory / f"tries-{lr}").read_text() for lr in (1, 2)]
    assert tries == ["x", "xxx"]
    assert text.count("it is tried again") == 2


def test_a_job_that_takes_more_memory_than_it_may_is_one_message(project: Project) -> None:
    project.write(
        """
@main
def main(cfg):
    held = []
    while cfg.lr == 2:
        held.append(bytearray(b"x" * (4 << 20)))
        time.sleep(0.001)
"""
    )
    text = project.train("lr=1,2", "hydra.launcher.memory=400MB", code=1)
    assert project.outcomes()[0] == "succeeded"
    assert project.outcomes()[1] == "failed"
    assert "memory" in text
    assert "Traceback" not in text


# ---- applications --------------------------------------------------------------------------------


def test_an_application_in_a_package_runs_as_a_module(project: Project) -> None:
    package = project.directory / "fit"
    (package / "conf").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "loss.py").write_text("def loss(lr):\n    return 2 * lr\n")
    (package / "conf" / "config.yaml").write_text("lr: 1\n")
    (package / "train.py").write_text(
        "import hydra\n"
        "from .loss import loss\n"
        "class Result:\n    def __init__(self, value):\n        self.value = value\n"
        "@hydra.main(version_base=None, config_path='conf', config_name='config')\n"
        "def main(cfg):\n    print(loss(cfg.lr))\n    return Result(loss(cfg.lr))\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    for place, fields in (("out", ()), ("far", (f"hydra.launcher.python={sys.executable}",))):
        argv = [sys.executable, "-m", "fit.train", *OURS, "lr=1,2", f"hydra.sweep.dir={place}"]
        done = subprocess.run(
            [*argv, *fields], cwd=project.directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert [last_line(text) for text in project.texts("console.log", place)] == ["2", "4"]
        assert (project.directory / place / "0" / "train.log").exists()


CALLBACK = """
from pathlib import Path
from hydra.experimental.callback import Callback
class Diary(Callback):
    def __init__(self, file):
        self.file = file
    def note(self, text):
        with Path(self.file).open("a") as file:
            file.write(text + "\\n")
    def on_multirun_start(self, config, **kwargs):
        self.note("multirun starts")
    def on_multirun_end(self, config, **kwargs):
        self.note("multirun ends")
    def on_job_start(self, config, **kwargs):
        self.kept = config.hydra.job.num
        self.note(f"job {config.hydra.job.num} starts {config.lr} {sorted(kwargs)}")
    def on_job_end(self, config, job_return, **kwargs):
        value = job_return._return_value
        self.note(f"job {self.kept} ends {job_return.status.name} {value} {job_return.overrides}")
"""


def test_callbacks_hear_what_they_hear_with_the_basic_launcher(project: Project) -> None:
    (project.directory / "diary.py").write_text(CALLBACK)
    project.write(
        "@main\ndef main(cfg):\n    return cfg.lr * 2\n",
        config=(
            "lr: 1\nhydra:\n  callbacks:\n    diary:\n      _target_: diary.Diary\n      file: ???\n"
        ),
    )
    text = project.train("lr=1,2", "hydra.callbacks.diary.file=ours")
    process = project.start(
        "-m", "lr=1,2", "hydra.sweep.dir=basic", "hydra.callbacks.diary.file=basic.txt"
    )
    process.communicate()
    ours, basic = (
        (project.directory / name).read_text().splitlines() for name in ("ours", "basic.txt")
    )
    assert ours[0] == basic[0] == "multirun starts", text
    assert ours[-1] == basic[-1] == "multirun ends"
    assert sorted(ours) == sorted(basic)


def test_a_job_that_exits_ends_like_its_process(project: Project) -> None:
    project.write(
        """
@main
def main(cfg):
    print("größer → ✓", flush=True)
    if cfg.lr == 2:
        os._exit(0)
    if cfg.lr == 3:
        os._exit(7)
    return cfg.lr
"""
    )
    text = project.train("lr=1,2,3", code=1)
    assert project.outcomes() == ["succeeded", "succeeded", "failed"]
    assert project.texts("console.log") == ["größer → ✓\n"] * 3
    assert "exit" in text
    assert "7" in text
    assert "Traceback" not in text


def test_values_of_every_kind_arrive_as_with_the_basic_launcher(project: Project) -> None:
    project.write(
        "@main\ndef main(cfg):\n"
        "    out = Path(HydraConfig.get().runtime.output_dir)\n"
        "    (out / 'values').write_text(repr(OmegaConf.to_container(cfg, resolve=True)))\n",
        config="lr: 1\nword: x\nitems: []\nsettings: {}\n",
    )
    sweep = (
        "word='a=b, it\\'s',\"two words\",null,'${lr}','=x','über'",
        "items=[],[1,[2,a b],null]",
        "++settings={a:1,b:{c:[x]}}",
        "+more.deep='x:y'",
    )
    project.train(*sweep)
    process = project.start("-m", *sweep, "hydra.sweep.dir=basic")
    text, _ = process.communicate()
    assert process.returncode == 0, text
    values = project.texts("values")
    assert len(set(values)) == 12
    assert values == [
        (project.directory / "basic" / str(job) / "values").read_text() for job in range(12)
    ]


# ---- containers ----------------------------------------------------------------------------------

STAND_IN = """#!{python}
import os, sys
argv = sys.argv[1:]
image = argv.index("image.sif")
mounts = [argv[i + 1] for i, word in enumerate(argv) if word == "--mount"]
(package,) = [text.split(",")[1].partition("=")[2] for text in mounts if "/opt/.runslot" in text]
os.makedirs({place!r}, exist_ok=True)
link = os.path.join({place!r}, "runslot")
if not os.path.islink(link):
    os.symlink(package, link)
os.chdir(argv[argv.index("--pwd") + 1])
command = [{python!r}, *(word.replace("/opt/.runslot", {place!r}) for word in argv[image + 2:])]
os.execve({python!r}, command, {{"PATH": os.environ["PATH"], "INSIDE": "yes"}})
"""


def test_what_hydra_cannot_prepare_for_a_job_is_its_own_exception(project: Project) -> None:
    """Before the task function begins, as where a variable of the environment has no value."""
    project.write(
        SAYS_LR,
        config="lr: 1\nhydra:\n  job:\n    env_set:\n      HERE: ${no_such_key}\n",
    )
    text = project.train("lr=1,2", code=1)
    assert "InterpolationKeyError: Interpolation key 'no_such_key' not found (1/2)" in text
    assert text.rstrip().splitlines()[-4:-2] == [
        "omegaconf.errors.InterpolationKeyError: Interpolation key 'no_such_key' not found",
        "    full_key: hydra.job.env_set.HERE",
    ]
    assert project.outcomes() == ["failed", "failed"]


def test_a_multirun_inside_a_job_is_refused_rather_than_waited_for(project: Project) -> None:
    """It could have no core but the job's, which has it until the multirun inside has ended."""
    project.write(
        """
import subprocess
@main
def main(cfg):
    argv = [sys.executable, __file__, "-m", "lr=2", "hydra/launcher=runslot"]
    inner = ["hydra.sweep.dir=inner", "+inner=true"]
    assert "inner" in cfg or subprocess.run([*argv, *inner]).returncode == 1
""",
    )
    project.train("lr=1")
    (console,) = project.texts("console.log")
    assert "this launch is inside a run" in console
    assert "Traceback" not in console
    assert not (project.directory / "inner" / "0").exists()


@pytest.fixture
def apptainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in on PATH that executes here, with nothing of the caller's environment."""
    file = tmp_path / "bin" / "apptainer"
    file.parent.mkdir()
    file.write_text(STAND_IN.format(python=sys.executable, place=str(tmp_path / "there")))
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("apptainer")
def test_jobs_execute_in_an_image_and_their_values_come_back(project: Project) -> None:
    (project.directory / "image.sif").touch()
    project.write(
        """
OmegaConf.register_new_resolver("twice", lambda value: 2 * value)
class Result:
    def __init__(self, value):
        self.value = value
@main
def main(cfg):
    print(cfg.double, os.environ.get("INSIDE"))
    if cfg.lr == 2:
        raise ValueError("of a job inside")
    return Result(cfg.double)
""",
        config="lr: 1\ndouble: ${twice:${lr}}\n",
    )
    text = project.train("lr=1,2", CONTAINER, code=1)
    assert project.outcomes() == ["succeeded", "failed"], text
    assert last_line(project.texts("console.log")[0]) == "2 yes"
    assert (project.directory / "out" / "1" / ".hydra" / "config.yaml").exists()
    assert "ValueError: of a job inside" in text


SAYS_LR = """
@main
def main(cfg):
    print(cfg.lr)
"""
CONTAINER = "hydra.launcher.container={image:image.sif,engine:apptainer}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{image:x,engine:dokker}", "hydra.launcher: container.engine"),
        ("{engine:docker}", "hydra.launcher: container: it needs an image"),
        ("{image:x,engin:docker}", "did you mean 'engine'"),
        ("3", "hydra.launcher: container"),
    ],
)
def test_settings_of_a_container_that_cannot_be_meant(value: str, message: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from runslot.errors import InvalidInput
    from runslot.hydra.fields import experiment_of

    (override,) = OverridesParser.create().parse_overrides([f"container={value}"])
    with pytest.raises(InvalidInput) as refusal:
        experiment_of("fit", {"container": override.value()})
    assert message in str(refusal.value)
