"""Hosts that are odd in one way, each an OpenSSH server of its own on this machine: a login shell
that is no POSIX shell or talks at every login, one session at a time, a home that nobody may write,
a Python under another name, a network that swallows what is sent.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runslot.testing.contract import Place, until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        SSHD is None or shutil.which("rsync") is None, reason="wants sshd and rsync"
    ),
]

WRITES = (
    "cd $RUNSLOT_RUN; echo $RUNSLOT_RUN > place.txt;"
    " head -c ${BYTES:-10} /dev/urandom > weights.bin"
)


def key(path: Path) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


class OddHost:
    """A server, what its logins execute, and a directory from which it is a launcher's host."""

    def __init__(self, directory: Path, shell: str, *settings: str) -> None:
        """`shell` is a line of sh that ends with the words of the login's command, in
        `$SSH_ORIGINAL_COMMAND`.
        """
        self.home = directory / "home"
        self.home.mkdir()
        (directory / "locks").mkdir()
        self.place = Place(directory / "project", "odd", ())
        self.place.directory.mkdir()
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.login = login = directory / "login"
        """What every login executes."""
        exports = {"HOME": self.home, "RUNSLOT_LOCKS": directory / "locks"}
        lines = ["#!/bin/sh", *(f"export {name}='{value}'" for name, value in exports.items())]
        login.write_text("\n".join([*lines, f"cd {self.home}", shell, ""]))
        login.chmod(0o755)
        client, host = key(directory / "client"), key(directory / "host")
        config = directory / "sshd_config"
        config.write_text(
            "\n".join(
                [
                    f"ListenAddress 127.0.0.1:{self.port}",
                    f"HostKey {host}",
                    f"AuthorizedKeysFile {client}.pub",
                    "PidFile none",
                    "UsePAM no",
                    "StrictModes no",
                    "PasswordAuthentication no",
                    "PermitRootLogin yes",
                    f"ForceCommand {login}",
                    f"SetEnv PATH={os.environ['PATH']}",
                    *settings,
                    "",
                ]
            )
        )
        known = directory / "known"
        public = " ".join(Path(f"{host}.pub").read_text().split()[:2])
        known.write_text(f"[127.0.0.1]:{self.port} {public}\n")
        self.config = directory / "ssh_config"
        self.config.write_text(
            f"Host odd\n  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {client}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
        )
        self.log = directory / "sshd.log"
        Path("/run/sshd").mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            argv = [str(SSHD), "-D", "-e", "-f", str(config)]
            self.server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log)
        self.configure()
        until(self._answers, 20, "the server listens")

    def _answers(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def configure(self, **keys: Any) -> None:
        entry = {
            "kind": "ssh",
            "hosts": ["odd"],
            "config": str(self.config),
            "sync_every": 0.5,
            "python": sys.executable,
            **keys,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in entry.items()]
        text = "\n".join(["[launchers.odd]", *lines, ""])
        (self.place.directory / "runslot.toml").write_text(text)

    def run(self, script: str, status: int = 0, seeds: int = 1) -> str:
        options = ["--name", "t", "--seeds", str(seeds), "--cpus-per-run", "1"]
        words = ["run", *options, *self.place.options(), "--", "sh", "-c", script]
        done = self.place(*words, status=status)
        return done.stdout + done.stderr

    def sessions(self) -> list[int]:
        """Return the processes of the server that serve a connection each."""
        parents = {self.server.pid}
        children: list[int] = []
        for _ in range(3):  # the listener, its monitor, the user's
            below = [
                int(entry.name)
                for entry in Path("/proc").glob("[0-9]*")
                if parent_of(entry) in parents
                and "sshd" in name_of(entry)
                and int(entry.name) not in children
            ]
            children += below
            parents |= set(below)
        return children


def parent_of(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def name_of(entry: Path) -> str:
    try:
        return (entry / "comm").read_text()
    except OSError:  # it has just ended
        return ""


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Any]:
    made: list[OddHost] = []

    def make(shell: str = 'exec sh -c "$SSH_ORIGINAL_COMMAND"', *settings: str) -> OddHost:
        made.append(OddHost(tmp_path, shell, *settings))
        return made[-1]

    yield make
    for host in made:
        for process in host.place.started:
            process.kill()
            process.wait()
        for pid in host.sessions():
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(pid, signal.SIGKILL)
        host.server.kill()
        host.server.wait()


@pytest.mark.parametrize("shell", ["dash", "zsh", "fish", "tcsh"])
def test_whatever_the_login_shell_is(odd: Any, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    host = odd(f'exec {shell} -c "$SSH_ORIGINAL_COMMAND"')
    host.run(WRITES)
    (place,) = host.place.experiment.rglob("place.txt")
    assert str(host.home) in place.read_text(), "it ran there"


def test_a_shell_that_talks_at_every_login(odd: Any) -> None:
    """Small files come home all the same; what wants rsync waits there until that is mended."""
    quiet = 'exec sh -c "$SSH_ORIGINAL_COMMAND"'
    noise = "echo Welcome; echo 'disk 90 %' >&2; printf 'news: '"
    host = odd(f"{noise}; {quiet}", "Banner /etc/passwd")
    words = ["run", "--name", "t", "--cpus-per-run", "1", *host.place.options()]
    launch = host.place.start(*words, "--", "sh", "-c", f"BYTES=200000; {WRITES}")
    log = host.place.directory / "launch.log"
    until(lambda: "let ~/.bashrc there print nothing" in log.read_text(), 120, "it is said")
    assert list(host.place.experiment.rglob("place.txt"))
    assert not list(host.place.experiment.rglob("weights.bin"))
    # It is said first, and then noted.
    (problem,) = until(lambda: host.place.status().get("problems"), what="it is noted")
    assert "results of host odd do not come home" in problem, "status says why nothing goes on"
    assert "tried again" in problem

    host.login.write_text(host.login.read_text().replace(f"{noise}; ", ""))
    assert launch.wait(120) == 0
    (weights,) = host.place.experiment.rglob("weights.bin")
    assert weights.stat().st_size == 200_000
    assert "come home again" in log.read_text()
    assert "problems" not in host.place.status()
    events = map(json.loads, (host.place.experiment / "journal.jsonl").read_text().splitlines())
    assert [bool(event["why"]) for event in events if event["event"] == "host_trouble"] == [
        True,
        False,
    ]


def test_files_that_cannot_be_brought_stay_on_the_host_and_it_is_said(odd: Any) -> None:
    """As where a disk has a bad block, or the file system at home refuses a name."""
    broken = "echo 'rsync: read errors: Input/output error (5)' >&2; exit 23"
    cases = f'case "$SSH_ORIGINAL_COMMAND" in *--sender*) {broken};; esac'
    host = odd(f'{cases}; exec sh -c "$SSH_ORIGINAL_COMMAND"')
    said = host.run(f"BYTES=200000; {WRITES}")
    assert "files of 1 run that do not come home stay on host odd, below" in said
    assert "come home again" not in said
    (run,) = host.place.status()["runs"]
    assert "some files did not come home" in run["outcome"]["notes"][0]
    (weights,) = host.home.rglob("weights.bin")
    assert weights.stat().st_size == 200_000
    assert str(host.home / weights.relative_to(host.home).parts[0]) in said


def test_one_session_at_a_time(odd: Any) -> None:
    """What is large comes by a connection of its own then."""
    host = odd('exec sh -c "$SSH_ORIGINAL_COMMAND"', "MaxSessions 1")
    host.run(f"BYTES=2000000; {WRITES}", seeds=2)
    sizes = [file.stat().st_size for file in host.place.experiment.rglob("weights.bin")]
    assert sizes == [2_000_000] * 2


def test_a_home_that_nobody_may_write(odd: Any) -> None:
    host = odd('export HOME=/proc/fs; exec sh -c "$SSH_ORIGINAL_COMMAND"')
    said = host.run(WRITES, status=2)
    assert "/proc/fs/.runslot" in said
    assert "choose another `root`" in said
    assert "Traceback" not in said


def test_a_python_under_another_name_is_named(odd: Any, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "rsync", "env"):
        (programs / name).symlink_to(shutil.which(name) or "")
    version = f"python3.{sys.version_info[1]}"
    (programs / version).symlink_to(sys.executable)
    host = odd(f'export PATH={programs}; exec sh -c "$SSH_ORIGINAL_COMMAND"')
    host.configure(python="python3")
    said = host.run(WRITES, status=2)
    assert f'python = "{version}"' in said
    host.configure(python=version)
    host.run("true")


def test_what_stays_on_a_host_is_runslot_itself_for_the_next_launch(odd: Any) -> None:
    host = odd()
    host.run("true")
    (archive,) = (host.home / ".runslot").glob("runslot-*.pyz")
    inode = archive.stat().st_ino
    host.run("true")
    assert archive.stat().st_ino == inode, "it was not brought again"
    assert [path.name for path in (host.home / ".runslot/odd").iterdir()] == []


def test_an_archive_that_others_could_have_written_is_not_executed(odd: Any) -> None:
    host = odd()
    host.run("true")
    (archive,) = (host.home / ".runslot").glob("runslot-*.pyz")
    size = archive.stat().st_size
    archive.unlink()
    archive.write_bytes(b"#" * size)
    archive.chmod(0o666)
    host.run("true")
    assert archive.read_bytes()[:1] == b"#", "it lies there as it was"


HOLDS = """
import pathlib, sys
held = []
for line in sys.stdin.buffer:
    if held or b'"slots"' in line and pathlib.Path("hold").exists():
        pathlib.Path("answered").touch()
        held.append(line)
        if b'"event":"ended"' not in line:
            continue
    sys.stdout.buffer.write(b"".join(held) or line)
    sys.stdout.buffer.flush()
    held.clear()
"""
"""Passes on what a remote end says; where told to, its first answer with the first end after it."""


def test_an_adopted_run_that_ends_at_once_keeps_no_resume_waiting(odd: Any, tmp_path: Path) -> None:
    """The answer that it runs, and the word that it has ended, come in one piece."""
    (tmp_path / "holds.py").write_text(HOLDS)
    holds = f'sh -c "$SSH_ORIGINAL_COMMAND" | {sys.executable} -u {tmp_path}/holds.py'
    command = 'exec sh -c "$SSH_ORIGINAL_COMMAND"'
    host = odd(f'case "$SSH_ORIGINAL_COMMAND" in *serve*) {holds};; *) {command};; esac')
    script = f"touch {tmp_path}/begun; until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    words = ["run", "--name", "t", "--cpus-per-run", "1", *host.place.options()]
    launch = host.place.start(*words, "--", "sh", "-c", script)
    until((tmp_path / "begun").exists, what="the run is under way")
    launch.kill()
    launch.wait()

    (host.home / "hold").touch()
    resume = host.place.start("resume", str(host.place.experiment))
    until((host.home / "answered").exists, what="the host has said that it runs")
    (tmp_path / "go").touch()

    assert resume.wait(120) == 0
    assert host.place.status()["counts"] == {"succeeded": 1}


@pytest.mark.fault
def test_a_network_that_swallows_everything_for_a_while(odd: Any) -> None:
    """The connection neither breaks nor answers; the run goes on, and another connection brings it
    home.
    """
    host = odd()
    go = host.home / "go"
    script = f"cd $RUNSLOT_RUN; echo 1 > rows.txt; until [ -e {go} ]; do sleep 0.1; done; echo 2 >> rows.txt"
    words = ["run", "--name", "t", "--cpus-per-run", "1", *host.place.options()]
    launch = host.place.start(*words, "--", "sh", "-c", script)
    until(lambda: list((host.place.directory / "runs").rglob("rows.txt")), 60, "the first rows")
    stuck = host.sessions()
    assert stuck
    for pid in stuck:
        os.kill(pid, signal.SIGSTOP)
    go.touch()
    began = time.monotonic()
    try:
        assert launch.wait(120) == 0
    finally:
        for pid in stuck:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - began > 3
    (rows,) = host.place.experiment.rglob("rows.txt")
    assert rows.read_text().split() == list("12")
