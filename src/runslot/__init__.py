"""runslot: launch, pack, watch and compare many training runs.

`import runslot` loads nothing but the standard library, so that it costs nothing beside a training
script: a public name is loaded from its home when it is first used. `__all__` is what runslot
promises (docs/promises.md); the names of its ancestors, rlpyt and launchkit, can be imported from
here too, for their scripts, and are documented where they belong: `runslot.rlpyt`,
`runslot.launchkit`.
"""

from __future__ import annotations

import importlib
from itertools import chain
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "runslot.errors": (
        "AffinityError", "Busy", "Damaged", "DoesNotFit", "InvalidInput", "NewerFormat", "NotFound",
        "NotInstalled", "RefusedBySystem", "RunslotError",
    ),
    "runslot.launch.experiment": ("Experiment",),
    "runslot.launch.launch": ("Outcomes",),
    "runslot.experiment.current": ("CurrentRun", "current_run"),
    "runslot.experiment.records": ("Container", "Outcome", "Run"),
    "runslot.engines.ssh.config": ("SSH",),
    "runslot.engines.slurm.config": ("Slurm",),
    "runslot.engines.pbs.config": ("PBS",),
    "runslot.engines.sky.config": ("EC2", "GCP", "Sky"),
    "runslot.hardware.resources": ("Resources",),
    "runslot.hardware.slots": ("Slot", "carve"),
    "runslot.hardware.topology": ("Topology",),
    "runslot.hardware.probe": ("read_topology",),
    "runslot.search.spec": ("Search",),
    "runslot.variants": (
        "Space", "Variant", "choice", "grid", "integers", "levels", "listed", "logintegers",
        "loguniform", "run_id", "sample", "single", "uniform", "union", "variants_of", "zipped",
    ),
}  # fmt: skip
"""Where each public name lives."""

_MODULES = ("launchkit", "logger", "results", "rlpyt")
"""What is public as a module."""

_HOMES_OF_RLPYT = {
    "runslot.variants": ("VariantLevel", "_cross_variants", "make_variants", "update_config"),
    "runslot.hardware.affinity": (
        "affinity_from_code", "encode_affinity", "make_affinity", "quick_affinity_code",
    ),
    "runslot.logger": ("logger_context",),
    "runslot.rlpyt.files": ("get_log_dir", "load_variant", "save_variant"),
    "runslot.rlpyt.launch": ("launch_experiment", "run_experiments"),
}  # fmt: skip
"""The names of rlpyt that its scripts may import from here; `runslot.rlpyt` is their place."""

_HOMES_OF_LAUNCHKIT = {
    "runslot.variants": (
        "DeterministicHyperparameterSweeper", "DeterministicSweeperCombiner", "EnumParam",
        "FixedParam", "Hyperparameter", "LinearFloatParam", "LinearIntParam", "LogFloatParam",
        "LogIntParam", "RandomHyperparameter", "RandomHyperparameterSweeper", "Sweeper",
    ),
    "runslot.logger": ("setup_logger",),
    "runslot.launchkit.calls": ("run_experiment",),
    "runslot.launchkit.here": ("run_experiment_here",),
    "runslot.launchkit.script_calls": (
        "GitInfo", "create_exp_name", "create_log_dir", "dict_to_safe_json", "get_git_infos",
        "query_yes_no", "recursive_dictionary_update", "recursive_items",
        "reset_execution_environment", "save_experiment_data", "set_seed",
    ),
}  # fmt: skip
"""The names of launchkit and RLKit that their scripts may import from here; `runslot.launchkit` is
their place.
"""

__all__ = [*sorted(chain.from_iterable(_HOMES.values())), *_MODULES]  # noqa: PLE0604

if TYPE_CHECKING:
    from runslot import launchkit as launchkit
    from runslot import logger as logger
    from runslot import results as results
    from runslot import rlpyt as rlpyt
    from runslot.engines.pbs.config import PBS as PBS
    from runslot.engines.sky.config import EC2 as EC2
    from runslot.engines.sky.config import GCP as GCP
    from runslot.engines.sky.config import Sky as Sky
    from runslot.engines.slurm.config import Slurm as Slurm
    from runslot.engines.ssh.config import SSH as SSH
    from runslot.errors import AffinityError as AffinityError
    from runslot.errors import Busy as Busy
    from runslot.errors import Damaged as Damaged
    from runslot.errors import DoesNotFit as DoesNotFit
    from runslot.errors import InvalidInput as InvalidInput
    from runslot.errors import NewerFormat as NewerFormat
    from runslot.errors import NotFound as NotFound
    from runslot.errors import NotInstalled as NotInstalled
    from runslot.errors import RefusedBySystem as RefusedBySystem
    from runslot.errors import RunslotError as RunslotError
    from runslot.experiment.current import CurrentRun as CurrentRun
    from runslot.experiment.current import current_run as current_run
    from runslot.experiment.records import Container as Container
    from runslot.experiment.records import Outcome as Outcome
    from runslot.experiment.records import Run as Run
    from runslot.hardware.probe import read_topology as read_topology
    from runslot.hardware.resources import Resources as Resources
    from runslot.hardware.slots import Slot as Slot
    from runslot.hardware.slots import carve as carve
    from runslot.hardware.topology import Topology as Topology
    from runslot.launch.experiment import Experiment as Experiment
    from runslot.launch.launch import Outcomes as Outcomes
    from runslot.search.spec import Search as Search
    from runslot.variants import Space as Space
    from runslot.variants import Variant as Variant
    from runslot.variants import choice as choice
    from runslot.variants import grid as grid
    from runslot.variants import integers as integers
    from runslot.variants import levels as levels
    from runslot.variants import listed as listed
    from runslot.variants import logintegers as logintegers
    from runslot.variants import loguniform as loguniform
    from runslot.variants import run_id as run_id
    from runslot.variants import sample as sample
    from runslot.variants import single as single
    from runslot.variants import uniform as uniform
    from runslot.variants import union as union
    from runslot.variants import variants_of as variants_of
    from runslot.variants import zipped as zipped

if TYPE_CHECKING:  # the ancestors'
    from runslot.hardware.affinity import affinity_from_code as affinity_from_code
    from runslot.hardware.affinity import encode_affinity as encode_affinity
    from runslot.hardware.affinity import make_affinity as make_affinity
    from runslot.hardware.affinity import quick_affinity_code as quick_affinity_code
    from runslot.launchkit.calls import run_experiment as run_experiment
    from runslot.launchkit.here import run_experiment_here as run_experiment_here
    from runslot.launchkit.script_calls import GitInfo as GitInfo
    from runslot.launchkit.script_calls import create_exp_name as create_exp_name
    from runslot.launchkit.script_calls import create_log_dir as create_log_dir
    from runslot.launchkit.script_calls import dict_to_safe_json as dict_to_safe_json
    from runslot.launchkit.script_calls import get_git_infos as get_git_infos
    from runslot.launchkit.script_calls import query_yes_no as query_yes_no
    from runslot.launchkit.script_calls import (
        recursive_dictionary_update as recursive_dictionary_update,
    )
    from runslot.launchkit.script_calls import recursive_items as recursive_items
    from runslot.launchkit.script_calls import (
        reset_execution_environment as reset_execution_environment,
    )
    from runslot.launchkit.script_calls import save_experiment_data as save_experiment_data
    from runslot.launchkit.script_calls import set_seed as set_seed
    from runslot.logger import logger_context as logger_context
    from runslot.logger import setup_logger as setup_logger
    from runslot.rlpyt.files import get_log_dir as get_log_dir
    from runslot.rlpyt.files import load_variant as load_variant
    from runslot.rlpyt.files import save_variant as save_variant
    from runslot.rlpyt.launch import launch_experiment as launch_experiment
    from runslot.rlpyt.launch import run_experiments as run_experiments
    from runslot.variants import (
        DeterministicHyperparameterSweeper as DeterministicHyperparameterSweeper,
    )
    from runslot.variants import DeterministicSweeperCombiner as DeterministicSweeperCombiner
    from runslot.variants import EnumParam as EnumParam
    from runslot.variants import FixedParam as FixedParam
    from runslot.variants import Hyperparameter as Hyperparameter
    from runslot.variants import LinearFloatParam as LinearFloatParam
    from runslot.variants import LinearIntParam as LinearIntParam
    from runslot.variants import LogFloatParam as LogFloatParam
    from runslot.variants import LogIntParam as LogIntParam
    from runslot.variants import RandomHyperparameter as RandomHyperparameter
    from runslot.variants import RandomHyperparameterSweeper as RandomHyperparameterSweeper
    from runslot.variants import Sweeper as Sweeper
    from runslot.variants import VariantLevel as VariantLevel
    from runslot.variants import _cross_variants as _cross_variants
    from runslot.variants import make_variants as make_variants
    from runslot.variants import update_config as update_config


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"runslot.{name}")
    for home, names in (*_HOMES.items(), *_HOMES_OF_RLPYT.items(), *_HOMES_OF_LAUNCHKIT.items()):
        if name in names:
            value = getattr(importlib.import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'runslot' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
