"""rlpyt's `run_experiments` and `launch_experiment`: its command lines, directories and order, over
the engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from runslot.engines.open_experiment import write_run
from runslot.errors import AffinityError, Busy, InvalidInput, refusals, whole
from runslot.execute.spawn import start_code
from runslot.experiment.attempts import keep_attempt
from runslot.experiment.claim import keeper_lives
from runslot.experiment.placeholders import literal
from runslot.experiment.records import Command, ExperimentFile, LoggerSettings, Run
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.settings import path_of
from runslot.hardware.affinity import (
    affinity_from_code,
    get_n_run_slots,
    prepend_run_slot,
    slots_from_code,
)
from runslot.hardware.lease import Holder, Lease, LeaseRefusal, Leases
from runslot.hardware.probe import probe
from runslot.hardware.slots import Slot
from runslot.launch.create import make_exclusively, write_plan
from runslot.launch.launch import Outcomes, launch
from runslot.launch.plan import Plan, check_name, refuse_shared_directories
from runslot.launch.printer import Printer
from runslot.rlpyt.files import StrPath, get_log_dir, readable
from runslot.variants import run_id, safe_directory

Item = TypeVar("Item")

_RETRY_S = 0.1
"""Between tries for a slot that someone else holds."""

_CODE_AT = 2
"""Which argument of the command line is the slot's affinity code: `python script CODE log_dir
run_ID *args`.
"""


@refusals()
def run_experiments(
    script: StrPath,
    affinity_code: str,
    experiment_title: str,
    runs_per_setting: int,
    variants: Sequence[Mapping[str, Any]],
    log_dirs: Sequence[str],
    common_args: Sequence[Any] | None = None,
    runs_args: Sequence[Sequence[Any]] | None = None,
    set_egl_device: bool = False,
) -> Outcomes:
    """Run `script` for every variant `runs_per_setting` times, and return the outcomes when all
    have ended.

    As many run at a time as `affinity_code` has run slots; run IDs vary slowest. Each is called
    `python script slot_affinity_code log_dir run_ID *common_args *runs_args[i]` on the CPUs of its
    slot, and finds its variant with `load_variant(log_dir)`. All lies in
    `<root>/local/<yyyymmdd>/<hhmmss>/<experiment_title>`, in `log_dirs[i]` and there in
    `run_<run_ID>`.
    """
    file = _file_of(affinity_code, experiment_title, script, None, set_egl_device)
    variants, log_dirs = _listed(variants, "variants"), _listed(log_dirs, "log_dirs")
    if len(variants) != len(log_dirs):
        raise InvalidInput(
            f"there are {len(variants)} variants and {len(log_dirs)} log_dirs; each variant"
            " needs one"
        )
    arguments = _arguments(len(variants), common_args, runs_args)
    settings = list(zip(map(readable, variants), map(_log_dir, log_dirs), arguments, strict=True))
    run_IDs = range(whole(runs_per_setting, "runs_per_setting", 1))
    runs = [
        _run(variant, name, run_ID, args) for run_ID in run_IDs for variant, name, args in settings
    ]
    if not runs:
        raise InvalidInput("variants is empty: nothing would run")
    refuse_shared_directories(runs)
    plan = Plan(file, tuple(_distinct(runs)), {}, Path(script).absolute().parent, os.fspath(script))
    log_dir = Path(get_log_dir(experiment_title))
    directory = ExperimentDir(make_exclusively(log_dir.parent, log_dir.name))
    write_plan(directory, plan)
    _write_tree(directory, log_dirs, runs_per_setting)
    return launch(directory, Printer(), fresh=True)


@refusals()
def launch_experiment(
    script: StrPath,
    run_slot: int,
    affinity_code: str,
    log_dir: StrPath,
    variant: Mapping[str, Any],
    run_ID: int,
    args: Sequence[Any],
    python_executable: str | None = None,
    set_egl_device: bool = False,
) -> subprocess.Popen[bytes]:
    """Start one run of `script` in a run slot, as `run_experiments` does, and return the handle of
    its keeper.

    `poll` and `wait` give the script's exit code; `terminate` stops the run with all that it
    started. Its output is in `log_dir/run_<run_ID>/console.log`. Where a run of someone else holds
    the slot, this waits until it is free.
    """
    place = path_of(log_dir, "log_dir").absolute()
    file = _file_of(affinity_code, place.name, script, python_executable, set_egl_device)
    affinity_from_code(prepend_run_slot(run_slot, affinity_code))
    slot = slots_from_code(affinity_code, probe())[run_slot]
    run = _run(readable(variant), "", whole(run_ID, "run_ID", 0), _arguments(1, args, None)[0])
    run_dir = RunDir(place / run.directory)
    run_dir.path.mkdir(parents=True, exist_ok=True)
    attempt = _next_attempt(run_dir)
    write_run(run_dir, run, file, run_dir.path)
    with _lease(slot, Holder.of(file.name, run.directory)) as lease:
        return subprocess.Popen(_keeper(run_dir, slot, attempt), pass_fds=lease.descriptors)


# ---- what is asked -------------------------------------------------------------------------------


def _file_of(
    affinity_code: str, name: str, script: StrPath, python: str | None, set_egl_device: bool
) -> ExperimentFile:
    if not isinstance(affinity_code, str):
        raise AffinityError(
            f"affinity_code is a {type(affinity_code).__name__}; encode_affinity() makes the text"
        )
    get_n_run_slots(affinity_code)
    check_name(name)
    if not path_of(script, "script").is_file():
        raise InvalidInput(
            f"there is no script {os.fspath(script)!r} in {Path.cwd()}; give its path"
        )
    # The interpreter at work: `python` may be another one where an environment is used without
    # being activated.
    argv = (
        literal(python or sys.executable),
        literal(os.fspath(script)),
        "",
        "{log_dir}",
        "{run_ID}",
    )
    return ExperimentFile(
        name=name,
        work=Command(argv, slot_code_at=_CODE_AT),
        created=time.time(),
        cwd=str(Path.cwd()),
        python=sys.executable,
        python_version=f"{sys.version_info[0]}.{sys.version_info[1]}",
        python_path=os.environ.get("PYTHONPATH"),
        logger=LoggerSettings(snapshot_mode="none", style="rlpyt"),
        front_door="rlpyt",
        seeding=False,
        affinity_code=affinity_code,
        set_egl_device=bool(set_egl_device),
        gpu_visibility=False,
    )


def _arguments(
    count: int, common_args: Sequence[Any] | None, runs_args: Sequence[Sequence[Any]] | None
) -> list[tuple[str, ...]]:
    """Return the extra arguments of each variant's runs, as text."""
    common = _texts(() if common_args is None else common_args, "common_args")
    if runs_args is None:
        return [common] * count
    runs_args = _listed(runs_args, "runs_args")
    if len(runs_args) != count:
        raise InvalidInput(
            f"there are {count} variants and {len(runs_args)} runs_args; each variant needs its own"
        )
    return [common + _texts(args, f"runs_args[{number}]") for number, args in enumerate(runs_args)]


def _listed(values: Sequence[Item], name: str) -> list[Item]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidInput(f"{name} is {values!r:.80}; write a list with one for each variant")
    return list(values)


def _texts(values: Iterable[Any], name: str) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidInput(f"{name} is {values!r}; write a tuple of arguments: ({values!r},)")
    texts = tuple(map(str, values))
    for text in texts:
        if "\0" in text:
            raise InvalidInput(
                f"{name} has {text!r}, and no argument of a program can hold a zero byte"
            )
    return texts


def _log_dir(log_dir: str) -> str:
    """Return a variant's directory, or refuse one that leads out, or in which the experiment's own
    files lie.
    """
    if log_dir != "":
        path_of(log_dir, "log_dirs")
    name = safe_directory(os.fspath(log_dir))
    files = ExperimentDir("")
    reserved = (
        files.requests,
        files.provenance,
        files.payloads,
        files.experiment_file,
        files.runs_file,
        files.journal_file,
    )
    if name.partition("/")[0] in map(str, reserved):
        raise InvalidInput(
            f"log_dirs has {log_dir!r}, where the experiment's own files lie; choose another name"
        )
    return name


def _run(variant: dict[str, Any], name: str, run_ID: int, arguments: tuple[str, ...]) -> Run:
    directory = f"{name}/run_{run_ID}" if name else f"run_{run_ID}"
    return Run(
        run_id(variant, run_ID, arguments),
        name,
        variant,
        directory,
        run_ID=run_ID,
        arguments=arguments,
    )


def _distinct(runs: Iterable[Run]) -> Iterator[Run]:
    """Give runs that differ in nothing but their directory ids of their own: rlpyt's scripts may
    repeat a variant.
    """
    ids: set[str] = set()
    for run in runs:
        repeated = (*run.arguments, run.directory)
        distinct = (
            run if run.id not in ids else replace(run, id=run_id(run.variant, run.run_ID, repeated))
        )
        ids.add(distinct.id)
        yield distinct


def _write_tree(directory: ExperimentDir, log_dirs: Sequence[str], runs_per_setting: int) -> None:
    text = f"Experiment manager process ID: {os.getpid()}.\n"
    text += (
        f"Number of settings (experiments) to run: {len(log_dirs)} "
        f" ({runs_per_setting * len(log_dirs)}).\n\n"
    )
    directory.experiments_tree.write_text(text + "".join(f"{log_dir}\n" for log_dir in log_dirs))


# ---- one run, without a launcher -----------------------------------------------------------------


def _next_attempt(run_dir: RunDir) -> int:
    """Return the number of the attempt that can start now; an ended one is kept aside."""
    last = run_dir.read_attempt()
    if last is None:
        return 1
    if keeper_lives(run_dir, last) is not False:
        raise Busy(f"{run_dir.path} is being executed by process {last.pid} on {last.host}")
    keep_attempt(run_dir)
    return last.attempt + 1


def _lease(slot: Slot, holder: Holder) -> Lease:
    leases, refusal_printed = Leases(), False
    try:
        while isinstance(lease := leases.try_acquire(slot, holder), LeaseRefusal):
            if not refusal_printed:
                print(f"{holder.run} {lease}", flush=True)
                refusal_printed = True
            time.sleep(_RETRY_S)
    finally:
        leases.stop_waiting()
    return lease


def _keeper(run_dir: RunDir, slot: Slot, attempt: int) -> list[str]:
    options = ["--attempt", str(attempt), "--slot", json.dumps(slot.to_json())]
    return [
        sys.executable,
        "-S",
        "-E",
        "-c",
        start_code("__main__", "main", exits=True),
        "exec",
        str(run_dir.path),
        *options,
    ]
