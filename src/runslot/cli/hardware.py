"""`runslot hardware`: a picture of a machine, and how it would be cut into slots."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from runslot.cli.parameters import flag, value
from runslot.terminal_text import echo

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from runslot.hardware.slots import Slot
    from runslot.hardware.topology import Core, NumaNode, Topology

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
ROW = 32
"""Cores in a row of the picture."""
LISTED = 32
"""Slots that are written out."""


def hardware(
    json: Annotated[bool, flag("--json", help="Print the machine and the slots as JSON.")] = False,
    sysfs_root: Annotated[
        Path | None,
        value(
            metavar="DIR",
            help="Read the machine whose sys directory lies here, instead of this one.",
        ),
    ] = None,
    cpus_per_run: Annotated[int | None, value(metavar="N", help="Cores of each run.")] = None,
    gpus_per_run: Annotated[
        int | None, value(metavar="N", help="GPUs of each run; 0 for none.")
    ] = None,
    runs_per_gpu: Annotated[int, value(metavar="N", help="Runs that share a GPU.")] = 1,
    avoid_busy: Annotated[
        bool,
        flag("--avoid-busy", help="Leave out cores, too, that others keep busy without a lease."),
    ] = False,
) -> None:
    """Show this machine's packages, NUMA nodes, cores and GPUs, and the slots that runs would
    get.
    """
    from runslot.hardware.busy import without_busy
    from runslot.hardware.lease import Leases
    from runslot.hardware.probe import probe, read_topology
    from runslot.hardware.resources import Resources
    from runslot.hardware.slots import carve, describe_slots

    resources = Resources(
        cpus=cpus_per_run,
        gpus=gpus_per_run,
        runs_per_gpu=runs_per_gpu,
        avoid_busy="all" if avoid_busy else "gpus",
    )
    topology = probe() if sysfs_root is None else read_topology(sysfs_root)
    usable = (
        without_busy(topology, resources.avoid_busy, Leases()) if sysfs_root is None else topology
    )
    slots = carve(usable, resources)
    if json:
        echo(jsonlib.dumps({**topology.to_json(), "slots": [slot.to_json() for slot in slots]}))
        return

    from runslot.cli.render.console import console

    terminal = console()
    for part in _picture(topology, slots):
        terminal.print(part)
    for note in usable.notes:
        terminal.print(f"note: {note}", style="yellow", soft_wrap=True)
    terminal.print(describe_slots(usable, slots), soft_wrap=True)


def _picture(topology: Topology, slots: Sequence[Slot]) -> Iterable[RenderableType]:
    from rich.panel import Panel
    from rich.text import Text

    slot_of = {pu: slot.index for slot in slots for pu in slot.pus}
    for package in topology.packages:
        body = Text()
        for node in topology.numa_nodes:
            cores = [
                core
                for core in topology.cores
                if node.id in core.numa and core.pus[0] in package.pus
            ]
            if cores:
                body.append_text(_node(topology, node, cores, slot_of))
        loose = [core for core in topology.cores if not core.numa and core.pus[0] in package.pus]
        if loose:
            body.append_text(_cells(topology, loose, slot_of))
        title = "package" if package.id is None else f"package {package.id}"
        body.rstrip()
        yield Panel(body, title=f"{topology.host}: {title}", title_align="left", expand=False)
    for node in topology.numa_nodes:
        if not node.pus:
            yield f"node {node.id}: memory alone{_gigabytes(node.memory)}"
    for gpu in topology.gpus:
        where = f", beside node {', '.join(map(str, gpu.numa))}" if gpu.numa else ""
        yield Text(f"{gpu.label}: {gpu.name}{_gigabytes(gpu.memory)}{where}")
    yield Text("■ a core, coloured by slot   □ spare   · not allowed", style="dim")
    for slot in slots[:LISTED]:
        gpus = "".join(f", {gpu.label}" for gpu in slot.gpus)
        yield Text(
            f"slot {slot.index}: CPU{'s' * (len(slot.pus) > 1)} {_ranges(slot.pus)}{gpus}",
            style=_colour(slot.index),
        )
    if len(slots) > LISTED:
        yield f"… and {len(slots) - LISTED} slots more (--json lists all)"


def _node(topology: Topology, node: NumaNode, cores: list[Core], slot_of: dict[int, int]) -> Text:
    from rich.text import Text

    text = Text(
        f"node {node.id}{_gigabytes(node.memory)}, {len(cores)} cores, CPUs {_ranges(node.pus)}\n"
    )
    return text.append_text(_cells(topology, cores, slot_of))


def _cells(topology: Topology, cores: list[Core], slot_of: dict[int, int]) -> Text:
    from rich.text import Text

    allowed = set(topology.allowed)
    text = Text()
    for position, core in enumerate(cores):
        owners = [slot_of[pu] for pu in core.pus if pu in slot_of]
        cell = "■" if owners else "□" if allowed.intersection(core.pus) else "·"
        text.append(cell, style=_colour(owners[0]) if owners else "dim")
        if core.kind:
            text.append(core.kind.lower(), style="dim")
        text.append("\n" if position % ROW == ROW - 1 or position == len(cores) - 1 else " ")
    return text


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _gigabytes(size: int | None) -> str:
    return "" if not size else f", {size / 2**30:.0f} GiB"


def _ranges(pus: Sequence[int]) -> str:
    """Return `0-3,8` for the sorted numbers 0, 1, 2, 3, 8."""
    parts: list[list[int]] = []
    for pu in pus:
        if parts and pu == parts[-1][1] + 1:
            parts[-1][1] = pu
        else:
            parts.append([pu, pu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
