"""The table of options: every option of `run`, `resume` and the commands that compare, and every
word of a sweep file.

From it come typer's signatures (`parameters`), the quick parser (`run`), what a sweep file may
say (`words`), its JSON Schema (`schema`), the fields of `Experiment` that are given as they are
(`build`), and the tables of docs/cli.md (`reference`). To add an option, write a record here; a
field of `Experiment` with the same name takes its value.

What must stay true: this loads neither typer nor what launches.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

# isort: off
from runslot.cli.kinds import (
    AMOUNT, CODE, COMMAND, ENV, EXCLUDE, FILE_ORDER, IMAGE, LAUNCH_PANEL, MEMORY, NOTIFY,
    OUTPUT_PANEL, PATTERNS, PROJECT, RUN_PANEL, SAMPLE, SEARCH, SEARCH_PANEL, SEEDS, SETTINGS,
    SHARERS, TEXT, TEXTS, TIME, VARIANTS, VARIANTS_PANEL, YES_NO, Option, Word, one_of, whole,
)  # fmt: skip

# isort: on
from runslot.experiment.records import SNAPSHOT_MODES, Start
from runslot.hardware.resources import Avoid, Threads

_CONDITION = "Only runs with: \"lr > 0.01 AND env = 'a'\"."

# A record's halves, what is typed and what a file says, stand one above the other.
# fmt: off
TABLE: tuple[Option | Word, ...] = (
    Word("function", TEXT,
         "What to run: `file.py:function` (relative to this file) or `package.module:function`."),
    Word("command", COMMAND,
         "What to run: a command, `{key}` standing for the run's value; text, or a list of "
         "arguments."),
    Word("resources", SETTINGS, "What each run gets of the machine."),
    Option("name", str, "NAME", "The experiment's name; else the file's or the script's.",
           word=Word("name", TEXT,
                     "The experiment's name, a directory below the root; else the function's file "
                     "or the script.")),
    Option("root", Path, "DIR",
           "Where experiments go; else RUNSLOT_ROOT, runslot.toml, or runs/.",
           word=Word("root", TEXT,
                     "Where experiments go (relative to this file).", field="root")),
    Option("grid", str, "KEY=V,V",
           "Every combination of these values.", VARIANTS_PANEL, several=True,
           word=Word("grid", SETTINGS,
                     "Every combination: lists are choices, other values are fixed; keys nested "
                     "by dots or levels.")),
    Option("zip", str, "KEY=V,V", "Values that vary together.", VARIANTS_PANEL, several=True,
           word=Word("zip", SETTINGS,
                     "Lists of one length that vary together; other values are fixed.")),
    Option("sample", str, "KEY=DIST",
           "Draw from loguniform(1e-5,1e-1), uniform(0,1), integers(1,9), choice(a,b).",
           VARIANTS_PANEL, several=True,
           word=Word("sample", SAMPLE,
                     "Drawn at random: `loguniform(1e-5, 1e-1)`, `uniform(0, 1)`, `integers(1, "
                     "9)`, or a list to choose from.")),
    Option("samples", int, "N", "How many variants --sample draws.", VARIANTS_PANEL,
           word=Word("samples", whole(1), "How many variants `sample` draws.")),
    Word("variants", VARIANTS, "Variants as they are, one dict each."),
    Option("where", str, "CONDITION",
           "Only variants that meet it: 'lr < 0.1 AND hidden = 32'.", VARIANTS_PANEL,
           word=Word("where", TEXT,
                     "A condition that variants must meet, as in `lr < 0.1 AND hidden = 32`.")),
    Option("exclude", str, "KEY=V,KEY=V",
           "Leave out variants with these values.", VARIANTS_PANEL, several=True,
           word=Word("exclude", EXCLUDE,
                     "Variants to leave out: some of their values, or a list of such.")),
    Option("seeds", str, "N|LIST", "3 is 0, 1, 2; else 7,8 or 0-9; race:3..10 (see --metric).",
           VARIANTS_PANEL,
           word=Word("seeds", SEEDS,
                     "How many seeds (0, 1, …), or which: a list, or text such as `0-9`;"
                     " `race:3..10` "
                     "gives the worse variants no more than they need.",
                     field="seeds")),
    Option("search", str, "KEY=DIST|FILE.py:F",
           "Search for the best: loguniform(1e-5,1e-1), choice(a,b), integers(1,9); or def"
           " F(trial).",
           SEARCH_PANEL, several=True,
           word=Word("search", SEARCH,
                     "Searched, by what the runs so far have shown: distributions by key, or a"
                     " function of "
                     "a trial, `space.py:space`.")),
    Option("metric", str, "METRIC", "What is to become best.", SEARCH_PANEL,
           word=Word("metric", TEXT, "The metric that a search is to make best.")),
    Option("mode", str, "MODE", "Which way is better: max or min.", SEARCH_PANEL,
           word=Word("mode", one_of("max", "min"), "Which way the metric is better.")),
    Option("trials", int, "N", "How many settings are tried.", SEARCH_PANEL,
           word=Word("trials", whole(1), "How many settings a search tries.")),
    Option("sampler", str, "NAME", "auto (default), tpe, gp, cmaes, qmc, random.", SEARCH_PANEL,
           word=Word("sampler", one_of("auto", "tpe", "gp", "cmaes", "qmc", "random"),
                     "What draws the next trial; `auto`, a Gaussian process and then TPE.")),
    Option("prune", str, "RULE", "End trials early that lag behind: asha, hyperband, median, none.",
           SEARCH_PANEL,
           word=Word("prune", TEXT,
                     "Which trials end early: `asha`, `hyperband`, `median`, `none`;"
                     " `asha:first=1,eta=3,last=81` "
                     "says at which steps.")),
    Option("test_seeds", int, "N", "Run the winner again with so many new seeds.", SEARCH_PANEL,
           word=Word("test_seeds", whole(0),
                     "How many new seeds the winner is run with in the end.")),
    Option("budget", str, "TIME", "Begin no further trial after so long: 8h.", SEARCH_PANEL,
           word=Word("budget", TIME, "Time after which a search begins no further trial.")),
    Option("from_", str, "DIR", "Earlier experiments of the same keys, which are told, too.",
           SEARCH_PANEL, several=True,
           word=Word("from", NOTIFY,
                     "Earlier experiments of the same keys, whose runs the search is told, too.")),
    Option("by", str, "HOW", "A run is judged by its final row, best, or last-K.", SEARCH_PANEL,
           word=Word("by", TEXT, "By which rows a run is judged: `final`, `best`, `last-K`.")),
    Option("over", str, "HOW", "Over its seeds a trial is worth: mean, iqm, worst.", SEARCH_PANEL,
           word=Word("over", one_of("mean", "iqm", "worst"),
                     "What a trial is worth over its seeds.")),
    Option("step", str, "COLUMN", "What counts how far a run is; else as in results.", SEARCH_PANEL,
           word=Word("step", TEXT, "The column that counts how far a run is.")),
    Option("within", float, "AMOUNT", "A difference of the metric that a race of seeds lets pass.",
           SEARCH_PANEL,
           word=Word("within", AMOUNT,
                     "A difference of the metric that does not matter to a race of seeds.")),
    Option("cpus_per_run", int, "N", "Cores of each run.", RUN_PANEL,
           word=Word("resources.cpus", whole(1), "Cores a run.")),
    Option("gpus_per_run", int, "N", "GPUs of each run; 0 hides them.", RUN_PANEL,
           word=Word("resources.gpus", whole(0),
                     "GPUs a run; 0 hides the machine's GPUs from it.")),
    Option("runs_per_gpu", str, "N", "Runs that share each GPU; auto: as many as fit.", RUN_PANEL,
           word=Word("resources.runs_per_gpu", SHARERS,
                     "Runs that share each GPU at a time; `auto`: as many as fit.")),
    Option("memory_per_run", str, "SIZE", "Memory a run may hold: 8GB, 512MiB.", RUN_PANEL,
           word=Word("resources.memory", MEMORY,
                     "Memory that the processes of a run may hold together: bytes, or `8GB`, "
                     "`512MiB`.")),
    Word("resources.cpus_per_worker", whole(1),
         "Cores of one worker process, for samplers that read `workers_cpus`."),
    Option("threads", str, "HOW",
           "Hardware threads of its cores: all, one; cores counts each as one.", RUN_PANEL,
           word=Word("resources.threads", one_of(*get_args(Threads)),
                     "Hardware threads of its cores that a run gets.")),
    Option("retries", int, "N", "How often a failed run is tried again.", RUN_PANEL,
           word=Word("retries", whole(0),
                     "How often a failed run is tried again.", field="retries")),
    Word("backoff", TIME,
         "Time before the first retry, doubled for each further one.", field="backoff"),
    Option("timeout", str, "TIME", "Time an attempt may take: 90, 10m, 2h.", RUN_PANEL,
           word=Word("timeout", TIME,
                     "Time that an attempt may take: seconds, or `10m`, `2h`.", field="timeout")),
    Option("expect", str, "TIME", "Time a run will take: tasks of a queue get several short ones.",
           RUN_PANEL,
           word=Word("expect", TIME, "Time that a run will take: tasks of a queue (Slurm, PBS) get"
                     " several short ones.", field="expect")),
    Option("grace", str, "TIME", "Time to end in when asked to stop.", RUN_PANEL,
           word=Word("grace", TIME,
                     "Time that a run has to end when it is asked to.", field="grace")),
    Option("resumable", bool, "", "A further attempt continues from the snapshot.", RUN_PANEL,
           word=Word("resumable", YES_NO,
                     "A further attempt continues in the same directory from its snapshot.",
                     field="resumable")),
    Option("start", str, "HOW",
           "Functions start warm (forked after the import), cold; auto.", RUN_PANEL,
           word=Word("start", one_of(*get_args(Start)),
                     "Whether functions start in a process forked from one that has imported them.",
                     field="start")),
    Option("nice", int, "N", "Niceness of the runs, -20 to 19: the higher, the more they give way.",
           RUN_PANEL,
           word=Word("nice", whole(-20, 19),
                     "Niceness of the runs: the higher, the more they give way to others on the "
                     "machine.",
                     field="nice")),
    Option("env", str, "NAME=VALUE",
           "A variable of the runs' environment.", RUN_PANEL, several=True,
           word=Word("env", ENV,
                     "Variables of the runs' environment, on top of the caller's.", field="env")),
    Option("metrics", str, "HOW",
           "Of runs that do not log through runslot: auto (what they print or write), none, FILE, "
           "or a pattern.",
           RUN_PANEL,
           word=Word("metrics", TEXT,
                     "Where runs that do not log through runslot have metrics: `auto`, `none`, a "
                     "file, or a pattern.",
                     field="metrics")),
    Option("max_failures", int, "N", "Start nothing further after N failed runs.", LAUNCH_PANEL,
           word=Word("max_failures", whole(1),
                     "Start no further run after so many failed ones.", field="max_failures")),
    Option("reserved_cpus", int, "N", "Cores of the machine that no run gets.", LAUNCH_PANEL,
           word=Word("resources.reserved_cpus", whole(0),
                     "Cores of the machine that no run gets.")),
    Option("avoid_busy", bool, "",
           "Leave out cores, too, that others keep busy without a lease.", LAUNCH_PANEL,
           word=Word("resources.avoid_busy", one_of(*get_args(Avoid)),
                     "What is left alone when processes without a lease use it.", sets="all")),
    Option("on", str, "NAME", "Where: a launcher of runslot.toml, slurm or pbs.", LAUNCH_PANEL,
           word=Word("on", TEXT,
                     "Where the runs go: the name of a launcher in runslot.toml, `local`, `slurm` "
                     "or `pbs`.",
                     field="on")),
    Option("container", str, "IMAGE", "Execute the runs in this image.", RUN_PANEL,
           word=Word("container.image", TEXT,
                     "The image that runs execute in; it has Python 3.10 or newer.")),
    Option("engine", str, "NAME", "With --container: docker, podman, apptainer.", RUN_PANEL,
           word=Word("container.engine", one_of("docker",
                     "podman", "apptainer"), "What runs it.")),
    Word("container", IMAGE, "The image that the runs execute in, or its settings."),
    Word("container.mounts", TEXTS,
         "Further directories, at the same path inside: `/data`, read-only `/data:ro`, elsewhere "
         "`/data:/mnt`."),
    Word("container.options", TEXTS, "Further options of the engine's run command, as they are."),
    Word("container.python", TEXT, "The interpreter inside; else `python3`."),
    Word("container.environment", TEXTS, "Names of variables that go in."),
    Option("python", str, "PATH",
           "The Python of the runs; else the active environment's.", RUN_PANEL,
           word=Word("python", TEXT,
                     "The Python of the runs: an interpreter, or its environment (relative to "
                     "this file, with a /).")),
    Option("uv", str, "[=PROJECT]",
           "The Python that `uv run` has, here or in a project.", RUN_PANEL,
           word=Word("uv", PROJECT,
                     "The Python that `uv run` has in a project (relative to this file); true: in "
                     "the working directory.")),
    Option("conda", str, "ENV", "The Python of an environment of conda's.", RUN_PANEL,
           word=Word("conda", TEXT,
                     "The Python of an environment of conda's, by its name or directory.")),
    Option("wait", bool, "",
           "Where an engine queues the runs: wait for them, instead of leaving.", LAUNCH_PANEL),
    Option("script_only", bool, "",
           "Slurm: write the sbatch script and what it needs; submit nothing.", LAUNCH_PANEL),
    Option("yes", bool, "",
           "Rent machines (EC2, GCP) without asking.", LAUNCH_PANEL, commands=("run", "resume")),
    Option("max_cost", float, "DOLLARS",
           "Rented machines may cost so much together.", LAUNCH_PANEL, commands=("run", "resume")),
    Option("max_hours", float, "HOURS",
           "How long each rented machine may live.", LAUNCH_PANEL, commands=("run", "resume")),
    Option("into", Path, "DIR",
           "Continue this experiment: keep what is finished, add what is new.", LAUNCH_PANEL),
    Option("strict", bool, "",
           "With --into: refuse where code has changed.", LAUNCH_PANEL, field="strict"),
    Option("accept_code_change", bool, "",
           "With --into: go on where code has changed, unasked.",
           LAUNCH_PANEL, field="accept_code_change"),
    Option("snapshot_code", bool, "",
           "Run from a copy of the code, whatever is edited meanwhile.", LAUNCH_PANEL,
           word=Word("snapshot_code", YES_NO,
                     "Run from a copy of the code, whatever is edited meanwhile.",
                     field="snapshot_code")),
    Option("code", str, "URL@REF", "The code is a clone of this git repository.", LAUNCH_PANEL,
           word=Word("code.git", TEXT,
                     "The code is a clone of this git repository, `URL@REF`; the paths of what to "
                     "run lie in it.",
                     field="code")),
    Option("code_include", str, "PATTERN",
           "Of code that is copied, only these files, as '*.py'.", LAUNCH_PANEL, several=True,
           word=Word("code.include", PATTERNS,
                     "Where code is copied, only these files; a plain path is taken though git "
                     "ignores it.",
                     field="code_include")),
    Option("code_exclude", str, "PATTERN",
           "Of code that is copied, not these: 'data/'.", LAUNCH_PANEL, several=True,
           word=Word("code.exclude", PATTERNS,
                     "Where code is copied, not these files.", field="code_exclude")),
    Word("code", CODE,
         "The code: a git repository, `URL@REF`, or which files of it are copied (`include`, "
         "`exclude`)."),
    Option("fetch", str, "PATTERN",
           "Of what runs write elsewhere, bring only these files home.", LAUNCH_PANEL, several=True,
           word=Word("fetch", PATTERNS,
                     "Of what runs write on other machines, only these files come home, and what "
                     "tells how they went.",
                     field="fetch")),
    Option("no_fetch", str, "PATTERN",
           "Of what runs write elsewhere, leave these: '*.pt'.", LAUNCH_PANEL, several=True,
           word=Word("no_fetch", PATTERNS,
                     "Of what runs write on other machines, these files stay there.",
                     field="no_fetch")),
    Option("plain_names", bool, "",
           "Name directories lr-0.1/run_0: for Hydra, make, shells.", LAUNCH_PANEL,
           word=Word("plain_names", YES_NO,
                     "Name directories as `lr-0.1/run_0`, which Hydra, make and a shell read as "
                     "it stands.",
                     field="plain_names")),
    Option("first", bool, "",
           "Make the first run alone; --into adds the others.", LAUNCH_PANEL, field="first"),
    Option("detach", bool, "", "Go on without this terminal; `attach` looks on.", LAUNCH_PANEL),
    Option("failed", bool, "",
           "Also run again what failed or ran out of time.", commands=("resume",)),
    Option("take_over", bool, "",
           "Break the lock of a launcher on another host that surely no longer runs.",
           commands=("resume", "stop")),
    Option("strict", bool, "", "Refuse where code has changed.", commands=("resume",)),
    Option("accept_code_change", bool, "",
           "Go on where code has changed, without asking.", commands=("resume",)),
    Option("notify", str, "URL",
           "Tell this service (of apprise) of the end, and of the first failure.",
           several=True, commands=("run", "resume"),
           word=Word("notify", NOTIFY,
                     "URLs of services (of apprise) that are told of the end, and of the first "
                     "failure.")),
    Option("detach", bool, "", "Go on without this terminal.", commands=("resume",)),
    Option("wait", bool, "",
           "Where an engine queues the runs: wait for them, instead of leaving.",
           commands=("resume",)),
    Option("set_", str, "KEY=VALUE",
           "Override a key of the sweep file.", LAUNCH_PANEL, several=True),
    Option("dry_run", bool, "",
           "List every run with its directory; start nothing.", OUTPUT_PANEL),
    Option("json", bool, "",
           "Print one JSON object per event.", OUTPUT_PANEL, commands=("run", "resume", "attach")),
    Option("quiet", bool, "",
           "Print only the experiment's directory; failures go to the error output.",
           OUTPUT_PANEL, flags=("-q", "--quiet"), commands=("run", "resume", "attach")),
    Option("metric", str, "METRIC", "Compare by this metric; else the likeliest objective.",
           commands=("results",)),
    Option("metric", str, "METRIC", "Say of each run how it stands by this one, as in results.",
           commands=("export",)),
    Option("mode", str, "MODE", "Which way is better: max or min; else by its name.",
           commands=("results",)),
    Option("where", str, "CONDITION", _CONDITION, several=True, commands=("results", "export")),
    Option("diverged", str, "HOW",
           "A run that ended in nan or inf: `nan` (its variant has no value), `worst`, `drop`.",
           default="nan", commands=("results",)),
    Option("level", float, "SHARE", "Confidence of the interval.", default=0.95,
           commands=("results",)),
    Option("vs", str, "VARIANT",
           "Decide: every variant beside the `best`, or beside this one ('lr=0.1, hidden=32').",
           commands=("results",)),
    Option("at", str, "STEP=N", "Judge runs by their value at this step, as `step=1e6`.",
           commands=("results",)),
    Option("effects", bool, "",
           "Show what matters: seeds, hyperparameters, pairs, divergence, the expected best.",
           commands=("results",)),
    Option("gap", float, "TARGET",
           "Show the optimality gap: how far runs stay behind this score, tasks weighing the same.",
           commands=("results",)),
    Option("all_seeds", bool, "",
           "After `runslot confirm`: also the runs by which the variants were chosen.",
           commands=("results", "export", "plot")),
    Option("json", bool, "",
           "Print one JSON object, as `runslot schema results` (or effects, system) describes it.",
           commands=("results",)),
    Option("latex", bool, "", "Print the table for a paper (booktabs), with its caption.",
           commands=("results",)),
    Option("checklist", bool, "", "Print what a paper has to say of these runs, from records.",
           commands=("results",)),
    Option("log", str, "GLOB", "Read these files (CSV, JSON lines) as logs, too: 'log_*.csv'.",
           several=True,
           commands=("results", "export", "view")),
    Option("kind", str, "KIND",
           "curves, bars (scores), profile, improvement, importance, scatter, parallel or heat, "
           "as on the page.",
           default="curves", commands=("plot",)),
    Option("y", str, "METRIC", "Metrics, a panel each; else the likeliest objective.", several=True,
           commands=("plot",)),
    Option("x", str, "METRIC", "Metric along the x axis, or `row`; else what counts the steps.",
           default="",
           commands=("plot",)),
    Option("series", str, "KEY", "A curve for each value of these keys.", several=True,
           commands=("plot",)),
    Option("split", str, "KEY", "A panel for each value of these keys.", several=True,
           commands=("plot",)),
    Option("band", str, "BAND",
           "Over seeds: mean-ci, mean-std, mean-sem, median-quartiles, iqm, or runs (each by "
           "itself); auto is "
           "mean-ci, and the runs where a group has fewer than five.", default="auto",
           commands=("plot",)),
    Option("level", float, "SHARE", "Confidence of intervals.", default=0.95, commands=("plot",
                                                                                        "view")),
    Option("include", str, "STATE", "Also count runs in this state; `all` for all.", several=True,
           commands=("results", "export", "plot", "view")),
    Option("diverged", str, "HOW",
           "Groups with runs that ended in nan or inf: nan (no value), worst, or drop (such runs).",
           default="nan", commands=("plot", "view")),
    Option("simultaneous", bool, "",
           "Profiles: a band that holds the whole profile, not each point by itself.",
           commands=("plot",)),
    Option("smooth", int, "N", "Running mean over so many rows.", default=1, least=1,
           commands=("plot",)),
    Option("log", str, "AXIS|GLOB",
           "Logarithmic axes: x, y; or read these files as logs, too: 'log_*.csv'.", several=True,
           commands=("plot",)),
    Option("by", str, "SCORE",
           "Runs are judged by: final, best, mean, last-K, auc (all kinds but curves; --top).",
           default="final", commands=("plot",)),
    Option("mode", str, "MODE", "Which way is better: max or min; else by the metric's name.",
           default="",
           commands=("plot",)),
    Option("tasks", str, "KEY", "Keys that are tasks: runs are compared and resampled within each.",
           several=True, commands=("plot",)),
    Option("across", str, "KEY", "Key along the x axis of a scatter or heat map.", default="",
           commands=("plot",)),
    Option("down", str, "KEY", "Key along the y axis of a heat map.", default="", commands=("plot",
                                                                                            )),
    Option("draw", str, "HOW", "Scores as bars (from zero) or points; else what shows more.",
           default="",
           commands=("plot",)),
    Option("where", str, "CONDITION", _CONDITION, default="", commands=("plot",)),
    Option("top", int, "N", "Only so many series of each panel, the best ones.", default=0, least=0,
           commands=("plot",)),
    Option("low", float, "Y", "Lower end of the y axis.", commands=("plot",)),
    Option("high", float, "Y", "Upper end of the y axis.", commands=("plot",)),
    Option("view", str, "CHOICES", "Choices as in the address of the page (what follows `?`).",
           default="",
           commands=("plot",)),
    Option("width", float, "INCHES", "Width in inches.", default=5.5, commands=("plot",)),
    Option("height", float, "INCHES", "Height in inches; else by the panels.", commands=("plot",)),
    Option("font", float, "POINTS", "Size of the text in points.", default=8.0, commands=("plot",)),
    Option("line", bool, "", "Say in the figure, too, who counts; the caption always does.",
           default=True,
           flags=("--line/--no-line",), commands=("plot",)),
    Option("data", bool, "", "Also write the data (CSV) and the script that draws it.",
           commands=("plot",)),
    Option("path", str, "TEMPLATE",
           "What the names of directories of other programs' runs mean: '{algo}/{env}_{seed}'.",
           commands=("results", "export", "plot", "view")),
    Word("snapshot_mode", one_of(*SNAPSHOT_MODES),
         "Which snapshots the logger keeps.", field="snapshot_mode"),
    Word("snapshot_gap", whole(1),
         "Iterations from one kept snapshot to the next.", field="snapshot_gap"),
)
# fmt: on

OPTIONS: tuple[Option, ...] = tuple(record for record in TABLE if isinstance(record, Option))
ALL_WORDS: Mapping[str, Word] = {
    word.key: word
    for record in TABLE
    if (word := record if isinstance(record, Word) else record.word)
}
"""The keys of a sweep file, those inside others with a dot."""
WORDS: Mapping[str, Word] = {
    key: ALL_WORDS[key] for key in dict.fromkeys((*FILE_ORDER, *ALL_WORDS)) if "." not in key
}
"""The keys of a sweep file."""
GROUPS: Mapping[str, Mapping[str, Word]] = {
    group: {
        key.partition(".")[2]: word
        for key, word in ALL_WORDS.items()
        if key.startswith(f"{group}.")
    }
    for group in ("resources", "container", "code")
}
"""The keys inside `resources`, `container` and `code`."""


def options_of(command: str) -> tuple[Option, ...]:
    """Return the options of a command, in the order of its help."""
    return tuple(option for option in OPTIONS if command in option.commands)


def option_of(name: str, command: str) -> Option:
    """Return the option of a command by its parameter's name."""
    return next(option for option in options_of(command) if option.name == name)
