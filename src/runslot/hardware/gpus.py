"""Find the GPUs of this machine: NVIDIA's through NVML, AMD's through `rocm-smi`; only those that
this process may use.

Both are asked in a child process with a time limit. A driver that is missing, hangs or fails on one
GPU leaves the others usable, and a note says which.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runslot.hardware.topology import Gpu, GpuProcess
from runslot.hardware.visibility import visible_amd, visible_nvidia

SILENCE = 10.0
"""Seconds for which a driver may say nothing; waking 8 GPUs without persistence mode takes a
few.
"""
_AWAKE_S = 60.0
"""Seconds that the child may take to start: on a busy machine, or from a slow disk, that says
nothing of the driver.
"""


Locality = Callable[[str], tuple[tuple[int, ...], tuple[int, ...]]]
"""The NUMA nodes and the PUs beside a PCI device, by its address."""


def find_gpus(
    locality: Locality, *, silence: float = SILENCE
) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """Return the GPUs that this process may use, and notes on those that cannot be.

    The caller's `CUDA_VISIBLE_DEVICES` (or `HIP_` and `ROCR_VISIBLE_DEVICES`) is respected in its
    order. What lies beside a GPU, `locality` says (`probe.pci_locality`). A driver that says
    nothing for `silence` seconds is given up.
    """
    nvidia, notes = _nvidia(locality, silence)
    nvidia, hidden = visible_nvidia(nvidia, os.environ)
    amd, amd_notes = _amd(locality, silence)
    amd, amd_hidden = visible_amd(amd, os.environ)
    return nvidia + amd, (*notes, *hidden, *amd_notes, *amd_hidden)


def _nvidia(locality: Locality, silence: float) -> tuple[tuple[Gpu, ...], list[str]]:
    if sys.flags.no_site:  # a task of commands starts without site packages, to start soon
        import site

        site.main()
    spec = importlib.util.find_spec("pynvml")
    if not _has_driver(spec.origin if spec else None):
        return (), []
    if spec is None:
        return (), [
            "there is an NVIDIA driver, but nvidia-ml-py is missing: pip install nvidia-ml-py shows"
            " its GPUs"
        ]
    notes: list[str] = []
    skip: list[int] = []
    while True:
        answers = _Answers()
        if _ask_driver(skip, answers, silence):
            break
        if answers.current_gpu is None or answers.current_gpu in skip:
            return (), [
                *notes,
                f"the NVIDIA driver did not answer within {silence:.0f} s: its GPUs are left out",
            ]
        notes.append(
            f"GPU {answers.current_gpu} did not answer within {silence:.0f} s and is left out: is"
            " it off the bus?"
        )
        skip.append(answers.current_gpu)
    gpus: list[Gpu] = []
    for answer in answers.gpus:
        gpus += _nvidia_gpus(answer, answers, locality)
        if answer.get("mig") == []:
            answers.notes.append(
                f"GPU {answer['index']} is in MIG mode but has no MIG device: it is left out"
            )
    return tuple(gpus), notes + answers.notes


def _has_driver(pynvml: str | None) -> bool:
    if pynvml is not None and "-packages" not in pynvml and ".pyz" not in pynvml:
        return True  # the caller's own module (PYTHONPATH) knows best where the driver is
    if Path("/proc/driver/nvidia").exists():
        return True
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


@dataclass
class _Answers:
    gpus: list[dict[str, Any]] = field(default_factory=list)
    links: dict[int, dict[str, int | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    current_gpu: int | None = None

    def add(self, line: dict[str, Any]) -> bool:
        """Take one line of the driver's; true for the last one."""
        if "begin" in line:
            self.current_gpu = line["begin"]
        elif "gpu" in line:
            self.gpus.append(line["gpu"])
        elif "error" in line:
            self.notes.append(f"GPU {line['error']} is left out: NVML says {line['message']}")
        elif "links" in line:
            self.links[line["links"]] = line["to"]
        elif "failed" in line:
            self.notes.append(f"NVIDIA GPUs are left out: NVML says {line['failed']}")
        return "done" in line or "failed" in line


def _ask_driver(skip: list[int], answers: _Answers, silence: float) -> bool:
    """Fill `answers` from `hardware.nvml` in a child; false where it fell silent, and then it is
    killed.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "runslot.hardware.nvml", *map(str, skip)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        for line in _lines(child, silence):
            if answers.add(json.loads(line)):
                return True
        if child.poll() is not None and answers.current_gpu is None:
            answers.notes.append(
                f"NVIDIA GPUs are left out: asking the driver failed with status {child.returncode}"
            )
            return True
        return False
    finally:
        child.kill()
        assert child.stdout is not None
        child.stdout.close()
        try:
            child.wait(1)
        except subprocess.TimeoutExpired:
            pass  # stuck inside the driver, where no signal reaches it


def _lines(child: subprocess.Popen[bytes], silence: float) -> Iterator[bytes]:
    """Yield the lines of `child` until it ends or says nothing for `silence` seconds, counted from
    its first line.
    """
    assert child.stdout is not None
    pending, patience = b"", max(silence, _AWAKE_S)
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while selector.select(patience):
            patience = silence
            chunk = os.read(child.stdout.fileno(), 1 << 16)
            if not chunk:
                # one that is stuck in the driver as it ends has closed its output already
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(silence)
                return
            *lines, pending = (pending + chunk).split(b"\n")
            yield from lines


def _nvidia_gpus(answer: dict[str, Any], answers: _Answers, locality: Locality) -> list[Gpu]:
    """Return the GPU of one answer, or its MIG devices."""
    pci = _pci_address(answer["pci"])
    numa, pus = locality(pci) if pci else ((), ())
    uuids = {gpu["index"]: gpu["uuid"] for gpu in answers.gpus}
    links = answers.links.get(answer["index"], {})
    mixed = any(
        "mig" in gpu for gpu in answers.gpus
    )  # indices count differently beside MIG devices
    return [
        Gpu(
            index=answer["index"],
            uuid=device["uuid"],
            name=device["name"] or answer["name"],
            memory=device["memory"],
            pci=pci or None,
            numa=numa,
            pus=pus,
            visible=device["uuid"] if mixed else str(answer["index"]),
            mig=device.get("mig") if device is not answer else None,
            processes=tuple(GpuProcess(**process) for process in device["processes"]),
            links=tuple(
                (uuids[int(other)], far) for other, far in links.items() if far is not None
            ),
        )
        for device in answer.get("mig", [answer])
    ]


def _pci_address(bus_id: str) -> str:
    """Return `00000000:3B:00.0`, as NVML writes it, in sysfs's form `0000:3b:00.0`."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}" if rest else ""


def _amd(locality: Locality, silence: float) -> tuple[tuple[Gpu, ...], list[str]]:
    program = shutil.which("rocm-smi")
    if program is None:
        return (), []
    options = [
        "--showproductname",
        "--showuniqueid",
        "--showbus",
        "--showmeminfo",
        "vram",
        "--showtopotype",
    ]
    try:
        answer = subprocess.run(
            [program, *options, "--json"],
            capture_output=True,
            timeout=silence,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        text = answer.stdout.decode(errors="replace")
        cards = json.loads(text[text.index("{") :])
    except subprocess.TimeoutExpired:
        return (), [f"rocm-smi did not answer within {silence:.0f} s: AMD GPUs are left out"]
    except (OSError, ValueError) as error:
        return (), [f"AMD GPUs are left out: rocm-smi said nothing that could be read ({error})"]
    return _amd_gpus(cards, locality), []


def _amd_gpus(cards: dict[str, dict[str, str]], locality: Locality) -> tuple[Gpu, ...]:
    numbers = sorted(
        int(name[4:]) for name in cards if name.startswith("card") and name[4:].isdigit()
    )
    lower = {n: {key.lower(): value for key, value in cards[f"card{n}"].items()} for n in numbers}
    uuids = {n: _amd_uuid(lower[n]) for n in numbers}
    gpus = []
    for position, number in enumerate(numbers):
        card = lower[number]
        pci = card.get("pci bus", "").lower()
        numa, pus = locality(pci) if pci else ((), ())
        memory = card.get("vram total memory (b)", "")
        names = ("card series", "device name", "card model", "device id")
        gpus.append(
            Gpu(
                index=position,
                uuid=uuids[number],
                name=next((card[key] for key in names if card.get(key, "N/A") != "N/A"), ""),
                memory=int(memory) if memory.isdigit() else None,
                pci=pci or None,
                numa=numa,
                pus=pus,
                vendor="amd",
                visible=str(position),
                links=_amd_links(cards.get("system", {}), number, uuids),
            )
        )
    return tuple(gpus)


def _amd_uuid(card: dict[str, str]) -> str:
    unique = card.get("unique id", "N/A")
    return (
        f"GPU-{unique[2:]:0>16}"
        if unique.startswith("0x")
        else f"amd-{card.get('pci bus', '').lower()}"
    )


def _amd_links(
    system: dict[str, str], number: int, uuids: dict[int, str]
) -> tuple[tuple[str, int], ...]:
    links = []
    for other, uuid in uuids.items():
        low, high = min(number, other), max(number, other)
        kind = system.get(f"(Topology) Link type between DRM devices {low} and {high}")
        if kind is not None and other != number:
            links.append((uuid, 1 if kind == "XGMI" else 4))
    return tuple(links)
