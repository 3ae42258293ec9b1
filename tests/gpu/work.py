"""What the runs of these tests do: work for a GPU through the CUDA driver alone, so that no framework
has to be installed.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path

CHUNK = 256 << 20


class Cuda:
    """A context on the first GPU that this process sees."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        count, device, context = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p()
        uuid = (ctypes.c_ubyte * 16)()
        self._call("cuInit", 0)
        self._call("cuDeviceGetCount", ctypes.byref(count))
        self.count = count.value
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDeviceGetUuid", uuid, device)
        text = bytes(uuid).hex()
        self.uuid = f"GPU-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        self._call("cuCtxCreate_v2", ctypes.byref(context), 0, device)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        assert status == 0, f"{name}: CUDA error {status}"

    def hold(self, size: int) -> ctypes.c_uint64:
        """Hold so many bytes."""
        memory = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(size))
        return memory

    def spin(self, memory: ctypes.c_uint64, size: int, until: float) -> None:
        """Keep the GPU busy."""
        while time.monotonic() < until:
            for _ in range(50):
                self._call(
                    "cuMemsetD8_v2", memory, ctypes.c_ubyte(7), ctypes.c_size_t(min(size, CHUNK))
                )
            self._call("cuCtxSynchronize")


def write(name: str, **values: object) -> None:
    """Leave JSON in the run's directory."""
    file = Path(os.environ["RUNSLOT_RUN"]) / name
    file.with_suffix(".new").write_text(json.dumps(values))
    file.with_suffix(".new").rename(file)


def see(variant: dict[str, object]) -> None:
    """Say which GPU this run sees."""
    cuda = Cuda()
    names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "EGL_DEVICE_ID")
    write("seen.json", count=cuda.count, uuid=cuda.uuid, **{n: os.environ.get(n) for n in names})


def hold(variant: dict[str, float]) -> None:
    """Hold memory in this process and in a child of another session, and compute for a while."""
    size = int(variant["gib"] * (1 << 30))
    cuda = Cuda()
    memory = cuda.hold(size)
    if variant.get("child"):
        subprocess.Popen([sys.executable, __file__], start_new_session=True)
    write("ready.json", pid=os.getpid(), uuid=cuda.uuid, began=time.time())
    cuda.spin(memory, size, time.monotonic() + variant["seconds"])


def is_cold() -> bool:
    """Whether this process is an interpreter of its own, not a fork of a template."""
    return b"start_cold" in Path("/proc/self/cmdline").read_bytes()


if __name__ == "__main__":
    if sys.argv[1:] == ["see"]:
        see({})
    else:
        cuda = Cuda()
        held = cuda.hold(1 << 30)
        write("child.json", pid=os.getpid())
        time.sleep(600)
