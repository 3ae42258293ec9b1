"""What an import leaves for all runs, found in a real template process; and that runs are as apart
as cold ones.
"""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

from runslot import Experiment, InvalidInput
from runslot.engines.local.template import TemplateProcess
from runslot.experiment.records import Function

TRAIN = "\ndef train(variant): pass\n"


def imported(tmp_path: Path, code: str, **others: str) -> tuple[str, tuple[str, ...]]:
    """Return why a function of a module with this code starts cold, and what its runs make anew."""
    (tmp_path / "job.py").write_text(code + TRAIN)
    for name, text in others.items():
        (tmp_path / f"{name}.py").write_text(text)
    template = TemplateProcess.begin(sys.executable, tmp_path / "log", bare=False)
    try:
        path = [str(tmp_path), *sys.path]
        return template.import_function(
            Function("train", module="job"), tmp_path, path, str(tmp_path)
        )
    finally:
        template.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import uuid\nRUN = uuid.uuid4().hex", "uuid.uuid4() (job.py, line 2)"),
        ("from uuid import uuid4 as fresh\nclass Names:\n    run = str(fresh())", "uuid.uuid4() (job.py, line 3)"),
        ("import time\nSTART = time.time()", "time.time()"),
        ("from datetime import datetime\nSTAMP = f'{datetime.now():%H%M}'", "datetime.datetime.now()"),
        ("import os\nSEED = int.from_bytes(os.urandom(4), 'little')", "os.urandom()"),
        ("import secrets\ndef train(v, key=secrets.token_hex()): pass", "secrets.token_hex()"),
        ("import tempfile\nTMP = tempfile.mkdtemp()", "tempfile.mkdtemp()"),
        ("import random\nLR = [random.uniform(0, 1) for _ in range(3)]", "random.uniform()"),
        ("import numpy as np\nNOISE = np.random.rand(3)", "numpy.random, which has no seed"),
        ("import os\ndef name():\n    return os.getpid()\nRUN = name()", "os.getpid()"),
        ("import time\nclass Clock:\n    def __init__(self):\n        self.start = time.monotonic()\nCLOCK = Clock()",
         "time.monotonic()"),
        ("import time\ndef ask(\n    scale,\n):\n    return scale * time.time()\nlater = ask\nSTART = later(2)",
         "time.time()"),
        ("import functools, os\ndef told(f):\n    @functools.wraps(f)\n    def inner(): return f()\n    return inner\n"
         "@told\ndef name():\n    return os.getpid()\nclass Run:\n    name = name()", "os.getpid()"),
        ("import uuid\n@(lambda f: f)\ndef one(key=str(\n    uuid.uuid4(),\n)): pass", "uuid.uuid4()"),
        ("import socket\nPAIR = {'a': socket.socketpair()}", "socket"),
        ("LOG = open('log.txt', 'w')", "an open file (job.LOG)"),
        ("import logging\nlogging.getLogger('x').addHandler(logging.FileHandler('words.txt'))", "words.txt"),
        ("from concurrent.futures import ThreadPoolExecutor\nPOOL = ThreadPoolExecutor(2)", "a pool of threads"),
        ("import multiprocessing as mp\nLOCK = mp.Lock()", "a lock of multiprocessing (job.LOCK)"),
        ("import multiprocessing as mp\nTOTAL = mp.Value('i', 0)", "shared memory (job.TOTAL)"),
        ("import subprocess\nsubprocess.Popen(['sleep', '1'])", "started a process"),
        ("import numpy as np\nBITS = np.random.PCG64()", "a bit generator without a seed (job.BITS)"),
        ("import numpy as np\nSEEDS = np.random.SeedSequence()", "a seed sequence without a seed (job.SEEDS)"),
        ("import numpy as np\nrng = np.random.default_rng()\nSTART = rng.normal(3)", "drew from job.rng"),
        ("import random\nRNG = random.Random()\nSTART = RNG.random()", "drew from job.RNG"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_anew_is_a_reason_to_start_cold(
    tmp_path: Path, code: str, words: str
) -> None:
    reason, _ = imported(tmp_path, code)
    assert words in reason


def test_functions_of_other_modules_of_the_users_are_followed(tmp_path: Path) -> None:
    names = "import uuid\ndef fresh():\n    return uuid.uuid4().hex\n"
    assert (
        "uuid.uuid4() (job.py, line 2)"
        in imported(tmp_path, "import names\nRUN = names.fresh()", names=names)[0]
    )


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import random\nPLAIN, OTHER = random.Random(), random.Random(3)", ["job.PLAIN"]),
        ("import numpy as np\nRNG = np.random.default_rng()", ["job.RNG"]),
        ("import numpy as np\nclass Agent:\n    rngs = [np.random.default_rng()]\nAGENT = Agent()",
         ["job.Agent.rngs[0]"]),
        ("import random\nclass Agent:\n    def __init__(self):\n        self.rng = random.Random()\nAGENT = Agent()",
         ["job.AGENT.rng"]),
        ("import numpy as np\nOLD = np.random.RandomState()", ["job.OLD"]),
    ],
)  # fmt: skip
def test_generators_without_a_seed_are_made_anew(
    tmp_path: Path, code: str, names: list[str]
) -> None:
    assert imported(tmp_path, code) == ("", tuple(names))


@pytest.mark.parametrize(
    "code",
    [
        "def make():\n    rng = R()\n    return lambda: rng.random()\ndraw = make()",
        "def draw(rng=R()): return rng.random()",
        "def draw(*, rng=R()): return rng.random()",
        "class Agent:\n    def act(self, rng=R()): return rng.random()",
        "class Agent:\n    @staticmethod\n    def act(rng=R()): return rng.random()",
        (
            "def make(rng):\n    return property(lambda self: rng.random())\nclass Agent:\n    draw"
            " = make(R())"
        ),
        (
            "class Slots:\n    __slots__ = ('rng',)\n    def __init__(self): self.rng = R()\nSLOTS"
            " = Slots()"
        ),
        "class Items(list): pass\nITEMS = Items([R()])",
        "PAIR = collections.namedtuple('PAIR', 'rng')(R())",
        (
            "@dataclasses.dataclass(slots=True)\nclass Config:\n    rng: object = None\nCONFIG ="
            " Config(R())"
        ),
        "draw = functools.partial(random.Random.random, R())",
        "draw = functools.partial(print, rng=R())",
        "@functools.lru_cache\ndef rng(): return R()\nrng()",
        "draw = R().random",
        "DRAWS = map(lambda rng: rng.random(), itertools.repeat(R()))",
        "DRAWS = itertools.cycle([R()])",
        (
            "def draws():\n    rng = R()\n    yield\n    yield rng.random()\nDRAWS ="
            " draws()\nnext(DRAWS)"
        ),
        "RECENT = collections.deque([R()])",
        "BY_NAME = collections.defaultdict(R)\nBY_NAME['a']",
        "KNOWN = types.MappingProxyType({'rng': R()})",
        "SPACE = types.SimpleNamespace(rng=R())",
        "CURRENT = contextvars.ContextVar('CURRENT', default=R())",
        "CURRENT = contextvars.ContextVar('CURRENT')\nCURRENT.set(R())",
        "LOCAL = threading.local()\nLOCAL.rng = R()",
        "QUEUE = queue.Queue()\nQUEUE.put(R())",
        "FROZEN = stats.norm()\nFROZEN.random_state = numpy.random.RandomState()",
    ],
)
def test_a_generator_is_found_wherever_the_users_module_holds_it(tmp_path: Path, code: str) -> None:
    modules = (
        "import collections, contextvars, dataclasses, functools, itertools, queue, random,"
        " threading, types\n"
    )
    libraries = "import numpy\nfrom scipy import stats\n" if "stats" in code else ""
    reason, renewed = imported(tmp_path, f"{modules}{libraries}R = random.Random\n{code}")
    assert (reason, len(renewed)) == ("", 1), renewed


@pytest.mark.parametrize(
    "code",
    [
        "import random\nRNG = random.Random(0)\nrandom.seed(1)\nLR = random.random()",
        "import numpy as np\nRNG = np.random.default_rng(7)\nSTART = RNG.normal(3)",
        "import numpy as np\nRNG = np.random.default_rng(0x87351080E25CB0FAD77A44A3BE03B491)",
        (
            "import numpy as np\nnp.random.seed(3)\nNOISE = np.random.rand(3)\nOLD ="
            " np.random.RandomState(4)"
        ),
        (
            "import random, time, uuid\ndef later():\n    return time.time(), uuid.uuid4(),"
            " random.random()\nRNG = random.SystemRandom()\nLATER = lambda: time.time()"
        ),
        (
            "import time\nclass Agent:\n    def act(\n        self,\n    ):\n        return"
            " time.time()\nAGENT = Agent()"
        ),
        "import time\nif __name__ == '__main__':\n    START = time.time()",
        (
            "import sys\nOUT, ERR = sys.stdout, sys.stderr\nwith open(__file__) as file:\n    TEXT"
            " = file.read()"
        ),
        "import numpy, pandas, scipy.stats, sklearn.linear_model",
    ],
)
def test_what_every_cold_start_would_have_alike_is_shared(tmp_path: Path, code: str) -> None:
    assert imported(tmp_path, code) == ("", ())


@pytest.mark.adopters
@pytest.mark.parametrize(
    ("library", "code", "words"),
    [
        ("polars", "import polars", "threads (polars"),
        ("grpc", "import grpc\nCHANNEL = grpc.insecure_channel('127.0.0.1:1')", "threads (grpc"),
        ("jax", "import jax\nKEY = jax.random.key(0)", "started threads"),
        ("tensorflow", "import tensorflow as tf\nONE = tf.constant(1)", "started threads"),
        ("asyncio", "import asyncio\nLOOP = asyncio.new_event_loop()", "opened socket"),
        (
            "sklearn",
            "from sklearn.datasets import make_blobs\nX = make_blobs()",
            "numpy.random, which has no seed",
        ),
    ],
)
def test_libraries_whose_state_does_not_survive_a_fork_start_cold(
    tmp_path: Path, library: str, code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    # Where there is a GPU, the first reason is that it is open.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert words in imported(tmp_path, code)[0]


def test_what_a_library_draws_when_it_is_imported_is_its_own_affair(tmp_path: Path) -> None:
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "drawing.py").write_text(
        "import numpy as np\nNAME = np.random.rand()\ndef draw(): return np.random.rand()\n"
    )
    path = f"import sys\nsys.path.insert(0, {str(library)!r})\n"
    assert imported(
        tmp_path, f"{path}import numpy as np\nimport drawing\nfrom drawing import NAME"
    ) == ("", ())
    for code in ("import drawing\nX = drawing.draw()\n", "import drawing, other\n"):
        reason, _ = imported(
            tmp_path, path + code, other="import drawing\nX = drawing.draw()\nimport json\n"
        )
        assert "drew from numpy.random" in reason


def test_handlers_of_register_at_fork_are_called_before_the_function(tmp_path: Path) -> None:
    code = "import os\nCALLS = []\nos.register_at_fork(after_in_child=lambda: CALLS.append(1))\n"
    code += "def train(variant):\n    print('called' if CALLS else 'not called')\n"
    (tmp_path / "job.py").write_text(code)
    outcomes = Experiment("f", f"{tmp_path / 'job.py'}:train", root=tmp_path / "runs").launch()
    ((run, _),) = outcomes.pairs
    assert (outcomes.directory / run.directory / "console.log").read_text() == "called\n"


@pytest.mark.adopters
def test_the_generators_of_the_real_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    assert (
        "torch's generator" in imported(tmp_path, "import torch\nLAYER = torch.nn.Linear(2, 2)")[0]
    )
    code = (
        "import torch\ntorch.manual_seed(3)\nLAYER = torch.nn.Linear(2, 2)\nGENERATOR ="
        " torch.Generator()"
    )
    assert imported(tmp_path, code) == ("", ())
    assert imported(tmp_path, "import torch\nG = torch.Generator()\nG.seed()") == ("", ("job.G",))


DRAWING = """
import random
import numpy as np
from runslot import logger
PLAIN, RNG, OLD = random.Random(), np.random.default_rng(), np.random.RandomState()
FIXED = np.random.default_rng(3)
def train(variant):
    logger.record_dict({
        "plain": PLAIN.random(), "rng": RNG.random(), "child": RNG.spawn(1)[0].random(), "old": OLD.random_sample(),
        "fixed": FIXED.random(),
    })
    logger.dump_tabular()
"""


def test_runs_draw_apart_and_seeded_generators_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.py").write_text(DRAWING)
    drawn = _columns(tmp_path, "job.py", [{"lr": n} for n in range(4)])
    assert {name: len(set(values)) for name, values in drawn.items()} == {
        **dict.fromkeys(drawn, 4),
        "fixed": 1,
    }
    assert "job.PLAIN, job.RNG, job.OLD: made anew in each run" in capsys.readouterr().out


def _columns(tmp_path: Path, file: str, variants: list[dict[str, int]]) -> dict[str, list[str]]:
    outcomes = Experiment(
        "d", f"{tmp_path / file}:train", variants=variants, root=tmp_path / "runs"
    ).launch()
    assert outcomes.all_succeeded, outcomes.failed
    rows = []
    for run, _ in outcomes.pairs:
        with (outcomes.directory / run.directory / "progress.csv").open(newline="") as csv_file:
            rows += list(csv.DictReader(csv_file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_a_module_that_fails_is_told_without_the_frames_around_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        imported(tmp_path, "import broken\n", broken="def fail():\n    return 1 / 0\nfail()\n")
    lines = [line.strip() for line in str(refused.value).splitlines() if line.startswith("  File")]
    assert [line.split('"')[1] for line in lines] == [
        str(tmp_path / name) for name in ("job.py", "broken.py", "broken.py")
    ]
    assert str(refused.value).rstrip().endswith("ZeroDivisionError: division by zero")
