"""Each marked line is a mistake that a checker must see: where a type were lost on the way, it
would not.
"""

from runslot import (
    PBS,
    Experiment,
    Outcomes,
    Resources,
    Search,
    Slurm,
    current_run,
    grid,
    logger,
    results,
)

Experiment("digits", "train.py:train", seed=3)  # mistake: the word is seeds
Experiment("digits", "train.py:train", retries="two")  # mistake: a number
Experiment("digits", "train.py:train", start="lukewarm")  # mistake: auto, warm or cold
outcomes: Outcomes = Experiment("digits", "train.py:train").plan()  # mistake: no outcomes yet
Slurm(partition=3)  # mistake: a name
PBS(dialect="slurm")  # mistake: openpbs or torque
Search("accuracy", "most")  # mistake: max or min
Search("accuracy", "max", trials="many")  # mistake: a number
Search("accuracy", "max", over_seeds="median")  # mistake: mean, iqm or worst
Experiment("digits", "train.py:train", search="accuracy")  # mistake: a Search
print(Resources().cpu)  # mistake: cpus
grid(["lr"])  # mistake: a mapping
print(current_run().directory)  # mistake: None outside a run
print(results.load("runs").table)  # mistake: the table is the comparison's
results.compare(results.load("runs"), mode="most")  # mistake: min or max
logger.prefixed("a")  # mistake: prefix
