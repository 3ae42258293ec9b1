"""What a host is asked once, before anything is brought there, and what of its answers stands in
the way.

What `runslot launchers check` tries on an ssh host.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runslot.engines.protocol import Finding
from runslot.record import record
from runslot.transport.messages import decode
from runslot.transport.ssh import Host, HostError, last_line
from runslot.transport.zipapp import one_file

LEAST_PYTHON = (3, 10)
_NEWEST_PYTHON = (3, 15)
"""Up to which interpreters are looked for by name, where the one that is named is not there."""
_NO_COMMAND = 127
"""A shell's exit code where there is no such program."""
_SEARCH_TIMEOUT_S = 10.0
LEAST_RSYNC = (3, 1)
LEAST_DISK = 20_000_000
"""Bytes without which a host is not used: one run's logs would fill it."""
MOST_SKEW = 5.0
"""Seconds by which a host's clock may differ before `check` speaks of it; nothing but the times
shown depends on it.
"""

LOOK_AROUND = r"""
import json, os, re, socket, subprocess, sys, time
root, place = sys.argv[-2:]
root = os.path.expanduser(root)
said = {"python": list(sys.version_info[:3]), "executable": sys.executable,
        "host": socket.gethostname(),
        "root": root, "time": time.time(), "free": None, "rsync": None, "problem": None}
try:
    if not os.path.isdir(root + place):
        os.makedirs(root + place)
    made = os.path.join(root, ".probe.%d" % os.getpid())
    with open(made, "w") as file:
        file.write("x" * 4096)
    os.unlink(made)
except (IOError, OSError) as error:
    said["problem"] = "%s: %s" % (root, error.strerror)
try:
    disk = os.statvfs(root)
    said["free"] = disk.f_bavail * disk.f_frsize
except OSError:
    pass
try:
    output = subprocess.Popen(["rsync", "--version"], stdout=subprocess.PIPE).communicate()[0]
    text = output.decode("ascii", "replace")
    found = re.search(r"version v?(\d+)\.(\d+)", text)
    said["rsync"] = [int(found.group(1)), int(found.group(2))] if found else [0, 0]
except OSError:
    pass
try:
    logind = open("/etc/systemd/logind.conf").read()
    said["kills"] = bool(re.search(r"(?m)^\s*KillUserProcesses\s*=\s*(yes|true|1|on)", logind))
except (IOError, OSError, UnicodeError):
    said["kills"] = False
place = root + place
"""
"""Sees what a host has, its last arguments the root and the directory below it; read by any Python
since 2.7, so that one that is too old can be named.
"""
_SAY = 'print("\\x01runslot " + json.dumps(said))\n'
"""As `transport.messages` marks what is no noise of a login shell."""


@record
class Probe:
    """What a host said of itself."""

    host: str
    """Its own name."""
    python: tuple[int, ...]
    executable: str
    root: str
    """Where runslot's files lie there: the absolute path, made where it was missing."""
    free: int | None
    """Bytes free below `root`."""
    rsync: tuple[int, ...] | None
    """Version; None where there is none."""
    skew: float
    """Seconds by which its clock is ahead of this machine's."""
    problem: str | None = None
    """Why nothing can be written below `root`."""
    kills: bool = False
    """It is set to end all of a user's processes when the last login ends."""


def probe(host: Host, python: str, root: str) -> Probe:
    """Ask a host, with its interpreter `python`, what it has; `HostError` where it cannot be
    asked.
    """
    command = [python, "-", root]
    before = time.time()
    process = host.run([*command, ""], f"{LOOK_AROUND}{_SAY}".encode())
    after = time.time()
    answers = [answer for line in process.stdout.splitlines() if (answer := decode(line))]
    if not answers:
        raise HostError(
            host.name,
            " ".join(command),
            no_python(host, python, process.returncode, last_line(process.stderr)),
        )
    return read(answers[-1], before, after)


def read(answer: Mapping[str, Any], before: float, after: float) -> Probe:
    """Return what was said, the clock compared with this machine's before and after the
    question.
    """
    ahead, behind = answer["time"] - after, answer["time"] - before
    skew = ahead if ahead > 0 else behind if behind < 0 else 0.0
    rsync = None if answer["rsync"] is None else tuple(answer["rsync"])
    return Probe(
        host=answer["host"],
        python=tuple(answer["python"]),
        executable=answer["executable"],
        root=answer["root"],
        free=answer["free"],
        rsync=rsync,
        skew=skew,
        problem=answer["problem"],
        kills=bool(answer.get("kills")),
    )


def no_python(host: Host, python: str, code: int, output: str) -> str:
    """Say that an interpreter did not start, and which other there is."""
    least = ".".join(map(str, LEAST_PYTHON))
    problem = f"{python} did not start (exit code {code}{': ' + output if output else ''})"
    other = _other_python(host) if code == _NO_COMMAND and "/" not in python else ""
    if other:
        return f'{problem}, and {other} is there: name it with `python = "{other}"`'
    return f"{problem}; install Python {least} or newer there, or name one with `python`"


def _other_python(host: Host) -> str:
    """Return the newest interpreter that will do among those that are found by name; empty where
    there is none.
    """
    minors = range(_NEWEST_PYTHON[1], LEAST_PYTHON[1] - 1, -1)
    names = " ".join(f"python3.{minor}" for minor in minors)
    search = f"for name in {names}; do command -v $name; done"
    try:
        output = host.run(["sh", "-c", search], timeout=_SEARCH_TIMEOUT_S).stdout
    except HostError:
        return ""
    names_there = re.findall(r"(?m)^/.*/(python3\.\d+)$", output.decode(errors="replace"))
    return next(iter(names_there), "")


def obstacle(probed: Probe, python: str, by_value: str | None) -> str | None:
    """Return why runs cannot execute there, and what to change; None where they can.

    `by_value` is the version, as `3.11`, that what travels by value was made with.
    """
    version = ".".join(map(str, probed.python[:2]))
    if probed.python[:2] < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        return (
            f"{python} is Python {version} ({probed.executable}), and runs need {least}: name a"
            " newer one with `python`"
        )
    if by_value and version != by_value:
        return (
            f"{python} there is Python {version} and this one {by_value}, and what travels by value"
            " wants the same: name such a Python with `python`, or write the function in a file"
            " and launch it as file.py:function"
        )
    if probed.problem is not None:
        return f"{probed.problem}; make room there, or choose another `root`"
    if probed.free is not None and probed.free < LEAST_DISK:
        return (
            f"the disk of {probed.root} is full ({probed.free / 1e6:.1f} MB free): make room, or"
            " choose another `root`"
        )
    return no_rsync(probed)


def no_rsync(probed: Probe) -> str | None:
    """Return what is wrong with rsync there; None where it will do."""
    if probed.rsync is None:
        return "it has no rsync: install it there (apt install rsync)"
    if probed.rsync < LEAST_RSYNC:
        return f"its rsync is {'.'.join(map(str, probed.rsync))}, and 3.1 or newer is needed there"
    return None


# ---- what a check says ---------------------------------------------------------------------------


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
        probed = probe(host, python, root)
    except HostError as error:
        yield Finding(f"Python {name}", False, f"`{error.command}` failed", error.reason)
        return
    version = ".".join(map(str, probed.python))
    new_enough = probed.python[:2] >= LEAST_PYTHON
    wrong = obstacle(probed, python, None)
    yield Finding(
        f"Python {name}",
        new_enough,
        f"{version}, {probed.executable}",
        "" if new_enough or wrong is None else wrong,
    )
    yield from _of_probe(name, probed, wrong if new_enough else None)
    if wrong is None:
        yield from _transfer_and_hardware(host, python, probed)


def _of_probe(name: str, probed: Probe, wrong: str | None) -> Iterator[Finding]:
    rsync = no_rsync(probed)
    version = "none" if probed.rsync is None else ".".join(map(str, probed.rsync))
    yield Finding(f"rsync {name}", rsync is None, version, rsync or "")
    disk = wrong if wrong is not None and wrong != rsync else None
    free = "unknown" if probed.free is None else f"{probed.free / 1e9:.1f} GB free"
    yield Finding(f"disk {name}", disk is None, f"{free} at {probed.root}", disk or "")
    well = abs(probed.skew) <= MOST_SKEW
    ahead = "ahead of" if probed.skew > 0 else "behind"
    text = "agrees with this one's" if well else f"{abs(probed.skew):.1f} s {ahead} this one's"
    yield Finding(
        f"clock {name}",
        well,
        text,
        "" if well else "switch on its time synchronisation (chrony, timesyncd)",
    )
    if probed.kills:
        fix = (
            "runs would end with the connection: `loginctl enable-linger` there, or"
            " KillUserProcesses=no"
        )
        yield Finding(
            f"logins {name}", False, "systemd ends a user's processes with the last login", fix
        )


def _transfer_and_hardware(host: Host, python: str, probed: Probe) -> Iterator[Finding]:
    """Bring runslot there, as a launch does, and have it look at the machine."""
    with tempfile.TemporaryDirectory() as directory:
        archive = one_file(Path(directory))
        try:
            host.push(archive.parent, probed.root, [archive.name])
        except HostError as error:
            yield Finding(f"transfer {host.name}", False, f"`{error.command}` failed", error.reason)
            return
        yield Finding(
            f"transfer {host.name}", True, f"{archive.stat().st_size / 1e6:.1f} MB brought by rsync"
        )
        place = f"{probed.root}/{archive.name}"
        process = host.run([python, "-", place], _HARDWARE.encode())
        host.run(["rm", "-f", place])
    if process.returncode != 0:
        yield Finding(
            f"hardware {host.name}", False, last_line(process.stderr), "say so in a bug report"
        )
        return
    cores, gpus, notes = json.loads(last_line(process.stdout))
    gpu_text = ", ".join(gpus) if gpus else "no GPUs"
    yield Finding(
        f"hardware {host.name}",
        not notes,
        "; ".join([f"{cores} cores", gpu_text, *notes]),
        "; ".join(notes),
    )
