"""How an affinity code divides a machine among its run slots: rlpyt's rules, checked for faults.

The rules are those of rlpyt (astooke/rlpyt at f04f23d, `utils/launching/affinity.py`, MIT), whose
layouts scripts rely on. Core `c` has the CPUs `c` and `c + hto`; sockets have equal shares of the
core numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from runslot.errors import AffinityError
from runslot.hardware.visibility import Affinity, AttrDict
from runslot.record import record

ARGUMENTS = {
    "gpu": "n_gpu",
    "cxg": "contexts_per_gpu",
    "gpr": "gpu_per_run",
    "cpu": "n_cpu_core",
    "hto": "hyperthread_offset",
    "skt": "n_socket",
    "slt": "run_slot",
    "cpw": "cpu_per_worker",
    "cpr": "cpu_per_run",
    "res": "cpu_reserved",
    "ass": "async_sample",
    "sgr": "sample_gpu_per_run",
    "oss": "optim_sample_share_gpu",
    "alt": "alternating",
    "saf": "set_affinity",
}
"""The abbreviations in a code, and the arguments of `encode_affinity` that they stand for."""

FLAGS = ("ass", "oss", "alt", "saf")
MOST = 8192
"""More cores than any machine has; a larger number in a code is a slip."""


@record
class Layout:
    """The numbers of one affinity code, under their abbreviations."""

    cpu: int
    gpu: int = 0
    cxg: int = 1
    gpr: int = 1
    cpr: int = 1
    cpw: int = 1
    hto: int | None = None
    """None: as `cpu`; 0: cores have one CPU each."""
    skt: int = 1
    res: int | None = None
    """Cores reserved of each run (of each GPU that optimizes in asynchronous mode, where the
    default is 1).
    """
    ass: int = 0
    sgr: int = 0
    oss: int = 0
    alt: int = 0
    saf: int = 1

    @property
    def offset(self) -> int:
        """Distance of the two CPUs of a core, 0 where there is one."""
        return self.cpu if self.hto is None else self.hto

    @property
    def machine(self) -> int:
        """Cores of the machine, of which `cpu` are used."""
        return max(self.cpu, self.offset)

    @property
    def per_socket(self) -> int:
        """Cores of a socket."""
        return self.machine // self.skt

    @property
    def gpus_per_run(self) -> int:
        """GPUs of a run, those that sample included."""
        return self.gpr + (self.sgr if self.ass and not self.oss else 0)

    @property
    def reserved(self) -> int:
        """Cores of each GPU that optimizes asynchronously."""
        return 1 if self.res is None else self.res

    @property
    def slots(self) -> int:
        """Runs that execute at the same time."""
        if self.gpu == 0:
            return self.cpu // self.cpr
        return self.gpu // self.gpus_per_run if self.ass else self.gpu * self.cxg // self.gpr

    def affinity(self, slot: int) -> Affinity:
        """Return the affinity of one slot, for a layout that `check` accepts."""
        if self.gpu == 0:
            return _sync(self, slot, self.slots, self.cpr)
        if self.ass:
            return _async(self, slot)
        contexts = self.gpu * self.cxg
        share = self.cpu // contexts
        if self.gpr > 1:
            mine = range(slot * self.gpr, (slot + 1) * self.gpr)
            return [_sync(self, gpu, contexts, share, gpu) for gpu in mine]
        # Runs are spread over the GPUs before a second one goes on any.
        place = slot % self.gpu * self.cxg + slot // self.gpu
        return _sync(self, place, contexts, share, place // self.cxg)


def check(layout: Layout) -> None:
    """Raise `AffinityError` for a layout that no machine can have, or whose slots are not apart.

    The message names an argument and, where changing one number alone gives a good layout, that
    number.
    """
    fault = _fault(layout)
    if fault:
        raise AffinityError(f"affinity: {fault}{_remedy(layout)}")


def cpus_of(affinity: Affinity) -> tuple[int, ...]:
    """Return the CPUs of one slot, in the order of its affinity."""
    parts = affinity if isinstance(affinity, list) else [affinity]
    return tuple(cpu for part in parts for cpu in part["all_cpus"])


def gpus_of(affinity: Affinity) -> tuple[int, ...]:
    """Return the `cuda_idx` of one slot, those that optimize first; a GPU that also samples is
    there once.
    """
    parts: list[dict[str, Any]] = list(affinity) if isinstance(affinity, list) else [affinity]
    indices: list[int] = []
    for part in parts:
        samplers = part.get("sampler", [])
        leaves = [
            part,
            *part.get("optimizer", []),
            *(samplers if isinstance(samplers, list) else [samplers]),
        ]
        indices += [leaf["cuda_idx"] for leaf in leaves if leaf.get("cuda_idx") is not None]
    return tuple(dict.fromkeys(indices))


def _sync(layout: Layout, place: int, places: int, cpr: int, gpu: int | None = None) -> AttrDict:
    if places >= layout.skt:
        socket, inside = divmod(place, places // layout.skt)
        first = socket * layout.per_socket + inside * cpr
        cores: tuple[int, ...] = tuple(range(first, first + cpr))
    else:  # one run has several sockets
        sockets = layout.skt // places
        firsts = (s * layout.per_socket for s in range(place * sockets, (place + 1) * sockets))
        cores = tuple(core for first in firsts for core in range(first, first + cpr // sockets))
    cpus = _cpus(layout, cores)
    affinity = AttrDict(
        all_cpus=cpus,
        master_cpus=cpus,
        workers_cpus=_workers(layout, cores[layout.res or 0 :]),
        master_torch_threads=len(cores),
        worker_torch_threads=layout.cpw,
        alternating=bool(layout.alt),
        set_affinity=bool(layout.saf),
    )
    if gpu is not None:
        affinity["cuda_idx"] = gpu
    return affinity


def _cpus(layout: Layout, cores: tuple[int, ...]) -> tuple[int, ...]:
    return cores + tuple(core + layout.offset for core in cores) if layout.offset else cores


def _workers(layout: Layout, cores: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    whole = len(cores) // layout.cpw * layout.cpw
    groups = tuple(cores[i : i + layout.cpw] for i in range(0, whole, layout.cpw))
    sibling_groups = tuple(tuple(core + layout.offset for core in group) for group in groups)
    if layout.alt:  # the two halves of the workers take turns on the two threads of a core
        return groups + sibling_groups
    return (
        tuple(a + b for a, b in zip(groups, sibling_groups, strict=True))
        if layout.offset
        else groups
    )


def _async(layout: Layout, slot: int) -> AttrDict:
    optimizers, samplers, free, share = _async_places(layout, slot)
    optimizer = [_optimizer(layout, gpu, first) for gpu, first in optimizers]
    sampler = [_sampler(layout, range(first, first + share), gpu) for gpu, first in samplers]
    alone = None if sampler else _sampler(layout, free, None)  # a sampler without a GPU
    parts = [
        *(o["cpus"] for o in optimizer),
        *(s["all_cpus"] for s in (sampler if alone is None else [alone])),
    ]
    return AttrDict(
        all_cpus=tuple(cpu for part in parts for cpu in part),
        optimizer=optimizer,
        sampler=sampler if alone is None else alone,
        set_affinity=bool(layout.saf),
    )


_Places = list[tuple[int, int]]  # a GPU and the first of its cores, each


def _async_places(layout: Layout, slot: int) -> tuple[_Places, _Places, list[int], int]:
    """Return the places of optimizers and of samplers, the cores of a sampler without GPU, and
    cores a sampler.
    """
    reserved, per_run = layout.reserved, layout.cpu // layout.slots
    gpus_per_socket = layout.gpu // layout.skt
    sampling = layout.gpr if layout.oss else layout.sgr
    whole = (per_run - reserved * layout.gpr) // layout.cpw * layout.cpw
    share = whole // max(1, sampling)
    if layout.gpus_per_run <= gpus_per_socket:  # runs inside sockets
        socket, inside = divmod(slot, layout.slots // layout.skt)
        core = socket * layout.per_socket + inside * per_run
        gpu = socket * gpus_per_socket + inside * layout.gpus_per_run
        after = core + layout.gpr * reserved
        optimizers = [(gpu + i, core + i * reserved) for i in range(layout.gpr)]
        shift = 0 if layout.oss else layout.gpr
        samplers = [(gpu + shift + i, after + i * share) for i in range(sampling)]
        return optimizers, samplers, list(range(after, after + whole)), share
    sockets = layout.skt // layout.slots  # each run has several, and its GPUs are spread over them
    optimizers, samplers, free = [], [], list[int]()
    for socket in range(slot * sockets, (slot + 1) * sockets):
        core, gpu, here = (
            socket * layout.per_socket,
            socket * gpus_per_socket,
            layout.gpr // sockets,
        )
        optimizers += [(gpu + i, core + i * reserved) for i in range(here)]
        first = 0 if layout.oss else here
        samplers += [
            (gpu + first + i, core + here * reserved + (first + i - here) * share)
            for i in range(sampling // sockets)
        ]
        after = core + layout.gpr // gpus_per_socket * reserved
        free += range(after, after + whole // sockets)
    return optimizers, samplers, free, share


def _optimizer(layout: Layout, gpu: int, first: int) -> AttrDict:
    cores = tuple(range(first, first + layout.reserved))
    return AttrDict(
        cpus=_cpus(layout, cores),
        cuda_idx=gpu,
        torch_threads=len(cores),
        set_affinity=bool(layout.saf),
    )


def _sampler(layout: Layout, cores: Iterable[int], gpu: int | None) -> AttrDict:
    cores = tuple(cores)
    cpus = _cpus(layout, cores)
    return AttrDict(
        all_cpus=cpus,
        master_cpus=cpus,
        workers_cpus=_workers(layout, cores),
        master_torch_threads=len(cores),
        worker_torch_threads=layout.cpw,
        cuda_idx=gpu,
        alternating=bool(layout.alt),
        set_affinity=bool(layout.saf),
    )


def _fault(layout: Layout) -> str | None:
    """Return what is wrong with a layout, in one sentence that names an argument, or None."""
    return (
        next(_bad_numbers(layout), None)
        or next(_bad_combinations(layout), None)
        or next(_bad_divisions(layout), None)
        or next(_overlaps(layout), None)
    )


def _bad_numbers(layout: Layout) -> Iterator[str]:
    least = {"cpu": 1, "cxg": 1, "gpr": 1, "cpr": 1, "cpw": 1, "skt": 1}
    for name in ("cpu", "gpu", "cxg", "gpr", "cpr", "cpw", "hto", "skt", "res", "sgr"):
        value = getattr(layout, name)
        if value is not None and value < least.get(name, 0):
            yield f"{ARGUMENTS[name]} is {value}, but the least is {least.get(name, 0)}"
        if value is not None and value > MOST:
            yield f"{ARGUMENTS[name]} is {value}, more than any machine has"


def _bad_combinations(layout: Layout) -> Iterator[str]:
    shared = layout.cxg > 1
    if layout.gpu == 0:
        if shared or layout.gpr > 1 or layout.ass:
            name = (
                "contexts_per_gpu"
                if shared
                else "gpu_per_run"
                if layout.gpr > 1
                else "async_sample"
            )
            yield f"{name} is for runs on GPUs, but n_gpu is 0"
        if layout.cpr > layout.cpu:
            yield (
                f"cpu_per_run is {layout.cpr}, but n_cpu_core is {layout.cpu}: there is room for"
                " no run"
            )
    if not layout.ass and (layout.sgr or layout.oss):
        yield (
            f"{'sample_gpu_per_run' if layout.sgr else 'optim_sample_share_gpu'} needs"
            " async_sample=True"
        )
    if shared and layout.ass:
        yield f"contexts_per_gpu is {layout.cxg}, but asynchronous runs do not share GPUs"
    if shared and layout.gpr > 1:
        yield (
            f"contexts_per_gpu is {layout.cxg}, but runs with gpu_per_run={layout.gpr} do not share"
            " GPUs"
        )
    if layout.gpu and layout.gpus_per_run > layout.gpu:
        wants = f"gpu_per_run={layout.gpr}" + (
            f" and sample_gpu_per_run={layout.sgr}" if layout.sgr else ""
        )
        yield (
            f"{wants} ask for {layout.gpus_per_run} GPUs a run, but n_gpu is {layout.gpu}: there is"
            " room for no run"
        )


def _bad_divisions(layout: Layout) -> Iterator[str]:
    if layout.ass:
        yield from _bad_async_divisions(layout)
        return
    places = layout.gpu * layout.cxg or layout.slots
    per_run = layout.cpu // places if layout.gpu else layout.cpr
    if layout.cpu % (places if layout.gpu else layout.cpr):
        among = (
            f"n_gpu × contexts_per_gpu = {places} runs"
            if layout.gpu
            else f"runs of cpu_per_run={layout.cpr}"
        )
        yield f"n_cpu_core={layout.cpu} cannot be divided evenly among {among}"
    elif (layout.offset - layout.cpu) % layout.skt:
        yield (
            f"n_socket={layout.skt} cannot have equal shares of {layout.offset} cores of which"
            f" {layout.cpu} are used"
        )
    if places < layout.skt:  # the run has a whole number of cores of each of its sockets
        sockets = layout.skt // places
        per_run = per_run // sockets * sockets
    if max(0, per_run - (layout.res or 0)) % layout.cpw:
        remainder = f"the {per_run} cores of a run less cpu_reserved={layout.res or 0}"
        yield f"cpu_per_worker={layout.cpw} does not divide {remainder}"


def _bad_async_divisions(layout: Layout) -> Iterator[str]:
    if layout.skt > layout.gpu:
        yield f"n_socket={layout.skt} are more than n_gpu={layout.gpu}: a socket would have no GPU"
    elif layout.gpus_per_run <= layout.gpu // layout.skt:
        if layout.slots % layout.skt:
            yield f"{layout.slots} runs cannot be divided evenly among n_socket={layout.skt}"
    else:
        sockets = layout.skt // layout.slots
        for name in ("gpr",) if layout.oss else ("gpr", "sgr"):
            if getattr(layout, name) % sockets:
                yield (
                    f"{ARGUMENTS[name]}={getattr(layout, name)} cannot be spread evenly over"
                    f" {sockets} sockets"
                )


def _overlaps(layout: Layout) -> Iterator[str]:
    """Yield what two slots, or a slot and the machine, have wrong in a layout whose numbers
    divide.
    """
    size, offset = layout.machine, layout.offset
    machine = {*range(size), *range(offset, offset + size)}
    owner: dict[int, int] = {}
    contexts: dict[int, int] = {}
    for slot in range(layout.slots):
        affinity = layout.affinity(slot)
        cpus = cpus_of(affinity)
        if not cpus:
            yield (
                f"run slot {slot} would have no CPU with n_socket={layout.skt} and"
                f" n_cpu_core={layout.cpu}"
            )
        if len(set(cpus)) < len(cpus):
            yield f"run slot {slot} would have a CPU twice"
        outside = set(cpus) - machine
        if outside:
            yield f"run slot {slot} would have CPU {max(outside)}, but the machine has {size} cores"
        for core in {cpu if cpu < size else cpu - offset for cpu in cpus}:
            if owner.setdefault(core, slot) != slot:
                yield f"run slots {owner[core]} and {slot} would share core {core}"
        for gpu in gpus_of(affinity):
            contexts[gpu] = contexts.get(gpu, 0) + 1
            if gpu >= layout.gpu or contexts[gpu] > layout.cxg:
                yield (
                    f"run slot {slot} would have GPU {gpu}, which is another's or none of"
                    f" n_gpu={layout.gpu}"
                )


def _remedy(layout: Layout) -> str:
    """Return `; n_socket=1 would do` for the first change of one number that gives a sound
    layout.
    """
    stated = replace(layout, hto=layout.offset)
    changes: list[dict[str, Any]] = [
        {"skt": 1},
        {"cpw": 1},
        {"hto": layout.cpu},
        {"res": layout.ass},
        {"sgr": 0},
        {"oss": 0},
    ]
    changes += [{"cxg": 1}, {"gpr": 1}, {"cpr": 1}, {"ass": 0}]
    changes += [{"cpu": n} for n in range(layout.cpu - 1, max(0, layout.cpu - 17), -1)]
    changes += [{"cpu": n} for n in range(layout.cpu + 1, layout.cpu + 17)]
    for change in changes:
        ((name, value),) = change.items()
        if getattr(layout, name) != value and _fault(replace(stated, **change)) is None:
            argument = bool(value) if name in FLAGS else value
            return f"; {ARGUMENTS[name]}={argument} would do"
    return "; make n_cpu_core a multiple of the runs, and try n_socket=1 and hyperthread_offset=0"
