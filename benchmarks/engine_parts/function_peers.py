"""One contestant of `functions.py`, in an interpreter of its own: `versions`, or `run NAME MODULE
RUNS SLOTS`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[0] = str(Path.cwd())  # where the module lies, as it would beside a script of the user's
Seconds = tuple[float, str]
"""With the experiment that was made, if any."""


def warm(module: str, runs: int, _slots: int) -> Seconds:
    return _runslot(module, runs, "warm")


def cold(module: str, runs: int, _slots: int) -> Seconds:
    return _runslot(module, runs, "cold")


def _runslot(module: str, runs: int, start: str) -> Seconds:
    from runslot import Experiment, Resources
    from runslot.launch.experiment import silent

    experiment = Experiment(
        "functions", f"{module}:train", seeds=runs, resources=Resources(cpus=1), start=start
    )
    directory = experiment.launch(silent).directory
    events = [json.loads(line) for line in (directory / "journal.jsonl").read_text().splitlines()]
    times = {event["event"]: event["time"] for event in events}
    return times["launcher_ended"] - times["launcher_started"], str(directory)


def forkserver(module: str, runs: int, slots: int) -> Seconds:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    train = importlib.import_module(module).train
    with context.Pool(slots, maxtasksperchild=1) as pool:
        pool.map(train, [{}] * slots, chunksize=1)
        begin = time.perf_counter()
        pool.map(train, [{}] * runs, chunksize=1)
        return time.perf_counter() - begin, ""


def submitit_local(module: str, runs: int, slots: int) -> Seconds:
    import submitit

    logging.disable()
    train = importlib.import_module(module).train
    with tempfile.TemporaryDirectory() as folder:
        executor = submitit.LocalExecutor(folder=folder)
        executor.update_parameters(timeout_min=10)
        submit = lambda _: executor.submit(train, {}).result()  # noqa: E731
        begin = time.perf_counter()
        with ThreadPoolExecutor(slots) as threads:  # it has no queue of its own
            list(threads.map(submit, range(runs)))
        return time.perf_counter() - begin, ""


def joblib_loky(module: str, runs: int, slots: int) -> Seconds:
    import joblib

    train = importlib.import_module(module).train
    with joblib.Parallel(n_jobs=slots, batch_size=1) as parallel:
        parallel(joblib.delayed(train)({}) for _ in range(4 * slots))
        begin = time.perf_counter()
        parallel(joblib.delayed(train)({}) for _ in range(runs))
        return time.perf_counter() - begin, ""


def ray_process(module: str, runs: int, slots: int) -> Seconds:
    return _ray(module, runs, slots, max_calls=1)


def ray_reused(module: str, runs: int, slots: int) -> Seconds:
    return _ray(module, runs, slots, max_calls=0)


def _ray(module: str, runs: int, slots: int, max_calls: int) -> Seconds:
    import ray

    ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    train = importlib.import_module(module).train
    remote = ray.remote(max_calls=max_calls)(train)
    ray.get([remote.remote({}) for _ in range(slots)])
    begin = time.perf_counter()
    ray.get([remote.remote({}) for _ in range(runs)])
    seconds = time.perf_counter() - begin
    ray.shutdown()
    return seconds, ""


CONTESTANTS: dict[str, tuple[str, Callable[[str, int, int], Seconds]]] = {
    "runslot, warm": ("runslot", warm),
    "runslot, cold": ("runslot", cold),
    "multiprocessing forkserver, a process a run": ("", forkserver),
    "submitit local": ("submitit", submitit_local),
    "Ray, a process a run (max_calls=1)": ("ray", ray_process),
    "Ray, workers reused": ("ray", ray_reused),
    "joblib (loky), workers reused": ("joblib", joblib_loky),
}
"""The distribution whose version is said, and what it does."""


def main() -> None:
    if sys.argv[1] == "versions":
        print(json.dumps({name: _version(library) for name, (library, _) in CONTESTANTS.items()}))
        return
    name, module, runs, slots = sys.argv[2:]
    out = os.dup(1)
    os.dup2(2, 1)  # what the libraries print is not the answer
    seconds, experiment = CONTESTANTS[name][1](module, int(runs), int(slots))
    os.write(out, json.dumps({"seconds": seconds, "experiment": experiment}).encode() + b"\n")


def _version(library: str) -> str | None:
    if not library:
        return sys.version.split()[0]
    if library == "runslot":  # found by PYTHONPATH, perhaps not installed into this interpreter
        import runslot

        return runslot.__version__
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
