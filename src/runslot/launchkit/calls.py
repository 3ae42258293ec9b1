"""launchkit's `run_experiment`: what a call asks for, and which way it goes.

A plain dict of variants is a space: a list at its top level, under a key that may be dotted, is a
set of choices; with `sweep=False`, in a `Variant`, and anywhere below the top level it is a value.
Where its only lists are of numbers, as `hidden_sizes=[400, 300]`, it is refused until `sweep` says
which they are.

With mode `here_no_doodad` the function runs in this process, and what it returns is returned (a
list where there are several runs); with `local_docker` and `local_singularity` the runs execute in
the image that the configuration names, and with `ssh` on the hosts of the launcher that `ssh_host`
names (else of the one named `ssh`), or on that host. With `slurm_singularity` they are left to
Slurm, for `time_in_mins` each at most, and with `sss` its scripts are written. With `ec2` and `gcp`
machines are rented, one for every `num_exps_per_instance` runs.

Runs lie in `<base_log_dir>/<MM-DD-exp_prefix>/<MM-DD-exp_prefix>_<time>_<exp_id>--s-<seed>`.
`use_gpu` gives every run a GPU of its own, else GPUs are hidden. Where runs go to another disk,
`code_include` and `code_exclude` choose which files of the code go with them, `fetch` and
`no_fetch` which of theirs come home, as patterns of `.gitignore`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runslot.engines.events import Observer, Said
from runslot.experiment.records import LoggerSettings
from runslot.experiment.settings import default_root, path_of
from runslot.launch.plan import check_name
from runslot.launch.printer import Printer
from runslot.launchkit.collection import Call, launch_call
from runslot.launchkit.here import CallRun, StrPath, run_experiment_here, runs_of_call
from runslot.launchkit.modes import (
    CLOUD_MODES,
    HERE,
    check_mode,
    container_of,
    launcher_of,
    rented_machines,
)
from runslot.logger.problems import check_settings
from runslot.transport.patterns import Patterns, check_patterns, idle_patterns
from runslot.variants import SWEEP_NOTE, Space, Variant, describe, space_of


def run_experiment(
    method_call: Callable[..., Any],
    mode: str = "local",
    exp_prefix: str = "default",
    seed: int | str | None = None,
    variant: Mapping[str, Any] | Iterable[Variant] | None = None,
    exp_id: int | str = 0,
    prepend_date_to_exp_prefix: bool = True,
    use_gpu: bool = False,
    snapshot_mode: str = "last",
    snapshot_gap: int = 1,
    base_log_dir: StrPath | None = None,
    local_input_dir_to_mount_point_dict: Mapping[str, str] | None = None,
    unpack_variant: bool = False,
    skip_wait: bool = False,
    sync_interval: int = 180,
    region: str = "us-east-1",
    instance_type: str | None = None,
    spot_price: float | None = None,
    verbose: bool = False,
    num_exps_per_instance: int = 1,
    time_in_mins: float | None = None,
    ssh_host: str | None = None,
    gcp_kwargs: Mapping[str, Any] | None = None,
    *,
    sweep: bool | None = None,
    code_include: Sequence[str] = (),
    code_exclude: Sequence[str] = (),
    fetch: Sequence[str] = (),
    no_fetch: Sequence[str] = (),
) -> Any:
    """Run `method_call(variant)` for each variant, and return a `Launched`.

    A plain dict is a space, as the module says; a `Variant` is one setting. The call waits for its
    runs, or with `skip_wait` the script does at its end. `mode` says where they execute: here, in
    this process (`here_no_doodad`), in containers, on hosts, in Slurm, or on machines that are
    rented. Raises `InvalidInput` before anything starts.
    """
    del verbose
    check_mode(mode)
    container = container_of(mode, bool(use_gpu), local_input_dir_to_mount_point_dict)
    launcher = launcher_of(mode, ssh_host, time_in_mins)
    check_name(exp_prefix)
    prefix = f"{time.strftime('%m-%d')}-{exp_prefix}" if prepend_date_to_exp_prefix else exp_prefix
    space = space_of(variant, sweep=sweep)
    logger = check_settings(LoggerSettings(snapshot_mode, snapshot_gap, "launchkit", "[{run}] "))
    runs = runs_of_call(space, seed, exp_id)
    code, home = _patterns(code_include, code_exclude, fetch, no_fetch)
    if mode in CLOUD_MODES:
        rental = (region, instance_type, spot_price, gcp_kwargs)
        launcher = rented_machines(mode, len(runs), *rental, num_exps_per_instance, sync_interval)
    shared = (prefix, _root(base_log_dir), logger, bool(use_gpu), bool(unpack_variant))
    places = (instance_type, container, launcher, code, home)
    call = Call(method_call, *shared, *places)
    observer = Printer()
    _say_what_is_meant(call, _sweep(space, variant), observer)
    if mode == HERE:
        results = [_run_here(call, run) for run in runs]
        return results if len(results) > 1 else results[0]
    return launch_call(call, runs, ", ".join(space.factors()), bool(skip_wait), observer)


def _patterns(
    code_include: Sequence[str],
    code_exclude: Sequence[str],
    fetch: Sequence[str],
    no_fetch: Sequence[str],
) -> tuple[Patterns, Patterns]:
    """Return which files of the code travel, and which of the runs come home."""
    code = Patterns(
        check_patterns(code_include, "code_include"), check_patterns(code_exclude, "code_exclude")
    )
    return code, Patterns(check_patterns(fetch, "fetch"), check_patterns(no_fetch, "no_fetch"))


def _root(base_log_dir: StrPath | None) -> Path:
    if base_log_dir is None:
        return default_root()
    return path_of(base_log_dir, "base_log_dir").absolute()


def _sweep(space: Space, variant: object) -> str:
    """Return what is swept, in a line; empty where there is one variant alone."""
    if not space.factors():
        return ""
    plain = isinstance(variant, Mapping) and not isinstance(variant, Variant)
    return describe(space, note=SWEEP_NOTE if plain else "")


def _say_what_is_meant(call: Call, sweep: str, observer: Observer) -> None:
    """Say which patterns choose nothing here, and what a call with several variants sweeps."""
    moves = call.launcher is not None and call.launcher.moves
    for note in idle_patterns(
        moves=moves, copies=False, code=bool(call.code), fetch=bool(call.home)
    ):
        observer(Said(f"note: {note}"))
    if sweep:
        observer(Said(sweep))


def _run_here(call: Call, run: CallRun) -> Any:
    return run_experiment_here(
        call.function,
        variant={**run.settings, **run.extras(call.prefix, call.instance_type)},
        exp_id=run.exp_id,
        seed=run.seed,
        use_gpu=call.use_gpu,
        exp_prefix=call.prefix,
        snapshot_mode=call.logger.snapshot_mode,
        snapshot_gap=call.logger.snapshot_gap,
        base_log_dir=call.root,
        unpack_variant=call.unpack,
    )
