"""A launch script of rlpyt's shape:
rlpyt/experiments/scripts/atari/dqn/launch/launch_atari_dqn_cpu_basic.py.
"""

import sys

from runslot import VariantLevel, make_variants
from runslot.rlpyt import run_experiments

script = "train_atari.py"
affinity_code = sys.argv[1]
runs_per_setting = 2
experiment_title = "atari_dqn_basic"
variant_levels = []

learning_rate = [1e-3, 1e-2]
values = list(zip(learning_rate))
dir_names = ["{}lr".format(*v) for v in values]
keys = [("optim", "lr")]
variant_levels.append(VariantLevel(keys, values, dir_names))

games = ["pong", "seaquest"]
values = list(zip(games))
dir_names = ["{}".format(*v) for v in values]
keys = [("env", "game")]
variant_levels.append(VariantLevel(keys, values, dir_names))

variants, log_dirs = make_variants(*variant_levels)

default_config_key = "dqn"

run_experiments(
    script=script,
    affinity_code=affinity_code,
    experiment_title=experiment_title,
    runs_per_setting=runs_per_setting,
    variants=variants,
    log_dirs=log_dirs,
    common_args=(default_config_key,),
)
