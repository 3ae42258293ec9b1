"""Ask the NVIDIA driver about its GPUs, one JSON line at a time: `python -m runslot.hardware.nvml
[SKIP…]`.

A program of its own, because the driver can hang for ever on a GPU that fell off the bus: `gpus`
reads the lines with a time limit, and starts again without the GPU at which they stopped (`SKIP`
are indices). Fields: NVML API reference.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main(skip: list[int]) -> None:
    """Print `awake`, then `begin` and `gpu` or `error` for each GPU, then its `links`, then `done`;
    or `failed` alone.
    """
    import pynvml as nvml

    _say(awake=True)
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        _say(failed=str(error))
        return
    handles = {}
    for index in range(count):
        if index in skip:
            continue
        _say(begin=index)
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            gpu = _gpu(nvml, index, handle)
        except nvml.NVMLError as error:
            _say(error=index, message=str(error))
        else:
            handles[index] = handle
            _say(gpu=gpu)
    for index, handle in handles.items():
        peers = {other: h for other, h in handles.items() if other != index}
        _say(links=index, to={other: _link(nvml, handle, h) for other, h in peers.items()})
    _say(done=True)


def _gpu(nvml: Any, index: int, handle: Any) -> dict[str, Any]:
    pci = _ask(nvml, "nvmlDeviceGetPciInfo", handle)
    gpu = {
        "index": index,
        "pci": _text(pci.busId) if pci is not None else "",
        **_device(nvml, handle),
    }
    mode = _ask(nvml, "nvmlDeviceGetMigMode", handle)
    if mode is not None and mode[0]:
        gpu["mig"] = _mig_devices(nvml, handle)
    return gpu


def _device(nvml: Any, handle: Any) -> dict[str, Any]:
    """Return what a GPU and a MIG device have in common; raises for one that is lost."""
    uuid = nvml.nvmlDeviceGetUUID(handle)
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    return {
        "uuid": _text(uuid),
        "name": _text(_ask(nvml, "nvmlDeviceGetName", handle) or ""),
        "memory": int(memory.total) if memory is not None else None,
        "processes": _processes(nvml, handle),
    }


def _mig_devices(nvml: Any, handle: Any) -> list[dict[str, Any]]:
    devices = []
    for number in range(_ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        device = _ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
        if device is not None:
            devices.append({"mig": number, **_device(nvml, device)})
    return devices


def _processes(nvml: Any, handle: Any) -> list[dict[str, Any]]:
    by_pid: dict[int, dict[str, Any]] = {}
    for kind in ("Compute", "Graphics"):
        for process in _ask(nvml, f"nvmlDeviceGet{kind}RunningProcesses", handle) or []:
            entry = by_pid.setdefault(
                process.pid, {"pid": process.pid, "memory": process.usedGpuMemory}
            )
            entry["name"] = _text(_ask(nvml, "nvmlSystemGetProcessName", process.pid) or "")
            entry |= {
                "compute": entry.get("compute", kind == "Compute"),
                "graphics": kind == "Graphics",
            }
    return list(by_pid.values())


def _link(nvml: Any, a: Any, b: Any) -> int | None:
    """Return 1 where NVLink joins two GPUs, else 2 to 7 by what lies between them (PCIe switch …
    other socket).
    """
    if (
        _ask(nvml, "nvmlDeviceGetP2PStatus", a, b, nvml.NVML_P2P_CAPS_INDEX_NVLINK)
        == nvml.NVML_P2P_STATUS_OK
    ):
        return 1
    level = _ask(nvml, "nvmlDeviceGetTopologyCommonAncestor", a, b)
    return None if level is None else 2 + level // 10


def _ask(nvml: Any, question: str, *about: Any) -> Any:
    """Return an answer that not every GPU, driver and pynvml gives, or None."""
    try:
        return getattr(nvml, question)(*about)
    except (nvml.NVMLError, AttributeError):
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
