"""A function of the launching script lives in that script's `__main__`: scripts run as users run
them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def launch(directory: Path, script: str, *arguments: str) -> list[dict[str, Any]]:
    """Run a script that launches, and return what its runs have written to `seen.json`, by
    directory.
    """
    (directory / "job.py").write_text(script)
    return _seen(directory, [sys.executable, "job.py", *arguments])


def _seen(directory: Path, command: list[str]) -> list[dict[str, Any]]:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, timeout=100
    )
    consoles = "".join(path.read_text() for path in directory.rglob("console.log"))
    assert done.returncode == 0, done.stdout + done.stderr + consoles
    return [json.loads(path.read_text()) for path in sorted(directory.rglob("seen.json"))]


SCRIPT = """
import collections, dataclasses, json, pickle, sys
import multiprocessing as mp
from pathlib import Path
from runslot import Experiment, current_run, grid

Point = collections.namedtuple("Point", "x y")

@dataclasses.dataclass
class Config:
    lr: float = 0.1
    class Inner:
        pass

CONFIG = Config()
SETTINGS = {"a": 1}

def square(point): return Point(point.x ** 2, Config(point.y))

def train(variant):
    seen = {}
    for start in ("fork", "spawn", "forkserver") if variant["pools"] else ():
        with mp.get_context(start).Pool(1) as pool:
            (point,) = pool.map(square, [Point(3, 4)])
        seen[start] = [type(point) is Point, point.x, type(point.y) is Config]
    again = pickle.loads(pickle.dumps([Config(2), Point(1, 2), Config.Inner, square]))
    seen["again"] = [type(again[0]) is Config, type(again[1]) is Point, again[2] is Config.Inner, again[3] is square]
    seen["main"] = [sys.modules["__main__"].train is train, __name__, Path(__file__).name, Config.__module__]
    seen["given"] = [isinstance(variant["config"], Config), variant["kind"] is Config]
    seen["values"] = [ARGUMENTS, CONFIG.lr, SETTINGS, LATE]
    seen["argv"] = sys.argv
    Path(current_run().directory, "config.pkl").write_bytes(pickle.dumps(Config(5)))
    Path(current_run().directory, "seen.json").write_text(json.dumps(seen))

def main():
    global ARGUMENTS
    ARGUMENTS = sys.argv[1:]
    SETTINGS["b"] = 2
    variants = grid({"pools": [True, False]})
    variants = [{**v, "config": Config(7), "kind": Config} for v in variants]
    if "cold" in ARGUMENTS:
        variants = variants[:1]
    out = Experiment("m", train, variants=variants, start="cold" if "cold" in ARGUMENTS else "auto").launch()
    raise SystemExit(not out.all_succeeded)

if __name__ == "__main__":
    LATE = {"made": Config.__name__}
    CONFIG.lr = 0.5
    main()
"""


@pytest.mark.parametrize("how", ["auto", "cold"])
def test_pools_pickles_and_values_are_as_when_the_script_is_run_by_hand(
    tmp_path: Path, how: str
) -> None:
    runs = launch(tmp_path, SCRIPT, how)
    assert len(runs) == {"auto": 2, "cold": 1}[how]
    for seen in runs:
        for start in ("fork", "spawn", "forkserver"):
            assert seen.pop(start, [True, 9, True]) == [True, 9, True]
        assert seen == {
            "again": [True] * 4,
            "main": [True, "__main__", "job.py", "__main__"],
            "given": [True, True],
            "values": [[how], 0.5, {"a": 1, "b": 2}, {"made": "Config"}],
            "argv": ["job.py", how],
        }
    # What a run pickled is read by the script itself.
    first, *_ = tmp_path.rglob("config.pkl")
    reading = SCRIPT.replace(
        "    main()\n", f"    print(pickle.loads(Path({str(first)!r}).read_bytes()))\n"
    )
    (tmp_path / "job.py").write_text(reading)
    done = subprocess.run(
        [sys.executable, "job.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "Config(lr=5)"


def test_a_module_that_is_run_by_its_name_imports_its_neighbours(tmp_path: Path) -> None:
    package = tmp_path / "project"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "near.py").write_text("def double(i): return 2 * i\n")
    (package / "job.py").write_text(
        "import json, multiprocessing as mp\nfrom pathlib import Path\nfrom runslot import"
        " Experiment, current_run\nfrom .near import double\ndef four(i): return"
        " double(double(i))\ndef train(variant):\n    with mp.get_context('spawn').Pool(1) as"
        " pool:\n        Path(current_run().directory, 'seen.json').write_text(json.dumps({'four':"
        " pool.map(four, [1])}))\nif __name__ == '__main__':\n    raise SystemExit(not"
        " Experiment('m', train).launch().all_succeeded)\n"
    )
    assert _seen(tmp_path, [sys.executable, "-m", "project.job"]) == [{"four": [4]}]


UNGUARDED = """
import json, pickle, multiprocessing as mp
from pathlib import Path
from runslot import Experiment, current_run
class Config: pass
def square(i): return i * i
def train(variant):
    with mp.get_context("fork").Pool(1) as pool:
        seen = {"squares": pool.map(square, [3]), "same": type(pickle.loads(pickle.dumps(Config()))) is Config}
    Path(current_run().directory, "seen.json").write_text(json.dumps(seen))
"""


@pytest.mark.parametrize(
    "launching",
    [
        "Experiment('u', train).launch()",
        (
            "if __name__ == '__main__':\n    print('a main part that does not"
            " launch')\nExperiment('u', train).launch()"
        ),
    ],
)
def test_names_that_travel_by_value_stand_in_main(tmp_path: Path, launching: str) -> None:
    assert launch(tmp_path, f"{UNGUARDED}\n{launching}\n") == [{"squares": [9], "same": True}]


PICKLING = """
import sys
from pathlib import Path
def work(): return __name__, NUMBER
if __name__ == "__main__":
    from runslot.launch.function import refer
    NUMBER = 7
    Path("function.pkl").write_bytes(refer(work)[1])
"""

READING = """
import pickle, sys
from pathlib import Path
from runslot.execute.functions import find_function
from runslot.experiment.records import Function
work = find_function(Function("work", pickle="function.pkl"), Path.cwd())
main = sys.modules["__main__"]
print(work(), main.work is work, "loaded" if hasattr(main, "__file__") else "by value")
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda script: None, "('__main__', 7) True loaded"),
        (lambda script: script.write_text(PICKLING + "# edited"), "('__main__', 7) True by value"),
        (lambda script: script.unlink(), "('__main__', 7) True by value"),
    ],
    ids=["as it was", "edited", "not there"],
)
def test_a_script_is_loaded_only_as_it_was_at_the_launch(
    tmp_path: Path, change: Callable[[Path], Any], words: str
) -> None:
    script = tmp_path / "job.py"
    script.write_text(PICKLING)
    subprocess.run([sys.executable, "job.py"], cwd=tmp_path, check=True)
    change(script)
    read = subprocess.run(
        [sys.executable, "-c", READING], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert read.stdout.strip() == words


DRAWING = """
import json
from pathlib import Path
import numpy as np
from runslot import Experiment, current_run
RNG = np.random.default_rng()
def train(variant):
    Path(current_run().directory, "seen.json").write_text(json.dumps({"drawn": RNG.random()}))
"""


@pytest.mark.parametrize("start", ["auto", "cold"])
@pytest.mark.parametrize("guard", ["if __name__ == '__main__':", "if True:"])
def test_a_generator_of_a_script_is_each_runs_own(tmp_path: Path, guard: str, start: str) -> None:
    launching = f"    RNG.random()\n    Experiment('g', train, seeds=3, start={start!r}).launch()\n"
    assert len({seen["drawn"] for seen in launch(tmp_path, f"{DRAWING}{guard}\n{launching}")}) == 3


def test_what_cannot_travel_is_taken_from_the_script_or_refused_before_a_run(
    tmp_path: Path,
) -> None:
    script = """
import json, threading
from pathlib import Path
from runslot import Experiment, current_run
LOCK = threading.Lock()
def train(variant):
    with LOCK:
        Path(current_run().directory, "seen.json").write_text(json.dumps({"locked": LOCK.locked()}))
if __name__ == "__main__":
    LOCK = LOCK
    Experiment("t", train).launch()
"""
    assert launch(tmp_path, script) == [{"locked": True}]
    late = script.replace("LOCK = threading.Lock()\ndef", "def").replace(
        "LOCK = LOCK", "LOCK = threading.Lock()"
    )
    (tmp_path / "job.py").write_text(late)
    done = subprocess.run(
        [sys.executable, "job.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "function 'train' cannot travel to another process: it uses 'LOCK'" in done.stderr
