"""rlpyt's affinity codes: made, read, and turned into the slots of a machine.

Names, arguments, fields and codes are rlpyt's (astooke/rlpyt, `utils/launching/affinity.py`). Pure,
but for `encode_affinity` and `quick_affinity_code`, which look at this machine for what they are
not told, and for `affinity_from_code`, which looks at the run that it is called in.
"""

from __future__ import annotations

import json
import operator
import os
from typing import Any

from runslot.errors import AffinityError, nearest
from runslot.hardware.allocation import AllowedCores, renumber
from runslot.hardware.layouts import (
    ARGUMENTS,
    FLAGS,
    Layout,
    check,
    cpus_of,
    gpus_of,
)
from runslot.hardware.slots import Slot
from runslot.hardware.topology import Core, Gpu, Topology
from runslot.hardware.visibility import Affinity

CODE_VARIABLE = "RUNSLOT_CODE_CPUS"
"""Of a run under an affinity code: the code, and the PUs that its CPUs are, where the numbers
differ.
"""


def encode_affinity(
    n_cpu_core: int = 1,
    n_gpu: int = 0,
    contexts_per_gpu: int = 1,
    gpu_per_run: int = 1,
    cpu_per_run: int = 1,
    cpu_per_worker: int = 1,
    cpu_reserved: int = 0,
    hyperthread_offset: int | None = None,
    n_socket: int | None = None,
    run_slot: int | None = None,
    async_sample: bool = False,
    sample_gpu_per_run: int = 0,
    optim_sample_share_gpu: bool = False,
    alternating: bool = False,
    set_affinity: bool = True,
) -> str:
    """Return rlpyt's code for a division of a machine among runs, `16cpu_2gpu_20hto_2skt` for
    example.

    `n_cpu_core` and `n_gpu` are what to use of the machine; `cpu_per_run` counts only without GPUs.
    The distance of a core's two CPUs (`hyperthread_offset`, 0 for one CPU a core) and the sockets
    are this machine's unless given. Raises `AffinityError`, which names an argument, where two runs
    would share a core or the numbers do not divide.
    """
    numbers: dict[str, Any] = {
        "cpu": n_cpu_core, "gpu": n_gpu, "cxg": contexts_per_gpu, "gpr": gpu_per_run,
        "cpr": cpu_per_run,
        "cpw": cpu_per_worker, "hto": hyperthread_offset, "skt": n_socket, "res": cpu_reserved,
        "ass": async_sample, "sgr": sample_gpu_per_run, "oss": optim_sample_share_gpu,
        "alt": alternating,
        "saf": set_affinity, "slt": run_slot,
    }  # fmt: skip
    for name, value in numbers.items():
        numbers[name] = _whole(name, value)
    if hyperthread_offset is None or n_socket is None:
        _fill_from_machine(numbers)
    code = _written(numbers)
    if run_slot is not None:
        affinity_from_code(prepend_run_slot(run_slot, code))
        return prepend_run_slot(run_slot, code)
    check(_layout(code))
    return code


def quick_affinity_code(
    n_parallel: int | None = None, use_gpu: bool = True, contexts_per_gpu: int = 1
) -> str:
    """Return a code that divides all of this machine evenly: by its GPUs, else among `n_parallel`
    runs.

    Raises `AffinityError` where there is neither a GPU to use nor an `n_parallel`.
    """
    from runslot.hardware.probe import probe

    topology = probe(gpus=use_gpu)
    cores, step = _countable(AllowedCores(topology).counted())
    gpus = len(topology.gpus)
    if n_parallel is not None and _whole("n_parallel", n_parallel) < 1:
        raise AffinityError(f"affinity: n_parallel is {n_parallel}, but the least is 1")
    if not gpus and n_parallel is None:
        reason = "no GPU was found" if use_gpu else "use_gpu is False"
        raise AffinityError(f"affinity: n_parallel must be given, because {reason}")
    gpus = min(gpus, n_parallel or gpus)
    runs = gpus * contexts_per_gpu or min(n_parallel or 1, cores // step)
    cores_per_run = cores // (runs * step) * step
    if not cores_per_run:
        raise AffinityError(
            f"affinity: {runs} runs on {gpus} GPUs have {cores} cores: lower contexts_per_gpu"
        )
    if gpus:
        return encode_affinity(
            n_cpu_core=cores_per_run * runs, n_gpu=gpus, contexts_per_gpu=contexts_per_gpu
        )
    return encode_affinity(n_cpu_core=cores_per_run * runs, cpu_per_run=cores_per_run)


def make_affinity(run_slot: int = 0, **kwargs: Any) -> Affinity:
    """Return the affinity of one run slot; the arguments are those of `encode_affinity`."""
    return affinity_from_code(encode_affinity(run_slot=run_slot, **kwargs))


def affinity_from_code(run_slot_affinity_code: str) -> Affinity:
    """Return the affinity of the run slot that the code begins with (`1slt_16cpu_2gpu`).

    In a run under that code, the CPUs are numbered as the machine's. Raises `AffinityError` for a
    code without a run slot, with one that the layout does not have, or that is unsound.
    """
    affinity = _affinity(run_slot_affinity_code)
    renumbered = json.loads(os.environ.get(CODE_VARIABLE, "{}"))
    if renumbered.get("code") != run_slot_affinity_code:
        return affinity
    return renumber(affinity, dict(zip(cpus_of(affinity), renumbered["cpus"], strict=True)))


def affinity_of_code(slot: Slot, code: str) -> Affinity:
    """Return the affinity of a slot of `slots_from_code`, in the machine's own numbers."""
    affinity = _affinity(prepend_run_slot(slot.index, code))
    return (
        renumber(affinity, dict(zip(cpus_of(affinity), slot.code_cpus, strict=True)))
        if slot.code_cpus
        else affinity
    )


def code_environment(slot: Slot, code: str) -> dict[str, str]:
    """Return what tells `affinity_from_code` in the slot's run which PUs the CPUs of its code
    are.
    """
    if not slot.code_cpus:
        return {}
    return {
        CODE_VARIABLE: json.dumps(
            {"code": prepend_run_slot(slot.index, code), "cpus": slot.code_cpus}
        )
    }


def _affinity(run_slot_affinity_code: str) -> Affinity:
    slot, code = remove_run_slot(run_slot_affinity_code)
    layout = _layout(code)
    check(layout)
    if slot >= layout.slots:
        raise AffinityError(
            f"affinity code {code!r} has run slots 0 to {layout.slots - 1}, not {slot}"
        )
    return layout.affinity(slot)


def prepend_run_slot(run_slot: int, affinity_code: str) -> str:
    """Return the code of one run slot: `1slt_16cpu_2gpu`."""
    return f"{run_slot}slt_{affinity_code}"


def remove_run_slot(run_slot_affinity_code: str) -> tuple[int, str]:
    """Return the run slot that a code begins with, and the rest of the code."""
    _refuse_no_text(run_slot_affinity_code)
    first, _, code = run_slot_affinity_code.partition("_")
    if not first.endswith("slt") or not first[:-3].isdecimal() or not code:
        raise AffinityError(
            f"affinity code {run_slot_affinity_code!r} does not begin with a run slot, as 0slt_…"
            " does: prepend_run_slot(0, code) adds one"
        )
    return int(first[:-3]), code


def _refuse_no_text(affinity_code: object) -> None:
    if not isinstance(affinity_code, str):
        kind = type(affinity_code).__name__
        raise AffinityError(f"an affinity code is a text, not a {kind}; encode_affinity() makes it")


def decode_affinity(affinity_code: str) -> dict[str, int]:
    """Return the numbers of a code under their abbreviations: `{"cpu": 16, "gpu": 2}`."""
    _refuse_no_text(affinity_code)
    numbers: dict[str, int] = {}
    for part in affinity_code.split("_"):
        number, name = part[:-3], part[-3:]
        if name not in ARGUMENTS:
            names = ", ".join(ARGUMENTS)
            raise AffinityError(
                f"affinity code {affinity_code!r}: {part!r} does not end in one of"
                f" {names}{nearest(name, ARGUMENTS)}"
            )
        if not number.isdecimal():
            raise AffinityError(
                f"affinity code {affinity_code!r}: {part!r} does not begin with a whole number"
            )
        if name in numbers:
            raise AffinityError(
                f"affinity code {affinity_code!r}: {ARGUMENTS[name]} ({name}) is there twice"
            )
        numbers[name] = int(number)
    return numbers


def get_n_run_slots(affinity_code: str) -> int:
    """Return how many runs execute at the same time under a code; raises `AffinityError` for an
    unsound one.
    """
    layout = _layout(affinity_code)
    check(layout)
    return layout.slots


def slots_from_code(affinity_code: str, topology: Topology) -> tuple[Slot, ...]:
    """Return the slots of a code on a machine, for leases; slot `i` runs under `prepend_run_slot(i,
    affinity_code)`.

    Core 0 of the code is the first core that this process may use.
    Raises `AffinityError` for CPUs or GPUs that this process does not have there.
    """
    layout = _layout(affinity_code)
    check(layout)
    allocation = AllowedCores(topology)
    layouts = [layout.affinity(i) for i in range(layout.slots)]
    core_of = {pu: core for core in topology.cores for pu in core.pus}
    users: dict[Core, int] = {}
    owned: list[list[Core]] = []
    pus_of: list[tuple[int, ...]] = []
    for affinity in layouts:
        try:
            pus_of.append(allocation.pus(cpus_of(affinity), layout.offset))
        except AffinityError as error:
            offset = hyperthread_offset(allocation.counted())
            raise AffinityError(
                f"affinity code {affinity_code!r} {error}: lower n_cpu_core, or set"
                f" hyperthread_offset to {offset}"
            ) from None
        cores = list(dict.fromkeys(core_of[pu] for pu in pus_of[-1]))
        owned.append(cores)
        for core in cores:
            users[core] = users.get(core, 0) + 1
    return tuple(
        Slot(
            host=topology.host,
            index=i,
            cores=tuple(cores),
            pus=tuple(sorted(pus)),
            gpus=_gpus_of_code(affinity_code, affinity, topology),
            runs_per_gpu=layout.cxg,
            shares_cores=any(users[core] > 1 for core in cores),
            code_cpus=() if pus == cpus_of(affinity) else pus,
        )
        for i, (affinity, cores, pus) in enumerate(zip(layouts, owned, pus_of, strict=True))
    )


def hyperthread_offset(topology: Topology) -> int:
    """Return the distance of the two CPUs of every core, 0 where cores have one CPU.

    Raises `AffinityError` where the kernel numbers the CPUs in a way that no offset describes.
    """
    pairs = {core.pus for core in topology.cores if len(core.pus) > 1}
    if not pairs:
        return 0
    distances = {pus[1] - pus[0] for pus in pairs}
    offset = min(distances)
    firsts = {pus[0] for pus in pairs}
    if (
        len(distances) > 1
        or any(len(pus) != 2 for pus in pairs)
        or firsts != set(range(offset))
        or offset != len(topology.cores)
    ):
        example = next(iter(sorted(pairs)))
        raise AffinityError(
            f"affinity codes cannot say how {topology.host} numbers the CPUs of a core"
            f" ({', '.join(map(str, example))} are one): ask with Resources(cpus=…) instead, or"
            " give hyperthread_offset=0 to take CPUs for cores"
        )
    return offset


def n_socket(topology: Topology) -> int:
    """Return how many sockets the kernel counts, as rlpyt takes them from `/proc/cpuinfo`."""
    return max(1, len({package.id for package in topology.packages if package.id is not None}))


def _fill_from_machine(numbers: dict[str, Any]) -> None:
    """Put in the offset and the sockets of this machine where they are not given.

    Where no offset describes the machine, CPUs are taken for cores, unless two runs would then
    share a core.
    """
    from runslot.hardware.probe import probe

    topology = AllowedCores(probe(gpus=False)).counted()
    has_offset, refusal = numbers["hto"] is not None, None
    if not has_offset:
        try:
            numbers["hto"] = hyperthread_offset(topology)
        except AffinityError as error:
            numbers["hto"], refusal = 0, error
    if numbers["skt"] is None:
        numbers["skt"] = 1 if refusal else n_socket(topology)
        try:
            check(_layout(_written(numbers)))
        except AffinityError:
            numbers["skt"] = 1  # the sockets do not divide among these runs
    if refusal is not None:
        layout = _layout(_written(numbers))
        check(layout)
        cores = [
            {_siblings(topology, cpu) for cpu in cpus_of(layout.affinity(i))}
            for i in range(layout.slots)
        ]
        if sum(map(len, cores)) > len(set().union(*cores)):
            raise refusal


def _siblings(topology: Topology, cpu: int) -> tuple[int, ...]:
    return next((core.pus for core in topology.cores if cpu in core.pus), (cpu,))


def _countable(topology: Topology) -> tuple[int, int]:
    """Return how many cores codes can count here, and how many of them make a physical core.

    A quota of CPU time leaves no use for more.
    """
    most = (
        len(topology.online)
        if topology.cpu_quota is None
        else max(1, int(topology.cpu_quota + 1e-6))
    )
    try:
        hyperthread_offset(topology)
    except AffinityError:  # CPUs are counted as cores
        step = max(len(core.pus) for core in topology.cores)
        return max(step, min(len(topology.online), most) // step * step), step
    return min(len(topology.cores), most), 1


def _gpus_of_code(code: str, affinity: Affinity, topology: Topology) -> tuple[Gpu, ...]:
    indices = gpus_of(affinity)
    if not topology.gpus:  # no driver that we can ask; the script's framework may still know one
        return ()
    if indices and max(indices) >= len(topology.gpus):
        raise AffinityError(
            f"affinity code {code!r} uses GPU {max(indices)}, but {topology.host} has"
            f" {len(topology.gpus)}: lower n_gpu"
        )
    return tuple(topology.gpus[i] for i in indices)


def _layout(code: str) -> Layout:
    numbers = decode_affinity(code)
    numbers.pop("slt", None)
    for name in ("cpu", *(() if numbers.get("gpu") else ("cpr",))):
        if name not in numbers:
            raise AffinityError(f"affinity code {code!r} lacks {ARGUMENTS[name]} ({name})")
    return Layout(**numbers)


def _written(numbers: dict[str, Any]) -> str:
    plain = {
        "cxg": 1,
        "gpr": 1,
        "cpw": 1,
        "hto": numbers["cpu"],
        "skt": 1,
        "res": 0,
        "ass": 0,
        "sgr": 0,
        "oss": 0,
        "alt": 0,
        "saf": 1,
    }
    parts = [f"{numbers['cpu']}cpu", f"{numbers['gpu']}gpu"]
    for name in (
        "cxg",
        "gpr",
        "cpr",
        "cpw",
        "hto",
        "skt",
        "res",
        "ass",
        "sgr",
        "oss",
        "alt",
        "saf",
    ):
        if name == "cpr":
            parts += [f"{numbers['cpr']}cpr"] if numbers["gpu"] == 0 else []
        elif numbers[name] != plain[name]:
            parts.append(f"{numbers[name]}{name}")
    return "_".join(parts)


def _whole(name: str, value: Any) -> Any:
    """Return an argument as an int, so that numpy's numbers do as well."""
    if name in FLAGS:
        return int(bool(value))
    if value is None and name in ("hto", "skt", "slt"):
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise AffinityError(
            f"affinity: {ARGUMENTS.get(name, name)} must be a whole number, not {value!r}"
        )
    number = operator.index(value)
    if number < 0:
        raise AffinityError(
            f"affinity: {ARGUMENTS.get(name, name)} is {number}, but the least is 0"
        )
    return number
