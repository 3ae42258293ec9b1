"""The records that stand in an experiment's files: runs, work, attempts, outcomes.

Frozen and pure; `to_json` / `from_json` are the file format (format 1). Unknown keys of newer versions are ignored;
what does not have the types that stand here is `Damaged`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from runslot.errors import Damaged
from runslot.experiment.shape import FORMAT, Shape
from runslot.experiment.states import Kind

Record = TypeVar("Record", bound="_Record")


@dataclass(frozen=True)
class _Record:
    def to_json(self) -> dict[str, Any]:
        """Return the record as a dict of JSON values, `format` included."""
        return {"format": FORMAT, **self.__dict__}

    @classmethod
    def from_json(cls: type[Record], value: Mapping[str, Any]) -> Record:
        """Make the record from what `to_json` gave; `Damaged` says what does not fit."""
        values = shape_of(cls).values(value)
        if len(values) != len(cls.__dataclass_fields__):
            return cls(**values)
        record = cls.__new__(cls)
        record.__dict__.update(values)  # a frozen dataclass sets its fields one by one, in four times the time
        return record


_shapes: dict[type[_Record], Shape] = {}


def shape_of(kind: type[_Record]) -> Shape:
    """Return what the JSON of a kind of record looks like, made when it is first read."""
    shape = _shapes.get(kind)
    if shape is None:
        words = {"Kind": get_args(Kind)}
        shape = _shapes[kind] = Shape.of_record(kind.__dataclass_fields__, words)
    return shape


@dataclass(frozen=True)
class Command(_Record):
    """A command of which every run is one call; `{key}` in an argument stands for the run's value."""

    argv: tuple[str, ...]
    slot_code_at: int | None = None
    """Which argument is replaced by the slot's affinity code at the start (rlpyt's scripts)."""


@dataclass(frozen=True)
class Function(_Record):
    """A Python function, found in a file, in a module, or in a cloudpickle file of the experiment directory."""

    name: str
    file: str | None = None
    module: str | None = None
    pickle: str | None = None
    digest: str = ""
    """Hash of its source, to notice that it changed."""
    unpack: bool = False
    """Call it with the variant's items as keyword arguments instead of with one dict."""
    use_gpu: bool | None = None
    """Which device RLKit's algorithms are told before the call; None: they are left alone."""

    def __str__(self) -> str:
        """`file.py:name`, `module:name`, or the bare name."""
        return f"{self.file or self.module}:{self.name}" if (self.file or self.module) else self.name


@dataclass(frozen=True)
class Outcome(_Record):
    """How one attempt of a run ended (`outcome.json`)."""

    kind: Kind
    attempt: int = 1
    exit_code: int | None = None
    signal: int | None = None
    started: float | None = None
    """Unix time, seconds."""
    ended: float | None = None
    host: str | None = None
    slot: int | None = None
    peak_memory: int | None = None
    """Largest resident set of one process of the run, bytes."""
    message: str = ""
    notes: tuple[str, ...] = ()
    """What the logger or the keeper could not do, one sentence each."""


@dataclass(frozen=True)
class Attempt(_Record):
    """The attempt under way (`attempt.json`), written by its keeper before the run starts."""

    attempt: int
    pid: int
    """The keeper's, on `host`."""
    start_time: int
    """The keeper's start in clock ticks since boot (`/proc/PID/stat`, field 22); tells a reused pid."""
    boot_id: str
    host: str
    started: float
    slot: Mapping[str, Any] | None = None
    """`Slot`, as JSON."""
    cgroup: str | None = None
    """Directory of the keeper's control group, where it has one of its own."""


@dataclass(frozen=True)
class Container(_Record):
    """The image that runs execute in, on whatever machine: `Container("pytorch/pytorch", engine="podman")`.

    The experiment's directory and the code are mounted at the same paths, the user id is kept, and the slot's cores and
    GPUs are those of the container.
    """

    image: str
    engine: Literal["docker", "podman", "apptainer"] = "docker"
    mounts: tuple[str, ...] = ()
    """Further directories, at the same path inside: `/data`, read-only `/data:ro`, elsewhere `/data:/mnt/data`."""
    options: tuple[str, ...] = ()
    """Further options of the engine's `run` command, as they are."""
    python: str = "python3"
    """The interpreter inside, 3.10 or newer."""
    environment: tuple[str, ...] = ()
    """Names of the caller's variables that go in."""


@dataclass(frozen=True)
class LoggerSettings(_Record):
    """How the run's logger starts; a front door's own rules arrive here."""

    snapshot_mode: str = "last"
    """`all`, `last`, `gap`, `gap_and_last` (or `last+gap`), `none`."""
    snapshot_gap: int = 1
    style: Literal["launchkit", "rlpyt"] = "launchkit"
    """Whose rule for gap snapshots and statistics' names applies."""
    prefix: str = ""
    """Before every line; in an experiment's settings `{run}` stands for the name of the run's directory."""
    log_tabular_only: bool = False
    metrics: str = "auto"
    """Where a run that does not log through runslot has its metrics: `auto`, `none`, a file, or a pattern of lines."""


@dataclass(frozen=True)
class Run(_Record):
    """One variant with one seed, in one directory (a line of `runs.jsonl`)."""

    id: str
    name: str
    """The variant's name, which is its relative directory; empty where the space has only seeds."""
    variant: Mapping[str, Any]
    """JSON values; classes, functions and enums as `$class`, `$function`, `$enum`."""
    directory: str
    """Relative to where the experiment's runs lie, `/` between parts."""
    seed: int | str | None = None
    run_ID: int | None = None
    arguments: tuple[str, ...] = ()
    """Extra command-line arguments of this run alone."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What the front door adds to the variant that the function receives, the seed first of all."""
    payload: str | None = None
    """Cloudpickle file in the experiment directory with the variant, where JSON cannot hold it."""


@dataclass(frozen=True)
class Policy(_Record):
    """How the runs of an experiment are treated, whatever they compute."""

    retries: int = 0
    """How often a failed run is tried again."""
    backoff: float = 1.0
    """Seconds before the first retry; doubled for each further one."""
    timeout: float | None = None
    """Seconds an attempt may take."""
    grace: float = 10.0
    """Seconds between asking a run to stop and killing it."""
    memory: int | None = None
    """Bytes that the processes of a run may hold together."""
    max_failures: int | None = None
    """Start no further run after so many failed ones."""
    resumable: bool = False
    """A further attempt keeps the run's directory and continues from its snapshot."""
    start: Literal["auto", "warm", "cold"] = "auto"
    """Whether functions start in a process forked from one that has imported them."""


@dataclass(frozen=True)
class ExperimentFile(_Record):
    """What was asked (`experiment.json`)."""

    name: str
    work: Mapping[str, Any]
    """`{"command": Command}` or `{"function": Function}`, as JSON."""
    created: float
    cwd: str
    python: str
    path: tuple[str, ...] = ()
    """`sys.path` for functions."""
    python_path: str | None = None
    """The caller's `PYTHONPATH`."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    logger: Mapping[str, Any] = field(default_factory=dict)
    space: str = ""
    """The space in words, for people."""
    runs_root: str = "."
    """Where the run directories lie, relative to the experiment directory."""
    script: str = ""
    """The script of the command, where one is seen in it."""
    script_digest: str = ""
    """Hash of it, to notice that it changed."""
    code: Mapping[str, Any] | None = None
    """Where the runs use a copy of the code: `{"tree": where it was, "copy": the directory below the experiment's}`."""
    container: Mapping[str, Any] | None = None
    """`Container`, as JSON: what the runs execute in."""
    launcher: Mapping[str, Any] | None = None
    """The configured launcher that starts the runs, as JSON with its `name` and `kind`; None: this machine."""
    python_version: str = ""
    """The launching interpreter's, as `3.11`: what travels by value wants the same."""
    front_door: Literal["native", "rlpyt", "launchkit"] = "native"
    seeding: bool = True
    affinity_code: str | None = None
    """rlpyt's door: the code that divides the machine instead of `resources`."""
    set_egl_device: bool = False
    gpu_visibility: bool = True
    """Set `CUDA_VISIBLE_DEVICES`; rlpyt's door leaves it alone."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """Variables that the runs' environment has on top of the caller's."""
    fetch: tuple[str, ...] = ()
    """Patterns of the files that come home from other machines; empty: all."""
    no_fetch: tuple[str, ...] = ()
    """Patterns of those that stay there."""
    run_count: int | None = None
    """How many runs the list of runs has at least; None in files of older versions."""
    interpreter: Mapping[str, Any] | None = None
    """Where `python` is not the launching one: `programs`, first on PATH, and the `variables` of its environment."""


@dataclass(frozen=True)
class RunFile(_Record):
    """All that is needed to execute a run (`run.json`); written once, before the start."""

    run: Mapping[str, Any]
    """`Run`, as JSON."""
    experiment: str
    """The experiment's name."""
    work: Mapping[str, Any]
    """`{"command": Command}` with filled-in arguments, or `{"function": Function}`, as JSON."""
    cwd: str
    python: str
    """The interpreter that runs functions."""
    path: tuple[str, ...] = ()
    """`sys.path` for functions."""
    python_path: str | None = None
    home: str = "."
    """The experiment directory, relative to the run's; payloads and functions by value are found there."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """`Policy`, as JSON."""
    logger: Mapping[str, Any] = field(default_factory=dict)
    """`LoggerSettings`, as JSON."""
    seeding: bool = True
    """Seed `random`, `numpy` and `torch` with the run's seed."""
    affinity_code: str | None = None
    """The code whose slot, of the index that is given at the start, is this run's share of the machine."""
    set_egl_device: bool = False
    gpu_visibility: bool = True
    container: Mapping[str, Any] | None = None
    """`Container`, as JSON."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """Variables of its environment that the user set for the experiment."""
    interpreter: Mapping[str, Any] | None = None
    """The experiment's; with `package`, the one-file runslot that a function's cold start takes."""


def check_parts(file: ExperimentFile) -> None:
    """Raise `Damaged` where what stands inside of what was asked is not what its readers expect."""
    for key, record in (("command", Command), ("function", Function)):
        if key in file.work:
            shape_of(record).check(file.work[key])
            break
    else:
        raise Damaged("'work' names neither a command nor a function")
    shape_of(Policy).check(file.policy)
    shape_of(LoggerSettings).check(file.logger)
    if file.container is not None:
        shape_of(Container).check(file.container)
    if file.launcher is not None:
        _LAUNCHER.check(file.launcher)
    if file.code is not None:
        _CODE.check(file.code)


_LAUNCHER = Shape({"name": "str", "kind": "str"})
_CODE = Shape({"tree": "str", "copy": "str"})
