"""Files of the kernel: numbers, lists and masks of CPUs, and which CPUs lie beside a device.

Read by `probe` for the topology and by `gpus` for where a GPU is. A file that cannot be read says
nothing: kernels, containers and captures of other machines lack many.
"""

# Plain strings for paths: pathlib would cost more than the system calls.
# ruff: noqa: PTH123, PTH208

from __future__ import annotations

import os
from pathlib import Path


def pci_locality(address: str, root: Path = Path("/")) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the NUMA nodes and the PUs beside a PCI device (`0000:3b:00.0`); empty where the
    kernel does not know.
    """
    where = f"{root}/sys/bus/pci/devices/{address.lower()}"
    node = number(f"{where}/numa_node")
    pus = mask_or_list(f"{where}/local_cpulist", f"{where}/local_cpus")
    return (() if node is None or node < 0 else (node,)), tuple(sorted(pus))


def number(path: str) -> int | None:
    """Return the whole number in a file; None where there is none."""
    text = read(path)
    return int(text) if text.lstrip("-").isdigit() else None


def mask_or_list(list_file: str, mask_file: str) -> set[int]:
    """Return the numbers that a list names, or the mask of an older kernel."""
    text = read(list_file)
    return set(parse_list(text)) if text else set(parse_mask(read(mask_file)))


def parse_list(text: str) -> list[int]:
    """Return the numbers of a kernel list such as `0-3,8,10-11`."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        if part:
            low, _, high = part.partition("-")
            numbers.extend(range(int(low), int(high or low) + 1))
    return numbers


def parse_mask(text: str) -> list[int]:
    """Return the set bits of a kernel mask such as `00000000,0000ffff`."""
    bits = int(text.replace(",", "") or "0", 16)
    return [i for i in range(bits.bit_length()) if bits >> i & 1]


def read(path: str) -> str:
    """Return the text of a kernel's file, or an empty string where it cannot be read."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def numbered(directory: str, prefix: str) -> list[int]:
    """Return the numbers behind a prefix among the names of a directory: `cpu0`, `cpu1`, …"""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(
        int(n[len(prefix) :]) for n in names if n.startswith(prefix) and n[len(prefix) :].isdigit()
    )
