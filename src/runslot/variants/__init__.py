"""What to run: variants, levels and spaces, their names and ids. Pure, and on the standard library
alone.
"""

from runslot.variants.distributions import (
    Distribution,
    choice,
    integers,
    logintegers,
    loguniform,
    uniform,
)
from runslot.variants.encode import canonical, is_plain, run_id, to_jsonable
from runslot.variants.grid import grid, zipped
from runslot.variants.intake import SWEEP_NOTE, describe, listed, space_of
from runslot.variants.levels import VariantLevel, make_variants
from runslot.variants.levels import _cross_variants as _cross_variants  # scripts of rlpyt import it
from runslot.variants.parse import parse_grid, parse_sample, parse_seeds, parse_setting, parse_value
from runslot.variants.sample import sample
from runslot.variants.space import Space, levels, single, union, variants_of
from runslot.variants.sweepers import (
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
from runslot.variants.variant import (
    UnknownKey,
    Variant,
    WrongStructure,
    flatten,
    get_path,
    part_name,
    plain,
    safe_directory,
    set_path,
    split_key,
    update_config,
)

__all__ = [
    "SWEEP_NOTE",
    "DeterministicHyperparameterSweeper",
    "DeterministicSweeperCombiner",
    "Distribution",
    "EnumParam",
    "FixedParam",
    "Hyperparameter",
    "LinearFloatParam",
    "LinearIntParam",
    "LogFloatParam",
    "LogIntParam",
    "RandomHyperparameter",
    "RandomHyperparameterSweeper",
    "Space",
    "Sweeper",
    "UnknownKey",
    "Variant",
    "VariantLevel",
    "WrongStructure",
    "canonical",
    "choice",
    "describe",
    "flatten",
    "get_path",
    "grid",
    "integers",
    "is_plain",
    "levels",
    "listed",
    "logintegers",
    "loguniform",
    "make_variants",
    "parse_grid",
    "parse_sample",
    "parse_seeds",
    "parse_setting",
    "parse_value",
    "part_name",
    "plain",
    "run_id",
    "safe_directory",
    "sample",
    "set_path",
    "single",
    "space_of",
    "split_key",
    "to_jsonable",
    "uniform",
    "union",
    "update_config",
    "variants_of",
    "zipped",
]
