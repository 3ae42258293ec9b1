"""A host reached by the system's own OpenSSH: commands run there, files brought there and back by
rsync.

The user's ssh configuration decides everything (names, keys, jumps, ports); one connection is kept
open and shared.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from runslot.errors import InvalidInput, NotInstalled, RunslotError

ALIVE_INTERVAL = 5
"""Seconds of silence after which a connection is asked whether it still is one; given up after
three times.
"""
SSH_FAILED = 255
"""Exit code of ssh where it is ssh itself that failed."""
_IDLE = 60
"""Seconds for which the shared connection stays open after its last use, also where this process is
killed.
"""
_CONNECT = 10
"""Seconds that a host has to answer, unless the user's configuration says otherwise."""
_TRANSFER_SILENCE = 60
"""Seconds without a byte after which rsync gives up."""

_NOT_FOR_US = ("ClearAllForwardings=yes", "RemoteCommand=none", "RequestTTY=no", "ForwardX11=no")
"""What a configuration may have for logins by hand, and what would be in a command's way."""

_REASONS: tuple[tuple[str, bool, str], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed",
        False,
        (
            "its host key has changed; if that is right, forget the old one with `{forget}` and log"
            " in once by hand, `{login}`"
        ),
    ),
    (
        r"Host key verification failed|host key is known for",
        False,
        "its host key is not known here; log in once by hand, `{login}`, and accept it",
    ),
    (
        (
            r"Permission denied|Too many authentication failures|no matching .* method|[Kk]ey has"
            r" expired|Load key "
        ),
        False,
        (
            "it refused the login ({said}); `{login}` must work without a password: check the key,"
            " its expiry, the agent"
        ),
    ),
    (
        r"Could not resolve hostname|Name or service not known",
        False,
        (
            "there is no host of that name ({said}); check the name, or add a `Host` entry to the"
            " ssh configuration"
        ),
    ),
    (
        (
            r"Bad configuration option|bad configuration|Can't open user config file|terminating,"
            r" .* bad"
        ),
        False,
        "the ssh configuration cannot be read ({said})",
    ),
)
"""What ssh says, whether trying again can help, and what to tell the user."""


class HostError(RunslotError):
    """A host could not be reached, or something there failed; names the host and the command."""

    def __init__(self, host: str, command: str, reason: str, retry: bool = False) -> None:
        super().__init__(f"host {host}: {reason} (command: {command})")
        self.host = host
        self.command = command
        self.reason = reason
        self.retry = retry
        """Whether the host may be back later."""
        self.partial = False
        """Whether all other files of a transfer came."""


def check_host_name(name: str) -> None:
    """Refuse what `ssh` would not take for a host; whether there is an ssh here is asked when one
    is reached.
    """
    if not name or name.startswith("-") or re.search(r"[\s/:\0]", name):
        raise InvalidInput(
            f"{name!r} cannot be a host: write the name that `ssh NAME` takes (user@host, or a"
            " `Host` entry of the ssh configuration, which also says the port)"
        )


class Host:
    """One host, by the name that `ssh NAME` takes; thread-safe. Close it to close its
    connection.
    """

    def __init__(self, name: str, config: str | None = None, options: Sequence[str] = ()) -> None:
        """`config` is another configuration file (`ssh -F`), `options` are further `ssh -o`
        settings (`Port=2222`).
        """
        check_host_name(name)
        for program in ("ssh", "rsync"):
            if shutil.which(program) is None:
                raise NotInstalled(
                    f"there is no {program} on this machine: install {_PACKAGES[program]}"
                )
        self.name = name
        self._config = None if config is None else str(Path(config).expanduser().absolute())
        self._options = tuple(options)
        self._sockets: str | None = None
        self._lock = threading.Lock()
        self._abortables: set[subprocess.Popen[bytes]] = set()

    def __repr__(self) -> str:
        return f"Host({self.name!r})"

    @property
    def login(self) -> list[str]:
        """The command that logs in by hand as the launcher does: with its configuration, port, key
        and jump host.
        """
        argv = ["ssh"] if self._config is None else ["ssh", "-F", self._config]
        for option in self._options:
            argv += ["-o", option]
        return [*argv, self.name]

    # ---- commands --------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the connection that all that follows shares, unless it is open; `HostError` says why
        it cannot be.
        """
        with self._lock:
            if self._sockets is None:
                self._sockets = f"{_socket_directory()}/{os.getpid()}.{next(_number)}-"
            elif self._ask_master("check") == 0:
                return
            argv = [*self._ssh(), "-M", "-N", "-f", "-o", f"ControlPersist={_IDLE}", "--"]
            # a pipe would stay open for as long as the connection
            with tempfile.TemporaryFile() as output:
                process = subprocess.Popen(
                    [*argv, self.name],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                with self._abortable(process):
                    try:
                        code = process.wait(6 * _CONNECT)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                        raise self._error(self.login, "it does not answer", retry=True) from None
                output.seek(0)
                text = output.read()
            if code != 0:
                raise self.failure(self.login, text)

    def disconnect(self) -> None:
        """Drop the shared connection at once: one to a host that has vanished would make others
        wait.
        """
        if self._sockets is None:
            return
        self._ask_master("exit")
        directory, mine = os.path.split(self._sockets)
        for socket in Path(directory).glob(f"{mine}*"):  # of a connection that was killed
            socket.unlink(missing_ok=True)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the local command that runs `argv` on the host; a leading `~/` of an argument is
        the home there.
        """
        return [
            *self._ssh(),
            "-T",
            "--",
            self.name,
            " ".join(_quoted(argument) for argument in argv),
        ]

    def run(
        self, argv: Sequence[str], stdin: bytes = b"", timeout: float | None = 120.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the host and return what came of it, its exit code too.

        `HostError` where the host cannot be reached, or has not answered after `timeout` seconds.
        """
        self.connect()
        command = self.command(argv)
        try:
            process = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                timeout=timeout,
                check=False,
                start_new_session=True,  # Ctrl-C in the terminal is the launcher's to hear
            )
        except subprocess.TimeoutExpired:
            raise self._error(argv, f"no answer within {timeout:g} s", retry=True) from None
        if process.returncode == SSH_FAILED:
            raise self.failure(argv, process.stderr)
        return process

    def check(
        self, argv: Sequence[str], stdin: bytes = b"", timeout: float | None = 120.0
    ) -> bytes:
        """Run a command that has to succeed and return what it printed; else `HostError` with its
        last line.
        """
        process = self.run(argv, stdin, timeout)
        if process.returncode != 0:
            reason = last_line(process.stderr) or last_line(process.stdout)
            raise self._error(
                argv, f"exit code {process.returncode}" + (f": {reason}" if reason else "")
            )
        return process.stdout

    def start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command on the host with pipes to its input and from its outputs; the caller ends
        it.
        """
        self.connect()
        return subprocess.Popen(
            self.command(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is the launcher's to hear
        )

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        self.disconnect()

    # ---- files -----------------------------------------------------------------------------------

    def push(self, base: Path, to: str, names: Iterable[str], options: Sequence[str] = ()) -> None:
        """Bring `names`, files and directories below `base`, to the directory `to` of the host,
        where they differ.

        A relative `to` starts at the home there. Names may have any character. `options` are
        further ones of rsync. `HostError` where it fails; a full disk there is said in its
        `reason`.
        """
        self._rsync([*options, f"{base}/", f"{self.name}:{_from_home(to)}/"], names)

    def pull(self, base: str, to: Path, names: Iterable[str], options: Sequence[str] = ()) -> None:
        """Bring `names`, relative to the directory `base` of the host, to the directory `to` here;
        only what differs.

        Names that are not there any more are no error.
        """
        flags = ["--ignore-missing-args", *options]
        self._rsync([*flags, f"{self.name}:{_from_home(base)}/", f"{to}/"], names)

    def abort(self) -> None:
        """Kill the transfers under way, and a login that has no answer yet, whoever waits for them:
        each is a `HostError` there.
        """
        for process in list(self._abortables):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:  # it ended just now
                pass

    def _rsync(self, arguments: Sequence[str], names: Iterable[str]) -> None:
        file_list = b"".join(b"./" + os.fsencode(name) + b"\0" for name in names)
        if not file_list:
            return
        self.connect()
        argv = ["rsync", "-rlpt", "--omit-dir-times", "--no-implied-dirs", "--protect-args"]
        argv += ["--from0", "--files-from=-", f"--timeout={_TRANSFER_SILENCE}"]
        argv += ["-e", _as_rsh(self._ssh()), *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            argv, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, start_new_session=True
        )
        with self._abortable(process):
            output = process.communicate(file_list)[1]
        code = process.returncode
        if code in _RSYNC_FINE:
            return
        if code == SSH_FAILED:
            raise self.failure(["rsync", *arguments[-2:]], output)
        retry = code in _RSYNC_AWAY or code < 0
        reason = _rsync_reason(code, output.decode(errors="replace"))
        error = self._error(["rsync", *arguments[-2:]], reason, retry)
        error.partial = code == _RSYNC_PARTIAL
        raise error

    @contextmanager
    def _abortable(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Have `abort` kill the process, which leads a session of its own."""
        self._abortables.add(process)
        try:
            yield
        finally:
            self._abortables.discard(process)

    # ---- ssh -------------------------------------------------------------------------------------

    def _ssh(self) -> list[str]:
        argv = ["ssh"]
        if self._config is not None:
            argv += ["-F", self._config]
        for option in (*self._options, "BatchMode=yes", f"ServerAliveInterval={ALIVE_INTERVAL}"):
            argv += ["-o", option]
        if self._sockets is not None:
            argv += ["-o", f"ControlPath={self._sockets}%C"]
        # Of a setting the first that is read holds: those that the caller gives as `options` go
        # before ours.
        for option in (
            "ServerAliveCountMax=3",
            f"ConnectTimeout={_CONNECT}",
            "LogLevel=ERROR",
            *_NOT_FOR_US,
        ):
            argv += ["-o", option]
        return argv

    def _ask_master(self, verb: str) -> int:
        argv = [*self._ssh(), "-O", verb, "--", self.name]
        none = subprocess.DEVNULL
        return subprocess.run(argv, stdin=none, stdout=none, stderr=none, check=False).returncode

    def failure(self, argv: Sequence[str], output: bytes) -> HostError:
        """Return what it means that ssh itself failed, with what it printed."""
        text = output.decode(errors="replace")
        login = shlex.join(self.login)
        for pattern, retry, reason in _REASONS:
            if re.search(pattern, text):
                words = {"login": login, "said": last_line(output), "forget": _forget(text)}
                return self._error(argv, reason.format(**words), retry)
        return self._error(argv, last_line(output) or "the connection broke", retry=True)

    def _error(self, argv: Sequence[str], reason: str, retry: bool = False) -> HostError:
        command = shlex.join(argv)
        command_text = (
            command if len(command) < 200 or argv == self.login else f"{command[:200]}…"
        )  # a login is to be pasted
        return HostError(self.name, command_text, reason, retry)


_number = itertools.count(1)


def _socket_directory() -> str:
    """Return this user's directory for sockets; short, since a socket's path has 104 bytes at
    most.
    """
    path = Path(tempfile.gettempdir(), f"runslot-ssh-{os.getuid()}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError:
        return tempfile.mkdtemp(prefix="runslot-ssh-")
    is_safe = (
        stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    )
    return str(path) if is_safe else tempfile.mkdtemp(prefix="runslot-ssh-")


_PACKAGES = {"ssh": "openssh-client", "rsync": "rsync (3.1 or newer)"}
_RSYNC_FINE = frozenset({0, 24})
"""24: files vanished while they were read, as temporary files do."""
_RSYNC_PARTIAL = 23
"""Some files could not be read or written; all others came."""
_RSYNC_AWAY = frozenset({10, 12, 30, 35})


def _forget(text: str) -> str:
    """Return the command that forgets the key of which ssh says that it has changed: a jump host's,
    perhaps, and in whichever file that is.
    """
    file = re.search(r"Offending .* key in (.+):\d+", text)
    host = re.search(r"[Hh]ost key for (\S+) has changed", text)
    argv = ["ssh-keygen", *(["-f", file[1]] if file else []), "-R", host[1] if host else "HOST"]
    return shlex.join(argv)


def last_line(text: bytes) -> str:
    """Return the last line that says something, at most 300 characters of it."""
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _rsync_reason(code: int, text: str) -> str:
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return "a disk is full: " + next(
            line for line in text.splitlines() if "space" in line or "quota" in line
        )
    if "command not found" in text or "rsync: not found" in text or code == 127:
        return "it has no rsync: install it there (apt install rsync)"
    if "is your shell clean" in text:
        return (
            "its shell prints something at login, which rsync takes for an answer: let ~/.bashrc"
            " there print nothing"
        )
    lines = [
        line for line in text.splitlines() if line.strip() and not line.startswith("rsync error:")
    ]
    return f"rsync ended with {code}: {(lines or text.splitlines() or [''])[0].strip()[:300]}"


def _quoted(argument: str) -> str:
    if argument.startswith("~/"):
        return '"$HOME"/' + shlex.quote(argument[2:])
    return shlex.quote(argument)


def _from_home(path: str) -> str:
    """Return a path for rsync, which no shell of the host sees: what is relative starts at the
    home.
    """
    path = path.rstrip("/")
    if path == "~":
        return "."
    return path[2:] if path.startswith("~/") else path


def _as_rsh(argv: Sequence[str]) -> str:
    """Return a command in the form in which rsync splits it: blanks between arguments, a quote
    doubled in quotes.
    """
    return " ".join("'" + argument.replace("'", "''") + "'" for argument in argv)
