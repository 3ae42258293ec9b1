"""launchkit's front door, which is RLKit's launcher isolated: `run_experiment` and its logger, over
runslot's engine.

Names, arguments, directories and files are launchkit's (suvansh/launchkit, `launcher_util.py`).
What launches is loaded when it is first used, so that a script that only calls `setup_logger` pays
for the logger alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from runslot import logger
from runslot.logger import setup_logger
from runslot.variants import (
    DeterministicHyperparameterSweeper,
    DeterministicSweeperCombiner,
    EnumParam,
    FixedParam,
    Hyperparameter,
    LinearFloatParam,
    LinearIntParam,
    LogFloatParam,
    LogIntParam,
    RandomHyperparameter,
    RandomHyperparameterSweeper,
    Sweeper,
)

if TYPE_CHECKING:
    from runslot.launchkit.calls import run_experiment
    from runslot.launchkit.collection import Launched
    from runslot.launchkit.here import run_experiment_here
    from runslot.launchkit.script_calls import (
        GitInfo,
        create_exp_name,
        create_log_dir,
        dict_to_safe_json,
        get_git_infos,
        query_yes_no,
        recursive_dictionary_update,
        recursive_items,
        reset_execution_environment,
        save_experiment_data,
        set_seed,
    )

__all__ = [
    "DeterministicHyperparameterSweeper",
    "DeterministicSweeperCombiner",
    "EnumParam",
    "FixedParam",
    "GitInfo",
    "Hyperparameter",
    "Launched",
    "LinearFloatParam",
    "LinearIntParam",
    "LogFloatParam",
    "LogIntParam",
    "RandomHyperparameter",
    "RandomHyperparameterSweeper",
    "Sweeper",
    "create_exp_name",
    "create_log_dir",
    "dict_to_safe_json",
    "get_git_infos",
    "logger",
    "query_yes_no",
    "recursive_dictionary_update",
    "recursive_items",
    "reset_execution_environment",
    "run_experiment",
    "run_experiment_here",
    "save_experiment_data",
    "set_seed",
    "setup_logger",
]


_HOMES = {
    "calls": ("run_experiment",),
    "collection": ("Launched",),
    "here": ("run_experiment_here",),
    "script_calls": (
        "GitInfo",
        "create_exp_name",
        "create_log_dir",
        "dict_to_safe_json",
        "get_git_infos",
        "query_yes_no",
        "recursive_dictionary_update",
        "recursive_items",
        "reset_execution_environment",
        "save_experiment_data",
        "set_seed",
    ),
}
"""Where the names are that are loaded when they are first used."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
