"""What `runslot launchers check` tries on an ssh host."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runslot.engines.protocol import Finding
from runslot.engines.ssh.probe import LEAST_PYTHON, MOST_SKEW, Probe, no_rsync, obstacle, probe
from runslot.transport.ssh import Host, HostError, last_line
from runslot.transport.zipapp import one_file

_HARDWARE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from runslot.hardware.probe import probe
found = probe()
gpus = [gpu.name or gpu.label for gpu in found.gpus]
print(json.dumps([len(found.cores), gpus, list(found.notes)]))
"""


def check_host(host: Host, python: str, root: str) -> Iterator[Finding]:
    """Yield what is well and what is not; the first thing without which nothing further can be
    tried ends it.
    """
    name = host.name
    try:
        host.connect()
    except HostError as error:
        yield Finding(f"login {name}", False, f"`{error.command}` failed", error.reason)
        return
    yield Finding(f"login {name}", True)
    try:
        found = probe(host, python, root)
    except HostError as error:
        yield Finding(f"Python {name}", False, f"`{error.command}` failed", error.reason)
        return
    version = ".".join(map(str, found.python))
    new_enough = found.python[:2] >= LEAST_PYTHON
    wrong = obstacle(found, python, None)
    yield Finding(
        f"Python {name}",
        new_enough,
        f"{version}, {found.executable}",
        "" if new_enough or wrong is None else wrong,
    )
    yield from _of_probe(name, found, wrong if new_enough else None)
    if wrong is None:
        yield from _transfer_and_hardware(host, python, found)


def _of_probe(name: str, found: Probe, wrong: str | None) -> Iterator[Finding]:
    rsync = no_rsync(found)
    version = "none" if found.rsync is None else ".".join(map(str, found.rsync))
    yield Finding(f"rsync {name}", rsync is None, version, rsync or "")
    disk = wrong if wrong is not None and wrong != rsync else None
    free = "unknown" if found.free is None else f"{found.free / 1e9:.1f} GB free"
    yield Finding(f"disk {name}", disk is None, f"{free} at {found.root}", disk or "")
    well = abs(found.skew) <= MOST_SKEW
    ahead = "ahead of" if found.skew > 0 else "behind"
    said = "agrees with this one's" if well else f"{abs(found.skew):.1f} s {ahead} this one's"
    yield Finding(
        f"clock {name}",
        well,
        said,
        "" if well else "switch on its time synchronisation (chrony, timesyncd)",
    )
    if found.kills:
        fix = (
            "runs would end with the connection: `loginctl enable-linger` there, or"
            " KillUserProcesses=no"
        )
        yield Finding(
            f"logins {name}", False, "systemd ends a user's processes with the last login", fix
        )


def _transfer_and_hardware(host: Host, python: str, found: Probe) -> Iterator[Finding]:
    """Bring runslot there, as a launch does, and have it look at the machine."""
    with tempfile.TemporaryDirectory() as directory:
        archive = one_file(Path(directory))
        try:
            host.push(archive.parent, found.root, [archive.name])
        except HostError as error:
            yield Finding(f"transfer {host.name}", False, f"`{error.command}` failed", error.reason)
            return
        yield Finding(
            f"transfer {host.name}", True, f"{archive.stat().st_size / 1e6:.1f} MB brought by rsync"
        )
        there = f"{found.root}/{archive.name}"
        done = host.run([python, "-", there], _HARDWARE.encode())
        host.run(["rm", "-f", there])
    if done.returncode != 0:
        yield Finding(
            f"hardware {host.name}", False, last_line(done.stderr), "say so in a bug report"
        )
        return
    cores, gpus, notes = json.loads(last_line(done.stdout))
    listed = ", ".join(gpus) if gpus else "no GPUs"
    yield Finding(
        f"hardware {host.name}",
        not notes,
        "; ".join([f"{cores} cores", listed, *notes]),
        "; ".join(notes),
    )
