"""The records that stand in an experiment's files: what was asked (runs, work, policy), and, from
`outcome`, what became of it.

Frozen and pure; `to_json` / `from_json` are the file format (format 1). Unknown keys of newer
versions are ignored; what does not have the types that stand here is `Damaged`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Literal, get_args

from runslot.errors import Damaged, InvalidInput
from runslot.experiment.outcome import Attempt as Attempt  # noqa: PLC0414
from runslot.experiment.outcome import Outcome as Outcome  # noqa: PLC0414
from runslot.experiment.outcome import Usage as Usage  # noqa: PLC0414
from runslot.experiment.shape import PARTS, WORDS, RecordBase, Repeated, Shape
from runslot.experiment.states import Kind
from runslot.hardware.resources import Resources
from runslot.record import record


@record
class Command(RecordBase):
    """A command of which every run is one call; `{key}` in an argument stands for the run's
    value.
    """

    argv: tuple[str, ...]
    slot_code_at: int | None = None
    """Which argument is replaced by the slot's affinity code at the start (rlpyt's scripts)."""

    def with_python(self, launching: str, python: str) -> Command:
        """Return the command in which the launching interpreter, spelled out, is another
        machine's.
        """
        return replace(
            self,
            argv=tuple(python if argument == launching else argument for argument in self.argv),
        )


@record
class Function(RecordBase):
    """A Python function, found in a file, in a module, or in a cloudpickle file of the experiment
    directory.
    """

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
        return (
            f"{self.file or self.module}:{self.name}" if (self.file or self.module) else self.name
        )


Work = Command | Function
"""What every run of an experiment executes; in the files an object of one key, `command` or
`function`.
"""


def travels_by_value(work: Work) -> bool:
    """Tell whether the work is a function in a cloudpickle file, which wants the Python that made
    it.
    """
    return isinstance(work, Function) and work.pickle is not None


def _read_work(value: Mapping[str, Any]) -> Work:
    if "command" in value:
        return Command.from_json(value["command"])
    if "function" in value:
        function: Function = _read_function(value["function"])
        return function
    raise Damaged("'work' names neither a command nor a function")


def _write_work(work: Work) -> dict[str, Any]:
    return {"command" if isinstance(work, Command) else "function": work.to_json()}


@record
class Container(RecordBase):
    """The image that runs execute in, on whatever machine: `Container("pytorch/pytorch",
    engine="podman")`.

    The experiment's directory and the code are mounted at the same paths, the user id is kept, and
    the slot's cores and GPUs are those of the container.
    """

    image: str
    """Its name, as the engine takes it: `pytorch/pytorch:2.4`, a `.sif` file for Apptainer."""
    engine: Literal["docker", "podman", "apptainer"] = "docker"
    """What runs it."""
    mounts: tuple[str, ...] = ()
    """Further directories, at the same path inside: `/data`, read-only `/data:ro`, elsewhere
    `/data:/mnt/data`.
    """
    options: tuple[str, ...] = ()
    """Further options of the engine's `run` command, as they are."""
    python: str = "python3"
    """The interpreter inside, 3.10 or newer."""
    environment: tuple[str, ...] = ()
    """Names of the caller's variables that go in."""


SNAPSHOT_MODES = ("all", "last", "gap", "gap_and_last", "last+gap", "none")


@record
class LoggerSettings(RecordBase):
    """How the run's logger starts; a front door's own rules arrive here."""

    snapshot_mode: str = "last"
    """`all`, `last`, `gap`, `gap_and_last` (or `last+gap`), `none`."""
    snapshot_gap: int = 1
    style: Literal["launchkit", "rlpyt"] = "launchkit"
    """Whose rule for gap snapshots and statistics' names applies."""
    prefix: str = ""
    """Before every line; in an experiment's settings `{run}` stands for the name of the run's
    directory.
    """
    log_tabular_only: bool = False
    metrics: str = "auto"
    """Where a run that does not log through runslot has its metrics: `auto`, `none`, a file, or a
    pattern of lines.
    """


@record
class Run(RecordBase):
    """One variant with one seed, in one directory (a line of `runs.jsonl`)."""

    id: str
    """Made of the variant, the seed and further arguments: the same run has it in every launch."""
    name: str
    """The variant's name, which is its relative directory; empty where the space has only seeds."""
    variant: Mapping[str, Any]
    """JSON values; classes, functions and enums as `$class`, `$function`, `$enum`."""
    directory: str
    """Relative to where the experiment's runs lie, `/` between parts."""
    seed: int | str | None = None
    """None where the space itself has the seeds."""
    run_ID: int | None = None
    """The number of the run of its variant, from 0, as rlpyt counts them."""
    arguments: tuple[str, ...] = ()
    """Extra command-line arguments of this run alone."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What the front door adds to the variant that the function receives, the seed first of all."""
    payload: str | None = None
    """Cloudpickle file in the experiment directory with the variant, where JSON cannot hold it."""


Start = Literal["auto", "warm", "cold"]
"""How functions start: forked from a process that has imported them, or not."""

LONGEST_S = 100 * 365 * 86400
"""A hundred years, in seconds: more is a slip of the hand, and more than the system's clocks
take.
"""


@record
class Policy(RecordBase):
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
    start: Start = "auto"
    """Whether functions start in a process forked from one that has imported them."""
    nice: int | None = None
    """The niceness of a run's processes, from -20 to 19; None: the launcher's."""
    expect: float | None = None
    """Seconds that a run is expected to take; where a queue starts tasks, short ones share some."""


@record
class CodeCopy(RecordBase):
    """The copy of the code that the runs use."""

    tree: str
    """Where the code was."""
    copy: str
    """The directory below the experiment's."""
    origin: str = ""
    """The repository that the tree is a clone of, as `URL@REF`."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dict of JSON values, without an origin where there is none."""
        origin = {"origin": self.origin} if self.origin else {}
        return {"tree": self.tree, "copy": self.copy, **origin}


@record
class PythonEnvironment(RecordBase):
    """Where the runs' interpreter is not the launching one: what activation of its environment
    would set.
    """

    programs: str = ""
    """The directory that stands first on PATH; empty where the interpreter is in no environment of
    its own.
    """
    variables: Mapping[str, str] = field(default_factory=dict)
    package: str = ""
    """The one-file runslot that a function's cold start takes; where its own Python has none."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dict of JSON values, without a package where there is none."""
        package = {"package": self.package} if self.package else {}
        return {"programs": self.programs, "variables": dict(self.variables), **package}


@record
class LauncherEntry:
    """The configured launcher that starts the runs."""

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The keys of its kind."""
    shares_machine: bool = True
    """False where its machines share nothing with this one, but perhaps its name."""

    def to_json(self) -> dict[str, Any]:
        """Return what `experiment.json` says of it: one object, with the keys of its kind."""
        apart = {} if self.shares_machine else {"shares_machine": False}
        return {"name": self.name, "kind": self.kind, **self.settings, **apart}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LauncherEntry:
        """Make the record from what `to_json` gave; `Damaged` says what does not fit."""
        _LAUNCHER.check(value)
        settings = {
            key: item
            for key, item in value.items()
            if key not in {"name", "kind", "shares_machine"}
        }
        # Files of older versions do not say so; of their kinds those with a bucket shared no
        # machine.
        shares_machine = value.get("shares_machine", "bucket" not in settings)
        return cls(value["name"], value["kind"], settings, shares_machine)


_LAUNCHER = Shape(
    {"name": "str", "kind": "str", "shares_machine": "bool"}, frozenset({"shares_machine"})
)


def _read_resources(value: Mapping[str, Any]) -> Resources:
    try:
        return Resources(
            **{key: item for key, item in value.items() if key in Resources.__dataclass_fields__}
        )
    except InvalidInput as error:
        raise Damaged(str(error)) from error


def _write_resources(resources: Resources) -> dict[str, Any]:
    return dict(resources.__dict__)


@record
class ExperimentFile(RecordBase):
    """What was asked (`experiment.json`)."""

    name: str
    work: Work
    created: float
    cwd: str
    python: str
    path: tuple[str, ...] = ()
    """`sys.path` for functions."""
    python_path: str | None = None
    """The caller's `PYTHONPATH`."""
    resources: Resources = field(default_factory=Resources)
    policy: Policy = Policy()
    logger: LoggerSettings = LoggerSettings()
    space: str = ""
    """The space in words, for people."""
    runs_root: str = "."
    """Where the run directories lie, relative to the experiment directory."""
    script: str = ""
    """The script of the command, where one is seen in it."""
    script_digest: str = ""
    """Hash of it, to notice that it changed."""
    code: CodeCopy | None = None
    """Where the runs use a copy of the code."""
    container: Container | None = None
    """What the runs execute in."""
    launcher: LauncherEntry | None = None
    """What starts the runs; None: this machine."""
    python_version: str = ""
    """The launching interpreter's, as `3.11`: what travels by value wants the same."""
    front_door: Literal["native", "rlpyt", "launchkit", "hydra"] = "native"
    seeding: bool = True
    affinity_code: str | None = None
    """rlpyt's door: the code that divides the machine instead of `resources`."""
    set_egl_device: bool = False
    gpu_visibility: bool = True
    """Set `CUDA_VISIBLE_DEVICES`; rlpyt's door leaves it alone."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that the runs' environment has on top of the caller's."""
    fetch: tuple[str, ...] = ()
    """Patterns of the files that come home from other machines; empty: all."""
    no_fetch: tuple[str, ...] = ()
    """Patterns of those that stay there."""
    run_count: int | None = None
    """How many runs the list of runs has at least; None in files of older versions."""
    interpreter: PythonEnvironment | None = None
    """Where `python` is not the launching one."""
    search: Mapping[str, Any] | None = None
    """Where the list of runs grows by what the runs show: `search.spec.SearchRecord`, as JSON."""
    batches_of: str = ""
    """What adds runs in batches as long as its process lives, as `hydra/sweeper=optuna`."""


@record
class RunFile(RecordBase):
    """All that is needed to execute a run (`run.json`); written once, before the start."""

    run: Run
    experiment: str
    """The experiment's name."""
    work: Work
    """Of a command the arguments are filled in."""
    cwd: str
    python: str
    """The interpreter that runs functions."""
    path: tuple[str, ...] = ()
    """`sys.path` for functions."""
    python_path: str | None = None
    home: str = "."
    """The experiment directory, relative to the run's; payloads and functions by value are found
    there.
    """
    policy: Policy = Policy()
    logger: LoggerSettings = LoggerSettings()
    seeding: bool = True
    """Seed `random`, `numpy` and `torch` with the run's seed."""
    affinity_code: str | None = None
    """The code whose slot, of the index that is given at the start, is this run's share of the
    machine.
    """
    set_egl_device: bool = False
    gpu_visibility: bool = True
    container: Container | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of its environment that the user set for the experiment."""
    interpreter: PythonEnvironment | None = None
    """The experiment's, with the package."""

    def require_function(self) -> Function:
        """Return what the run calls, for those who are started only where it is a function."""
        if not isinstance(self.work, Function):
            raise Damaged("'work' is a command, not a function")
        return self.work

    def require_container(self) -> Container:
        """Return what the run executes in, for those who are started only where it has one."""
        if self.container is None:
            raise Damaged("'container' is missing")
        return self.container


_read_function = Repeated(Function.from_json)

WORDS |= {"Kind": get_args(Kind), "Start": get_args(Start)}
PARTS |= {
    "CodeCopy": (CodeCopy.from_json, CodeCopy.to_json),
    "Container": (Repeated(Container.from_json), Container.to_json),
    "LauncherEntry": (LauncherEntry.from_json, LauncherEntry.to_json),
    "LoggerSettings": (Repeated(LoggerSettings.from_json), LoggerSettings.to_json),
    "Policy": (Repeated(Policy.from_json), Policy.to_json),
    "PythonEnvironment": (PythonEnvironment.from_json, PythonEnvironment.to_json),
    "Resources": (_read_resources, _write_resources),
    "Run": (Run.from_json, Run.to_json),
    "Usage": (Usage.from_json, Usage.to_json),
    "Work": (_read_work, _write_work),
}
