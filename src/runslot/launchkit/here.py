"""Run an experiment function in this process, as launchkit's `run_experiment_here`; and a call's
runs and code.

`calls` and `collection` take from here what both ways of running share: settings, seed and number
of each run, checked before anything is touched, and the script with the state of its git work tree.
"""

from __future__ import annotations

import os
import pickle
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runslot import logger
from runslot.errors import InvalidInput, RunslotError
from runslot.execute.functions import call_function, seed_everything, set_gpu_mode
from runslot.experiment.files import write_atomically
from runslot.experiment.provenance import read_git
from runslot.experiment.records import Function
from runslot.experiment.rundir import RunDir
from runslot.first_import import FirstImport
from runslot.launch.function import by_value
from runslot.record import record
from runslot.variants import Space, is_plain, plain, single, variants_of

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
    """Call the function in this process and return what it returns; the logger writes into the
    run's directory.

    The variant is one setting, its lists included. The function receives a dict of its own, with
    `exp_id` and `seed` added as text. `random`, `numpy`, `torch` and `tensorflow` are seeded, also
    where the function imports them first; RLKit's `pytorch_util` is told `use_gpu` in the same way.
    """
    settings = _single(variant)
    if force_randomize_seed:
        seed = settings["seed"] = None
    (run,) = runs_of_call(single(settings), seed, exp_id)
    if not callable(experiment_function):
        raise InvalidInput(f"{experiment_function!r} is not a function")
    received = _received(settings, run)
    logger_arguments: dict[str, Any] = {
        "exp_id": run.exp_id,
        "seed": run.seed,
        "exp_prefix": exp_prefix,
        "snapshot_mode": snapshot_mode,
        "snapshot_gap": snapshot_gap,
        "base_log_dir": base_log_dir,
        "script_name": script_path() if script_name is None else script_name,
        "git_infos": (
            git_infos_of(code_directory(experiment_function)) if git_infos is None else git_infos
        ),
        **setup_logger_kwargs,
    }
    hooks: list[FirstImport | None] = []
    logger.reset()
    directory = Path(logger.setup_logger(variant=received, log_dir=log_dir, **logger_arguments))
    try:
        _save_arguments_if_possible(
            directory, {**logger_arguments, "variant": received, "use_gpu": use_gpu}
        )
        hooks += [seed_everything(run.seed), set_gpu_mode(bool(use_gpu))]
        return call_function(experiment_function, Function("", unpack=unpack_variant), received)
    finally:
        for hook in filter(None, hooks):
            hook.remove()
        logger.reset()


def _received(settings: Mapping[str, Any], run: CallRun) -> dict[str, Any]:
    """Return the variant that the function gets: a dict of its own, with what launchkit adds."""
    of_caller = {key: settings[key] for key in ("exp_prefix", "instance_type") if key in settings}
    return {
        **plain(run.settings),
        **of_caller,
        "exp_id": str(run.exp_id),
        "seed": str(run.seed),
    }


def _single(variant: Any) -> dict[str, Any]:
    if variant is not None and not isinstance(variant, Mapping):
        raise InvalidInput(
            f"run_experiment_here takes one variant, a dict, not a {type(variant).__name__}"
        )
    settings: Mapping[str, Any] = variant or {}
    return dict(settings)


def _save_arguments_if_possible(directory: Path, arguments: Mapping[str, Any]) -> None:
    """Do without `experiment.pkl` where the variant holds what cannot be pickled: nothing has to
    travel here.
    """
    try:
        save_arguments(directory, arguments)
    except RunslotError as error:
        logger.log(f"no experiment.pkl: {error}")


def save_arguments(directory: Path, arguments: Mapping[str, Any]) -> None:
    """Write launchkit's `experiment.pkl`: the keyword arguments of the run."""
    content = {"run_experiment_here_kwargs": dict(arguments)}
    plain_enough = is_plain(dict(arguments["variant"]))
    data = (
        pickle.dumps(content)
        if plain_enough
        else by_value(content, "the variant, for experiment.pkl,")
    )
    write_atomically(RunDir(directory).experiment_pickle, data)


ADDED = ("seed", "exp_id", "exp_prefix", "instance_type")
"""What launchkit adds to the variant that the function receives, as text."""

_SEEDS = 100_000
"""launchkit draws seeds from 0 to this."""


@record
class CallRun:
    """One run of a call."""

    name: str
    """The variant's."""
    settings: Mapping[str, Any]
    """The variant without what launchkit adds."""
    seed: int
    exp_id: int

    def extras(self, exp_prefix: str, instance_type: str | None) -> dict[str, str]:
        """Return what is added to the variant, as launchkit did."""
        values = (self.seed, self.exp_id, exp_prefix, instance_type)
        return {key: str(value) for key, value in zip(ADDED, values, strict=True)}


def runs_of_call(space: Space, seed: int | str | None, exp_id: int | str) -> list[CallRun]:
    """Return the runs of a space.

    A variant's own `seed` counts where none is given, and one is drawn where it has none either.
    Likewise its own `exp_id` counts where none but 0 is given; else they are counted up.
    """
    return list(_drawn_runs(space, seed, _number(exp_id, "exp_id")))


def _drawn_runs(space: Space, seed: int | str | None, first: int) -> Iterator[CallRun]:
    for count, variant in enumerate(variants_of(space)):
        refuse_dots(variant)
        seed_given = variant.get("seed") if seed is None else seed
        run_seed = (
            random.randint(0, _SEEDS)  # noqa: S311  not a secret
            if seed_given is None
            else _number(seed_given, "seed")
        )
        of_variant = variant.get("exp_id") if first == 0 else None
        number = first + count if of_variant is None else _number(of_variant, "exp_id")
        if number < 0:
            raise InvalidInput(f"exp_id is {number}, but the least is 0")
        yield CallRun(
            variant.name, {k: v for k, v in variant.items() if k not in ADDED}, run_seed, number
        )


def _number(value: Any, name: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if (
        number is None
        or isinstance(value, bool)
        or (number != value and not isinstance(value, str))
    ):
        raise InvalidInput(f"{name} must be a whole number, as a number or as text, not {value!r}")
    return number


def refuse_dots(settings: Mapping[Any, Any], above: str = "") -> None:
    """Refuse a key with a dot in it, as launchkit did: nobody could tell it from a path of keys."""
    for key, value in settings.items():
        if isinstance(key, str) and "." in key:
            nested = (
                "".join(f"{{{part!r}: " for part in key.split("."))
                + "…"
                + "}" * (key.count(".") + 1)
            )
            raise InvalidInput(
                f"the key {above}{key} of a variant has a dot in it: write {nested}; dotted keys"
                " are read only at the top level of a plain dict that is swept"
            )
        if isinstance(value, dict):
            refuse_dots(value, f"{above}{key}.")


GitTuple = tuple[str, str, str, str, str]
"""launchkit's `GitInfo`: directory, unstaged diff, staged diff, commit, branch."""


def script_path() -> str:
    """Return the script that this process runs; empty in a REPL or a notebook."""
    return str(getattr(sys.modules.get("__main__"), "__file__", None) or "")


def code_directory(function: Any) -> Path:
    """Return where the code lies: the directory of the script, else of the function's file, else
    the current one.
    """
    for file in (script_path(), getattr(getattr(function, "__code__", None), "co_filename", "")):
        if file and Path(file).is_file():
            return Path(file).absolute().parent
    return Path.cwd()


def git_infos_of(directory: Path) -> list[GitTuple]:
    """Return the state of the work tree that `directory` is in, as `setup_logger` takes it."""
    git = read_git(directory)
    return (
        [] if git is None else [(git.directory, git.unstaged, git.staged, git.commit, git.branch)]
    )
