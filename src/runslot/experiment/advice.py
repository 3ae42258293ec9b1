"""What would use the hardware better, from what ended runs used: with its reason, or nothing.

Pure. Called at the end of a launch, and as runs end where `runs_per_gpu` is `auto`. What must stay
true: nothing is advised that would not fit by what was seen, and nothing at all where too little
was seen to tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from runslot.experiment.records import Outcome, Usage
from runslot.hardware.slots import Slot
from runslot.record import record

_LOOKS_NEEDED = 5
"""Looks at the runs together before anything is said of them: about ten seconds."""
MEMORY_SHARE = 0.95
"""Of a GPU that runs may fill together."""
RUNS_PER_GPU_LIMIT = 16
_IDLE_SHARE, _IDLE_S = 0.2, 900.0
"""From which share of the slots' time on, and how much of it, idle slots are worth a sentence."""
_BETWEEN_LAUNCHES_S = 60.0
"""In which nothing runs at all."""
GIB = 1 << 30


@record
class _Span:
    """When a run had a slot."""

    started: float
    ended: float
    place: tuple[str | None, int]


@record
class SharedMemory:
    """What the runs of a host share besides its GPUs."""

    size: int
    """Bytes of the host."""
    runs: int
    """How many of these runs it had at a time."""


@record
class Fit:
    """How many runs fit on a GPU, by what those used that were looked at."""

    runs: int
    reason: str
    """What one of them used, in words."""


def gpu_advice(usages: Sequence[Usage], slot: Slot, memory: SharedMemory | None = None) -> str:
    """Return how many runs would fit on a GPU, where that is more than shared one; `slot` is one of
    these runs', `memory` that of their host, where it is known.
    """
    fit = fit_on_gpu(usages, slot, memory)
    if fit is None:
        return ""
    if not fit.reason:
        return "no run used its GPU: --gpus-per-run 0 runs as many at a time as there are cores for"
    if fit.runs <= slot.runs_per_gpu:
        return ""
    unknown = "" if memory is not None else ", if its host has the memory, which is not known here"
    return f"{fit.reason}: --runs-per-gpu {fit.runs} would fit{unknown}"


def fit_on_gpu(
    usages: Sequence[Usage], slot: Slot, memory: SharedMemory | None = None
) -> Fit | None:
    """Return how many runs fit on a GPU, of which each of these had a share as `slot` is; None
    where too little was seen. No reason where none used its GPU.
    """
    full_usages = [
        use
        for use in usages
        if None not in (use.gpu_percent, use.gpu_memory) and use.gpu_total  # both were seen
    ]
    looks = sum(use.looks for use in full_usages)
    if looks < _LOOKS_NEEDED or len(slot.gpus) != 1:
        return None
    percent = sum((use.gpu_percent or 0.0) * use.looks for use in full_usages) / looks
    cpus = sum((use.cpus or 0.0) * use.looks for use in full_usages) / looks
    now = slot.runs_per_gpu
    held = [(gpu_memory_of_run(use, now), use.gpu_total or 1) for use in full_usages]
    gpu_memory, total = max(held, key=lambda pair: pair[0] / pair[1])
    if not gpu_memory and percent < 1:
        return Fit(now, "")
    by_cores = _times(slot.size * now, cpus)
    largest = max(use.memory or 0 for use in full_usages)
    by_memory = RUNS_PER_GPU_LIMIT
    if memory is not None:
        by_memory = _times(MEMORY_SHARE * memory.size * now, largest * memory.runs)
    fitting = min(
        _times(100.0 * now, percent),
        _times(MEMORY_SHARE * total, gpu_memory),
        by_cores,
        by_memory,
        RUNS_PER_GPU_LIMIT,
    )
    cores = slot.size * now
    runs = "a run" if now == 1 else f"{now} runs at a time"
    parts = f"{gpu_memory / GIB:.3g} of {total / GIB:.3g} GiB" + (" each" if now > 1 else "")
    parts += f" and {cpus:.2g} of {slot.size} cores" if fitting == by_cores else ""
    if memory is not None and fitting == by_memory:
        parts += f" and {largest / GIB:.3g} of {memory.size / GIB:.3g} GiB of memory"
    parts += f", and {cores} cores are beside it" if cores < fitting else ""
    fitting = max(1, min(fitting, cores))
    return Fit(fitting, f"{runs} used {percent:.0f} % of the GPU, {parts}")


def gpu_memory_of_run(usage: Usage, sharers: int) -> int:
    """Return the bytes of a GPU that one of so many runs held on it: its share where only the
    memory of all of them is known.
    """
    return (usage.gpu_memory or 0) // (sharers if usage.gpu_memory_of_all else 1)


def _times(whole: float, part: float) -> int:
    """Return how often a part goes into the whole."""
    return RUNS_PER_GPU_LIMIT if part <= 0 else int(whole / part + 1e-9)


def idle_advice(outcomes: Sequence[Outcome]) -> str:
    """Return how long slots had nothing to do, and why, where that is a good part of their time.

    Of the last launch: a time in which nothing ran at all lies between two.
    """
    spans = [
        _Span(outcome.started, outcome.ended, (outcome.host, outcome.slot))
        for outcome in of_last_launch(outcomes)
        if outcome.slot is not None and outcome.started is not None and outcome.ended is not None
    ]
    last_ends: dict[tuple[str | None, int], float] = {}
    for span in spans:
        last_ends[span.place] = max(span.ended, last_ends.get(span.place, 0.0))
    if len(last_ends) < 2:
        return ""
    end = max(last_ends.values())
    whole = len(last_ends) * (end - min(span.started for span in spans))
    idle = whole - sum(span.ended - span.started for span in spans)
    if idle < max(_IDLE_S, _IDLE_SHARE * whole):
        return ""
    sentence = f"slots were idle for {idle / 3600:.1f} of {whole / 3600:.1f} slot-hours"
    if sum(end - last for last in last_ends.values()) < idle / 2:
        return sentence
    return (
        f"{sentence}: the last run ended {(end - min(last_ends.values())) / 60:.0f} min after the"
        " first slot had nothing left to do"
    )


def of_last_launch(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes of the last launch: before it is a time in which nothing ran at all."""
    times = [
        (outcome.started, outcome.ended, place)
        for place, outcome in enumerate(outcomes)
        if outcome.started is not None and outcome.ended is not None
    ]
    launch: list[Outcome] = []
    end = 0.0
    for started, ended, place in sorted(times):
        if started > end + _BETWEEN_LAUNCHES_S:
            launch = []
        launch.append(outcomes[place])
        end = max(end, ended)
    return launch
