"""What every run of an experiment asks for: cores, GPUs, memory, threads.

Pure. `None` means that nothing was stated; `hardware.slots.carve` then decides from the machine and
the number of runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from runslot.errors import InvalidInput, nearest, refuse_unknown_words

Threads = Literal["all", "one", "cores"]
"""`all`: a run gets every hardware thread of its cores; `one`: one thread of each core; `cores`:
each hardware thread counts as a core of its own, so that two runs may share a physical core.
"""

Avoid = Literal["gpus", "all", "nothing"]
"""What is left alone when processes without a lease use it: GPUs that compute, cores and GPUs, or
nothing.
"""


@dataclass(frozen=True)
class Resources:
    """The share of a machine that one run asks for.

    Raises `InvalidInput`, which names the field, for values that no machine can give.
    """

    cpus: int | None = None
    """Physical cores a run (hardware threads with `threads="cores"`)."""
    gpus: int | None = None
    """GPUs a run; 0 hides the machine's GPUs from it."""
    runs_per_gpu: int | Literal["auto"] = 1
    """Runs that share each GPU at the same time; `auto` has one at first, and then as many as fit
    by what it used.
    """
    memory: int | None = None
    """Bytes that the processes of a run may hold together."""
    cpus_per_worker: int = 1
    """Cores of one worker process, for samplers that read `workers_cpus`."""
    threads: Threads = "all"
    """Which hardware threads of its cores a run gets: `all`, `one` of each core; `cores` counts
    each as a core of its own.
    """
    reserved_cpus: int = 0
    """Cores of the machine that no run gets, kept for the system and other users."""
    avoid_busy: Avoid = "gpus"
    """What is left alone where processes without a lease use it: `gpus`, `all` (cores, too),
    `nothing`.
    """

    def __new__(cls, *_: object, **words: object) -> Resources:
        """Refuse a word that is no field by the nearest one."""
        refuse_unknown_words(cls.__name__, words, cls.__dataclass_fields__)
        return super().__new__(cls)

    @property
    def sharers(self) -> int:
        """Runs that share each GPU when a launch begins."""
        return 1 if self.runs_per_gpu == "auto" else self.runs_per_gpu

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if (value is None and name in _OPTIONAL) or (name, value) == ("runs_per_gpu", "auto"):
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidInput(f"resources: {name} must be a whole number, not {value!r}")
            if value >= 2**63:
                raise InvalidInput(f"resources: {name} is more than any machine has")
            if value < least:
                raise InvalidInput(f"resources: {name} is {value}, but the least is {least}")
        for name, choices in (("threads", get_args(Threads)), ("avoid_busy", get_args(Avoid))):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                choice_list = ", ".join(choices)
                raise InvalidInput(
                    f"resources: {name} is {value!r}, not one of"
                    f" {choice_list}{nearest(str(value), choices)}"
                )
        if self.runs_per_gpu != 1 and self.gpus == 0:
            raise InvalidInput(
                f"resources: runs_per_gpu is {self.runs_per_gpu}, but gpus is 0: ask for a GPU"
                " per run"
            )
        if self.runs_per_gpu == "auto" and (self.gpus or 0) > 1:
            raise InvalidInput(
                f"resources: runs_per_gpu is auto, which is for runs of one GPU, but gpus is"
                f" {self.gpus}: give the number"
            )


_LEAST = {
    "cpus": 1,
    "gpus": 0,
    "runs_per_gpu": 1,
    "memory": 1,
    "cpus_per_worker": 1,
    "reserved_cpus": 0,
}
_OPTIONAL = ("cpus", "gpus", "memory")
