"""A training script of rlpyt's shape:
rlpyt/experiments/scripts/atari/dqn/train/atari_dqn_gpu.py.
"""

import json
import os
import sys

from theirs.logger import logger_context
from theirs.runner import MinibatchRl

from runslot.rlpyt import affinity_from_code, load_variant, update_config

configs = {
    "dqn": {"env": {"game": "breakout"}, "optim": {"lr": 1e-4}, "runner": {"n_steps": 3}},
}


def build_and_train(slot_affinity_code, log_dir, run_ID, config_key):
    affinity = affinity_from_code(slot_affinity_code)
    config = configs[config_key]
    variant = load_variant(log_dir)
    config = update_config(config, variant)
    seen = {
        "argv": sys.argv,
        "executable": sys.executable,
        "cpus": sorted(os.sched_getaffinity(0)),
        "all_cpus": sorted(affinity.all_cpus),
        "cwd": os.getcwd(),
        "environment": {
            name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
        },
    }
    runner = MinibatchRl(affinity=affinity, learning_rate=config["optim"]["lr"], **config["runner"])
    name = config["env"]["game"]
    with logger_context(log_dir, run_ID, name, config, snapshot_mode="last"):
        runner.train()
    with open(os.path.join(log_dir, f"run_{run_ID}", "seen.json"), "w") as file:
        json.dump(seen, file)


if __name__ == "__main__":
    build_and_train(*sys.argv[1:])
