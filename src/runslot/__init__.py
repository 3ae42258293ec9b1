"""runslot: launch, pack, watch and compare many training runs.

The public names are loaded when they are first used, so that `import runslot` costs nothing beside a training script.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "runslot.errors": (
        "RunslotError", "InvalidInput", "NotFound", "NotInstalled", "Busy", "DoesNotFit", "AffinityError",
    ),
    "runslot.launch.experiment": ("Experiment",),
    "runslot.launch.launch": ("Outcomes",),
    "runslot.experiment.current": ("current_run", "CurrentRun"),
    "runslot.experiment.records": ("Run", "Outcome", "Container"),
    "runslot.hardware.resources": ("Resources",),
    "runslot.hardware.slots": ("Slot", "carve"),
    "runslot.hardware.topology": ("Topology",),
    "runslot.hardware.probe": ("read_topology",),
    "runslot.hardware.affinity": ("encode_affinity", "quick_affinity_code", "make_affinity", "affinity_from_code"),
    "runslot.variants": (
        "Variant", "Space", "grid", "zipped", "union", "sample", "uniform", "loguniform", "integers", "choice",
        "levels", "listed", "single", "variants_of", "run_id", "VariantLevel",
        "make_variants", "_cross_variants", "update_config",
        "DeterministicHyperparameterSweeper", "RandomHyperparameterSweeper",
        "EnumParam", "FixedParam", "LinearFloatParam", "LinearIntParam", "LogFloatParam", "LogIntParam",
    ),
    "runslot.logger": ("setup_logger", "logger_context"),
    "runslot.rlpyt.launch": ("run_experiments", "launch_experiment"),
    "runslot.rlpyt.files": ("get_log_dir", "load_variant", "save_variant"),
    "runslot.launchkit.calls": ("run_experiment",),
    "runslot.launchkit.here": ("run_experiment_here",),
}  # fmt: skip
"""Where each public name lives."""

_OF_ANCESTORS = {
    "runslot.variants": ("Hyperparameter", "RandomHyperparameter", "Sweeper", "DeterministicSweeperCombiner"),
    "runslot.launchkit.script_calls": (
        "GitInfo", "create_exp_name", "create_log_dir", "dict_to_safe_json", "get_git_infos", "query_yes_no",
        "recursive_dictionary_update", "recursive_items", "reset_execution_environment", "save_experiment_data",
        "set_seed",
    ),
}  # fmt: skip
"""Names of the ancestors that can be imported from here too; `runslot.launchkit` is where they are documented."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("logger", "rlpyt", "launchkit", "results")

__all__ = [*sorted(_HOME_OF), *_MODULES]  # noqa: PLE0604  (names, made from the table above)

_HOME_OF |= {name: home for home, names in _OF_ANCESTORS.items() for name in names}

if TYPE_CHECKING:
    from runslot import launchkit as launchkit
    from runslot import logger as logger
    from runslot import results as results
    from runslot import rlpyt as rlpyt
    from runslot.errors import AffinityError as AffinityError
    from runslot.errors import Busy as Busy
    from runslot.errors import DoesNotFit as DoesNotFit
    from runslot.errors import InvalidInput as InvalidInput
    from runslot.errors import NotFound as NotFound
    from runslot.errors import NotInstalled as NotInstalled
    from runslot.errors import RunslotError as RunslotError
    from runslot.experiment.current import CurrentRun as CurrentRun
    from runslot.experiment.current import current_run as current_run
    from runslot.experiment.records import Container as Container
    from runslot.experiment.records import Outcome as Outcome
    from runslot.experiment.records import Run as Run
    from runslot.hardware.affinity import affinity_from_code as affinity_from_code
    from runslot.hardware.affinity import encode_affinity as encode_affinity
    from runslot.hardware.affinity import make_affinity as make_affinity
    from runslot.hardware.affinity import quick_affinity_code as quick_affinity_code
    from runslot.hardware.probe import read_topology as read_topology
    from runslot.hardware.resources import Resources as Resources
    from runslot.hardware.slots import Slot as Slot
    from runslot.hardware.slots import carve as carve
    from runslot.hardware.topology import Topology as Topology
    from runslot.launch.experiment import Experiment as Experiment
    from runslot.launch.launch import Outcomes as Outcomes
    from runslot.launchkit.calls import run_experiment as run_experiment
    from runslot.launchkit.here import run_experiment_here as run_experiment_here
    from runslot.logger import logger_context as logger_context
    from runslot.logger import setup_logger as setup_logger
    from runslot.rlpyt.files import get_log_dir as get_log_dir
    from runslot.rlpyt.files import load_variant as load_variant
    from runslot.rlpyt.files import save_variant as save_variant
    from runslot.rlpyt.launch import launch_experiment as launch_experiment
    from runslot.rlpyt.launch import run_experiments as run_experiments
    from runslot.variants import DeterministicHyperparameterSweeper as DeterministicHyperparameterSweeper
    from runslot.variants import EnumParam as EnumParam
    from runslot.variants import FixedParam as FixedParam
    from runslot.variants import LinearFloatParam as LinearFloatParam
    from runslot.variants import LinearIntParam as LinearIntParam
    from runslot.variants import LogFloatParam as LogFloatParam
    from runslot.variants import LogIntParam as LogIntParam
    from runslot.variants import RandomHyperparameterSweeper as RandomHyperparameterSweeper
    from runslot.variants import Space as Space
    from runslot.variants import Variant as Variant
    from runslot.variants import VariantLevel as VariantLevel
    from runslot.variants import _cross_variants as _cross_variants
    from runslot.variants import choice as choice
    from runslot.variants import grid as grid
    from runslot.variants import integers as integers
    from runslot.variants import levels as levels
    from runslot.variants import listed as listed
    from runslot.variants import loguniform as loguniform
    from runslot.variants import make_variants as make_variants
    from runslot.variants import run_id as run_id
    from runslot.variants import sample as sample
    from runslot.variants import single as single
    from runslot.variants import uniform as uniform
    from runslot.variants import union as union
    from runslot.variants import update_config as update_config
    from runslot.variants import variants_of as variants_of
    from runslot.variants import zipped as zipped


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"runslot.{name}")
    if name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'runslot' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
