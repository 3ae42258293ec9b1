"""Write the runs of launchers beside this file anew: python capture_launchers.py hydra|sacred|ray
(needs each of them).

Started once a launcher, in this directory: Hydra's and Sacred's own command lines are what makes
the runs.
"""

import csv
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def hydra_job() -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    conf = HERE / "conf"
    conf.mkdir(exist_ok=True)
    optimizer = {"name": "adam", "lr": 0.1, "betas": [0.9, 0.999]}
    model = {"layers": [64, 64], "act": "${act}"}
    settings = {
        "optimizer": optimizer,
        "model": model,
        "act": "relu",
        "seed": 0,
        "notes": "a: b",
        "empty": {},
    }
    OmegaConf.save(settings, conf / "config.yaml")

    @hydra.main(version_base=None, config_path="conf", config_name="config")
    def train(config) -> None:
        out = Path(HydraConfig.get().runtime.output_dir)
        with (out / "progress.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["step", "loss"])
            writer.writerows([i, config.optimizer.lr * i + config.seed] for i in range(3))

    train()


def sacred_run() -> None:
    import numpy
    from sacred import Experiment
    from sacred.observers import FileStorageObserver

    experiment = Experiment(sys.argv.pop(2), save_git_info=False)
    experiment.observers.append(FileStorageObserver("sacred"))
    experiment.add_config(lr=0.1, net={"width": 8})

    @experiment.main
    def main(lr) -> float:
        for i in range(4):
            experiment.log_scalar("loss", numpy.float32(lr / (i + 1)), i * 10)
            experiment.log_scalar("acc", i / 4)
        return 0.5

    experiment.run_commandline([sys.argv[0], *sys.argv[2:]])


def helper(x):
    return x


def ray_trials() -> None:
    import ray
    from ray import tune

    def train(config) -> None:
        for i in range(3):
            tune.report({"score": config["lr"] * i, "nested": {"a": i}})

    ray.init(num_cpus=1, include_dashboard=False)
    space = {"lr": tune.grid_search([0.1, 0.2]), "seed": tune.grid_search([0, 1]), "fn": helper}
    tune.Tuner(
        train, param_space=space, run_config=tune.RunConfig(storage_path=str(HERE), name="ray")
    ).fit()


if __name__ == "__main__":
    what = sys.argv[1]
    if what == "hydra" and len(sys.argv) == 2:
        sweep = ["-m", "optimizer.lr=0.1,0.01", "seed=0,1", "+extra=7", "hydra.sweep.dir=hydra"]
        subprocess.run([sys.executable, __file__, "hydra", *sweep], cwd=HERE, check=True)
    elif what == "hydra":
        del sys.argv[1]
        hydra_job()
    elif what == "sacred" and len(sys.argv) == 2:
        for words in (
            ["exp_a", "with", "seed=1", "lr=0.2"],
            ["exp_a", "with", "seed=2", "lr=0.2"],
            ["exp_b"],
        ):
            subprocess.run([sys.executable, __file__, "sacred", *words], cwd=HERE, check=True)
    elif what == "sacred":
        sacred_run()
    else:
        ray_trials()
