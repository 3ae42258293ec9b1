"""Run an experiment function in this process, as launchkit's `run_experiment_here`."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runslot import logger
from runslot.errors import InvalidInput, RunslotError
from runslot.execute.functions import call_function, seed_everything, set_gpu_mode
from runslot.experiment.records import Function
from runslot.experiment.rundir import RunDir, write_atomically
from runslot.first_import import FirstImport
from runslot.launch.function_pickle import by_value
from runslot.launchkit.code import GitTuple, code_directory, git_infos_of, script_path
from runslot.launchkit.runs import runs_of_call
from runslot.variants import is_plain, plain, single

StrPath = str | os.PathLike[str]


def run_experiment_here(
    experiment_function: Callable[..., Any],
    variant: Mapping[str, Any] | None = None,
    exp_id: int | str = 0,
    seed: int | str | None = None,
    use_gpu: bool = True,
    exp_prefix: str = "default",
    snapshot_mode: str = "last",
    snapshot_gap: int = 1,
    git_infos: Sequence[GitTuple] | None = None,
    script_name: str | None = None,
    base_log_dir: StrPath | None = None,
    force_randomize_seed: bool = False,
    log_dir: StrPath | None = None,
    unpack_variant: bool = False,
    **setup_logger_kwargs: Any,
) -> Any:
    """Call the function in this process and return what it returns; the logger writes into the run's directory.

    The variant is one setting, its lists included. The function receives a dict of its own, with `exp_id` and `seed`
    added as text. `random`, `numpy`, `torch` and `tensorflow` are seeded, also where the function imports them first;
    RLKit's `pytorch_util` is told `use_gpu` in the same way.
    """
    settings = _single(variant)
    if force_randomize_seed:
        seed = settings["seed"] = None
    (run,) = runs_of_call(single(settings), seed, exp_id)
    if not callable(experiment_function):
        raise InvalidInput(f"{experiment_function!r} is not a function")
    of_caller: dict[str, Any] = {key: settings[key] for key in ("exp_prefix", "instance_type") if key in settings}
    received = {**plain(run.settings), **of_caller, "exp_id": str(run.exp_id), "seed": str(run.seed)}
    logger_arguments: dict[str, Any] = {
        "exp_id": run.exp_id,
        "seed": run.seed,
        "exp_prefix": exp_prefix,
        "snapshot_mode": snapshot_mode,
        "snapshot_gap": snapshot_gap,
        "base_log_dir": base_log_dir,
        "script_name": script_path() if script_name is None else script_name,
        "git_infos": git_infos_of(code_directory(experiment_function)) if git_infos is None else git_infos,
        **setup_logger_kwargs,
    }
    hooks: list[FirstImport | None] = []
    logger.reset()
    directory = Path(logger.setup_logger(variant=received, log_dir=log_dir, **logger_arguments))
    try:
        _save_arguments_if_possible(directory, {**logger_arguments, "variant": received, "use_gpu": use_gpu})
        hooks += [seed_everything(run.seed), set_gpu_mode(bool(use_gpu))]
        return call_function(experiment_function, Function("", unpack=unpack_variant), received)
    finally:
        for hook in filter(None, hooks):
            hook.remove()
        logger.reset()


def _single(variant: Any) -> dict[str, Any]:
    if variant is not None and not isinstance(variant, Mapping):
        raise InvalidInput(f"run_experiment_here takes one variant, a dict, not a {type(variant).__name__}")
    settings: Mapping[str, Any] = variant or {}
    return dict(settings)


def _save_arguments_if_possible(directory: Path, arguments: Mapping[str, Any]) -> None:
    """Do without `experiment.pkl` where the variant holds what cannot be pickled: nothing has to travel here."""
    try:
        save_arguments(directory, arguments)
    except RunslotError as error:
        logger.log(f"no experiment.pkl: {error}")


def save_arguments(directory: Path, arguments: Mapping[str, Any]) -> None:
    """Write launchkit's `experiment.pkl`: the keyword arguments of the run."""
    content = {"run_experiment_here_kwargs": dict(arguments)}
    plain_enough = is_plain(dict(arguments["variant"]))
    data = pickle.dumps(content) if plain_enough else by_value(content, "the variant, for experiment.pkl,")
    write_atomically(RunDir(directory).experiment_pickle, data)
