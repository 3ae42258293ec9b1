"""Finding GPUs: drivers that answer as real machines did, fail, hang, or are not there; and who may
use which.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

import runslot
from runslot.hardware.busy import without_busy
from runslot.hardware.lease import Leases
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve
from runslot.hardware.topology import Gpu
from runslot.hardware.visibility import slot_affinity, slot_environment, visible_amd, visible_nvidia

DATA = Path(__file__).parents[2] / "data/gpus"
ASK = """
import dataclasses, json, sys
from pathlib import Path
from runslot.hardware.gpus import find_gpus
from runslot.hardware.probe import pci_locality
root, silence = Path(sys.argv[1]), float(sys.argv[2])
gpus, notes = find_gpus(lambda address: pci_locality(address, root), silence=silence)
print(json.dumps([[dataclasses.asdict(gpu) for gpu in gpus], notes]))
"""


def ask(
    root: Path, silence: float = 20.0, flags: tuple[str, ...] = (), **environment: str
) -> tuple[list[Gpu], list[str]]:
    """Return what `find_gpus` finds in a process with the given environment."""
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_VISIBLE_DEVICES")}
    done = subprocess.run(
        [sys.executable, *flags, "-c", ASK, str(root), str(silence)],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    gpus, notes = json.loads(done.stdout)
    return [Gpu.from_json(gpu) for gpu in gpus], notes


def driver_text(name: str) -> str:
    """Return what the fake driver reads, from what `nvidia-smi -q -x` printed on a real machine."""
    file = DATA / f"nvidia-smi-q-x/{name}"
    text = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
    lines = []
    for gpu in ET.fromstring(re.sub(rb"<!DOCTYPE[^>]*>", b"", text)).iter("gpu"):
        mode = gpu.findtext("mig_mode/current_mig", "N/A")
        total = gpu.findtext("fb_memory_usage/total", "0")
        state = "lost" if "lost" in total else "ok"
        uuid = gpu.findtext("uuid") or f"GPU-{gpu.get('id')}"
        mig = {"Enabled": 1, "Disabled": 0}.get(mode, -1)
        lines.append(
            f"gpu {uuid} {mebibytes(total)} {gpu.get('id')} {mig} {state}"
            f" {gpu.findtext('product_name')}"
        )
        for device in gpu.iter("mig_device"):
            memory = mebibytes(device.findtext("fb_memory_usage/total"))
            lines.append(
                f"mig MIG-{uuid[4:]}-{device.findtext('index')} {memory}"
                f" {gpu.findtext('product_name')} MIG"
            )
        for process in gpu.iter("process_info"):
            used = mebibytes(process.findtext("used_memory"))
            for kind in process.findtext("type").split("+"):
                lines.append(
                    f"process {kind} {process.findtext('pid')} {used}"
                    f" {process.findtext('process_name')}"
                )
    return "\n".join(lines) + "\n"


def mebibytes(text: str) -> int:
    number = text.split(maxsplit=1)[0]
    return int(number) << 20 if number.isdigit() else 0


def links_text(name: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the links of `nvidia-smi topo -m`, and of each GPU its CPUs and NUMA node."""
    levels = {"PIX": 10, "PXB": 20, "PHB": 30, "NODE": 40, "SYS": 50}
    lines, beside = [], []
    for row in (DATA / f"nvidia-smi-topo-m/{name}").read_text().splitlines():
        words = row.split()
        if (
            re.match(r"GPU\d+\s+(X|NV|SYS|NODE|P)", row.strip())
            and "GPU1 " not in row.replace("\t", " ")[8:]
        ):
            i = int(words[0][3:])
            for j, word in enumerate(words[1:]):
                if word in levels or re.fullmatch(r"NV\d+", word):
                    lines.append(
                        f"link {i} {j} {int(word.startswith('NV'))} {levels.get(word, 50)}"
                    )
            cpus, *node = [word for word in words[1:] if re.fullmatch(r"[\d,-]+", word)]
            beside.append((cpus, node[0] if node else "-1"))
    return "\n".join(line for line in lines if int(line.split()[2]) < len(beside)) + "\n", beside


def nvidia(tmp_path: Path, library: Path, text: str) -> dict[str, str]:
    (tmp_path / "driver.txt").write_text(text)
    return {"FAKE_NVML": str(tmp_path / "driver.txt"), "LD_LIBRARY_PATH": str(library)}


def test_a_node_of_eight(library, tmp_path):
    gpus, notes = ask(tmp_path, **nvidia(tmp_path, library, driver_text("h100.xml.xz")))
    assert notes == []
    assert [gpu.index for gpu in gpus] == list(range(8))
    assert {gpu.name for gpu in gpus} == {"NVIDIA H100 80GB HBM3"}
    assert {gpu.memory for gpu in gpus} == {81559 << 20}
    assert len({gpu.uuid for gpu in gpus}) == len({gpu.pci for gpu in gpus}) == 8
    assert all(re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:00\.0", gpu.pci) for gpu in gpus)
    assert [gpu.visible for gpu in gpus] == list("01234567")


@pytest.mark.parametrize("name", sorted(p.name for p in (DATA / "nvidia-smi-q-x").iterdir()))
def test_every_machine_is_read(name, library, tmp_path):
    text = driver_text(name)
    gpus, notes = ask(tmp_path, **nvidia(tmp_path, library, text))
    lost = text.count(" lost ")
    assert len(gpus) == (text.count("mig MIG-") or text.count("gpu GPU-") - lost)
    assert len(notes) == lost


def test_the_fake_driver_answers_as_the_real_one_did_on_the_machine_of_its_capture(
    library, tmp_path
):
    """What NVML said there stands beside what `nvidia-smi` said there."""
    lines = (DATA / "nvml/h100-one-in-a-vm.jsonl").read_text().splitlines()
    (said,) = [json.loads(line)["gpu"] for line in lines if '"gpu"' in line]
    where = tmp_path / "sys/bus/pci/devices/0000:00:06.0"
    where.mkdir(parents=True)
    (where / "numa_node").write_text("-1")
    (where / "local_cpulist").write_text("0-15")
    settings = nvidia(tmp_path, library, driver_text("h100-one-in-a-vm.xml"))
    (gpu,), notes = ask(tmp_path, **settings)
    assert notes == []
    assert (gpu.index, gpu.uuid, gpu.name) == (said["index"], said["uuid"], said["name"])
    assert (gpu.memory, gpu.mig, gpu.processes) == (said["memory"], None, ())
    assert (gpu.pci, gpu.numa, gpu.pus) == ("0000:00:06.0", (), tuple(range(16)))


def test_mig_devices_are_named_by_uuid(library, tmp_path):
    text = driver_text("a100-mig.xml")
    gpus, _ = ask(tmp_path, **nvidia(tmp_path, library, text))
    assert [gpu.mig for gpu in gpus] == list(range(text.count("mig MIG-")))
    assert all(
        gpu.visible == gpu.uuid and gpu.uuid.startswith("MIG-") and gpu.index == 0 for gpu in gpus
    )
    assert gpus[0].label == "GPU 0 MIG 0"
    named, _ = ask(tmp_path, **nvidia(tmp_path, library, text), CUDA_VISIBLE_DEVICES=gpus[1].uuid)
    assert named == [gpus[1]]


def test_a_gpu_in_mig_mode_without_devices_is_noted(library, tmp_path):
    text = "gpu GPU-a 1000 00000000:01:00.0 1 ok A100\ngpu GPU-b 1000 00000000:02:00.0 0 ok A100\n"
    gpus, notes = ask(tmp_path, **nvidia(tmp_path, library, text))
    assert [gpu.visible for gpu in gpus] == ["GPU-b"]
    assert notes == ["GPU 0 is in MIG mode but has no MIG device: it is left out"]


def test_a_lost_gpu_leaves_the_others(library, tmp_path):
    gpus, notes = ask(tmp_path, **nvidia(tmp_path, library, driver_text("gb200-one-lost.xml")))
    assert [gpu.index for gpu in gpus] == [0]
    assert notes == ["GPU 1 is left out: NVML says GPU is lost"]


def test_a_gpu_that_hangs_leaves_the_others(library, tmp_path):
    text = driver_text("h100.xml.xz").splitlines()
    text[2] = text[2].replace(" ok ", " hang ")
    gpus, notes = ask(tmp_path, 3.0, **nvidia(tmp_path, library, "\n".join(text) + "\n"))
    assert [gpu.index for gpu in gpus] == [0, 1, 3, 4, 5, 6, 7]
    assert len(notes) == 1
    assert notes[0].startswith("GPU 2 did not answer")


def test_a_driver_that_hangs_or_fails_is_noted(library, tmp_path):
    gpus, notes = ask(tmp_path, 1.0, **nvidia(tmp_path, library, "init hang\n"))
    assert gpus == []
    assert "did not answer" in notes[0]
    gpus, notes = ask(tmp_path, **nvidia(tmp_path, library, "init 9\n"))
    assert gpus == []
    assert notes == ["NVIDIA GPUs are left out: NVML says Driver Not Loaded"]


def test_a_process_without_site_packages_finds_gpus_too(library, tmp_path):
    """So a task of commands begins, whose node's Python alone may have nvidia-ml-py."""
    package = Path(runslot.__file__).parents[1]
    (tmp_path / "path").mkdir()
    (tmp_path / "path/runslot").symlink_to(package / "runslot")
    driver = nvidia(tmp_path, library, "gpu GPU-1 1000 00000000:01:00.0 0 ok A100\n")
    gpus, _ = ask(tmp_path, flags=("-S",), PYTHONPATH=str(tmp_path / "path"), **driver)
    assert [gpu.uuid for gpu in gpus] == ["GPU-1"]


def test_an_asker_that_is_stuck_as_it_ends_is_a_driver_that_does_not_answer(tmp_path):
    (tmp_path / "pynvml.py").write_text("import os, time\nos.close(1)\ntime.sleep(600)\n")
    gpus, notes = ask(tmp_path, 1.0, PYTHONPATH=str(tmp_path))
    assert gpus == []
    assert "did not answer" in notes[0]


@pytest.mark.parametrize(
    "name", ["4gpu-reversed-numa.txt", "8gpu-nvswitch-10nic.txt", "4gpu-nvlink-partly.txt"]
)
def test_gpus_know_what_is_beside_them_and_how_they_are_linked(name, library, tmp_path):
    links, beside = links_text(name)
    text = (
        "".join(
            f"gpu GPU-{i} 1000 00000000:{i + 1:02X}:00.0 0 ok A100\n" for i in range(len(beside))
        )
        + links
    )
    for i, (cpus, node) in enumerate(beside):
        where = tmp_path / f"sys/bus/pci/devices/0000:{i + 1:02x}:00.0"
        where.mkdir(parents=True)
        (where / "local_cpulist").write_text(cpus)
        (where / "numa_node").write_text(node)
    gpus, _ = ask(tmp_path, **nvidia(tmp_path, library, text))
    for gpu, (cpus, node) in zip(gpus, beside, strict=True):
        low, high = map(int, cpus.split(",")[0].split("-"))
        assert set(range(low, high + 1)) <= set(gpu.pus)
        assert gpu.numa == (() if node == "-1" else (int(node),))
    near = {gpu.index: {uuid for uuid, far in gpu.links if far == 1} for gpu in gpus}
    if name == "4gpu-nvlink-partly.txt":
        assert near == {0: {"GPU-1"}, 1: {"GPU-0"}, 2: {"GPU-3"}, 3: {"GPU-2"}}
    else:
        assert all(len(uuids) == len(gpus) - 1 for uuids in near.values())


def test_given_some_gpus_runs_get_those(library, tmp_path, machine):
    settings = nvidia(tmp_path, library, driver_text("h100.xml.xz"))
    gpus, _ = ask(tmp_path, **settings, CUDA_VISIBLE_DEVICES="4,5,6,7")
    slots = carve(replace(machine(cores=8), gpus=tuple(gpus)), Resources())
    environments = [slot_environment(slot, slot_affinity(slot)) for slot in slots]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == [
        "4",
        "5",
        "6",
        "7",
    ]
    assert {environment["CUDA_DEVICE_ORDER"] for environment in environments} == {"PCI_BUS_ID"}
    assert {
        json.loads(environment["RUNSLOT_AFFINITY"])["cuda_idx"] for environment in environments
    } == {0}


def test_no_driver_is_no_gpu_and_no_note(tmp_path):
    if Path("/proc/driver/nvidia").exists() or shutil.which("rocm-smi"):
        pytest.skip("this machine has a GPU driver")
    assert ask(tmp_path) == ([], [])


EIGHT = tuple(Gpu(i, f"GPU-{i:02}ab-{i}", visible=str(i)) for i in range(8))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("4,5,6,7", [4, 5, 6, 7]),
        ("7,0", [7, 0]),
        ("", []),
        ("-1", []),
        ("2,-1,3", [2]),
        ("NoDevFiles", []),
        (" 1 , 3", [1, 3]),
        ("3,3", [3]),
        ("GPU-05ab-5,gpu-02AB-2", [5, 2]),
        ("GPU-06", [6]),
        ("GPU-06,1,GPU-03ab-3", [6, 1, 3]),
    ],
)
def test_cuda_visible_devices(text, left):
    gpus, notes = visible_nvidia(EIGHT, {"CUDA_VISIBLE_DEVICES": text})
    assert [gpu.index for gpu in gpus] == left
    assert notes == ()


@pytest.mark.parametrize("text", ["1,9,2", "1,GPU-0,2", "1,MIG-x,2", "1,abc"])
def test_what_cuda_does_not_know_ends_the_list_and_is_noted(text):
    gpus, notes = visible_nvidia(EIGHT, {"CUDA_VISIBLE_DEVICES": text})
    assert [gpu.index for gpu in gpus] == [1]
    assert "CUDA_VISIBLE_DEVICES names" in notes[0]


def test_hip_counts_within_what_rocr_leaves():
    amd = tuple(replace(gpu, vendor="amd") for gpu in EIGHT)
    gpus, _ = visible_amd(amd, {"ROCR_VISIBLE_DEVICES": "4,5,6", "HIP_VISIBLE_DEVICES": "2,0"})
    assert [(gpu.index, gpu.visible) for gpu in gpus] == [(6, "2"), (4, "0")]
    gpus, _ = visible_amd(amd, {"CUDA_VISIBLE_DEVICES": "3"})
    assert [gpu.index for gpu in gpus] == [3]


def rocm(tmp_path: Path, script: str) -> dict[str, str]:
    program = tmp_path / "bin/rocm-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def test_amd(no_nvidia, tmp_path, machine):
    where = tmp_path / "sys/bus/pci/devices/0000:83:00.0"
    where.mkdir(parents=True)
    (where / "numa_node").write_text("1")
    (where / "local_cpulist").write_text("4-7")
    said = DATA / "rocm-smi/mi100_rocm602.json"
    script = f"echo WARNING: low power; cat {said}"
    gpus, notes = ask(tmp_path, **no_nvidia, **rocm(tmp_path, script))
    assert notes == []
    assert len(gpus) == len([key for key in json.loads(said.read_text()) if key.startswith("card")])
    assert (gpus[0].vendor, gpus[0].uuid, gpus[0].memory) == (
        "amd",
        "GPU-79ccd55167a2124a",
        34342961152,
    )
    assert (gpus[0].name, gpus[0].numa, gpus[0].pus) == (
        "Arcturus GL-XL [Instinct MI100]",
        (1,),
        (4, 5, 6, 7),
    )
    slot = carve(replace(machine(cores=8), gpus=tuple(gpus)), Resources())[1]
    environment = slot_environment(slot, slot_affinity(slot))
    assert environment["HIP_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in environment


def test_amd_without_unique_id_is_told_by_its_address(no_nvidia, tmp_path):
    script = f"cat {DATA}/rocm-smi/rx6700xt_rocm612.json"
    (gpu,), _ = ask(tmp_path, **no_nvidia, **rocm(tmp_path, script))
    assert gpu.uuid == "amd-0000:07:00.0"
    assert gpu.name == "Navi 22 [Radeon RX 6700/6700 XT / 6800M]"


@pytest.mark.parametrize(
    ("script", "silence", "note"),
    [("sleep 60", 1.0, "did not answer"), ("echo no", 20.0, "nothing that could be read")],
)
def test_a_broken_rocm_smi_is_noted(script, silence, note, no_nvidia, tmp_path):
    gpus, notes = ask(tmp_path, silence, **no_nvidia, **rocm(tmp_path, f"exec {script}"))
    assert gpus == []
    assert note in notes[0]


def test_a_workstation_with_a_browser_and_a_training_run(library, tmp_path, machine):
    gpus, _ = ask(
        tmp_path, **nvidia(tmp_path, library, driver_text("rtx4000ada-processes-v13.xml"))
    )
    kinds = {process.pid: (process.compute, process.graphics) for process in gpus[0].processes}
    assert kinds == {
        1842: (False, True),
        3190: (False, True),
        4937: (True, False),
        34626: (True, True),
    }
    left = without_busy(replace(machine(), gpus=tuple(gpus)), "gpus", Leases(tmp_path))
    assert "process 4937 (python)" in left.notes[0]
