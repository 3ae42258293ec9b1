"""launchkit's front door, which is RLKit's launcher isolated: `run_experiment` and its logger, over runslot's engine.

Names, arguments, directories and files are launchkit's (suvansh/launchkit, `launcher_util.py`). What launches is loaded
when it is first used, so that a script that only calls `setup_logger` pays for the logger alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runslot import logger
from runslot.logger import setup_logger
from runslot.variants import (
    DeterministicHyperparameterSweeper,
    EnumParam,
    FixedParam,
    LinearFloatParam,
    LinearIntParam,
    LogFloatParam,
    LogIntParam,
    RandomHyperparameterSweeper,
)

if TYPE_CHECKING:
    from runslot.launchkit.calls import run_experiment
    from runslot.launchkit.handle import Launched
    from runslot.launchkit.here import run_experiment_here

__all__ = [
    "DeterministicHyperparameterSweeper",
    "EnumParam",
    "FixedParam",
    "Launched",
    "LinearFloatParam",
    "LinearIntParam",
    "LogFloatParam",
    "LogIntParam",
    "RandomHyperparameterSweeper",
    "logger",
    "run_experiment",
    "run_experiment_here",
    "setup_logger",
]


def __getattr__(name: str) -> Any:
    if name == "run_experiment":
        from runslot.launchkit.calls import run_experiment

        return run_experiment
    if name == "run_experiment_here":
        from runslot.launchkit.here import run_experiment_here

        return run_experiment_here
    if name == "Launched":
        from runslot.launchkit.handle import Launched

        return Launched
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
