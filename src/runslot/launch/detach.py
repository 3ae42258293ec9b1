"""A launch that goes on without its terminal: a process in a session of its own, which prints into
`launcher.log`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import runslot
from runslot.engines.events import LaunchEvent, LaunchStarted, Said
from runslot.errors import InvalidInput, RunslotError, refusals
from runslot.experiment.files import open_to_append
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.launch import launch
from runslot.launch.printer import Printer

_PACKAGE = str(Path(runslot.__file__).resolve().parent.parent)
# Not from the current directory, which `-c` puts first: a file there may have the name of a
# standard module.
_START = "import sys; sys.path[0] = {!r}; from runslot.launch.detach import main; main()"


def launch_detached(
    directory: ExperimentDir, say: Callable[[str], None], **options: Any
) -> int | None:
    """Launch an experiment that is on disk in a process of its own, and return its pid once runs
    may start.

    `options` is what `launch` takes, as JSON values; `say` is told what the launch has to say until
    then. None where there is nothing to do. Raises `InvalidInput` where the launch is refused.
    """
    directory.require_own()
    reader_fd, writer_fd = os.pipe()
    with os.fdopen(open_to_append(directory.launcher_log), "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _START.format(_PACKAGE), str(directory.path), str(writer_fd)],
            stdin=subprocess.PIPE,  # for `how`: it may hold a secret, and others see a command line
            stdout=log,
            stderr=log,
            pass_fds=[writer_fd],
            start_new_session=True,
        )
    os.close(writer_fd)
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(json.dumps(options).encode())
    try:
        with os.fdopen(reader_fd) as lines:
            return process.pid if _listen(lines, directory, say, process) else None
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise


def _listen(
    lines: Any,
    directory: ExperimentDir,
    say: Callable[[str], None],
    process: subprocess.Popen[bytes],
) -> bool:
    """Return whether the launch has begun; False where there was nothing to do."""
    for line in lines:
        message: Mapping[str, str] = json.loads(line)
        if "started" in message:
            say(message["started"])
            return True
        if "refused" in message:
            process.wait()
            raise InvalidInput(message["refused"])
        say(message["said"])
    if process.wait() != 0:
        raise RunslotError(
            f"the launcher ended before its first run; look at {directory.launcher_log}"
        )
    return False


class _Teller:
    """Prints every event, and tells who started this process what happens until the launch has
    begun.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._print = Printer()

    def __call__(self, event: LaunchEvent) -> None:
        """Take note of the event."""
        self._print(event)
        if isinstance(event, Said):
            self.tell("said", event.text)
        elif isinstance(event, LaunchStarted):
            self.tell(
                "started", f"{event.experiment}: {len(event.runs)} runs in {event.slots_said}"
            )
            self.close()

    def tell(self, word: str, text: str) -> None:
        """Send one line, if anyone listens still."""
        if self._descriptor is not None:
            try:
                os.write(self._descriptor, json.dumps({word: text}).encode() + b"\n")
            except BrokenPipeError:  # killed while it waited; the launch was asked for all the same
                self.close()

    def close(self) -> None:
        """Tell nothing further."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def main() -> None:
    """Launch, as the process that `launch_detached` started."""
    path, descriptor = sys.argv[1:]
    options = json.loads(sys.stdin.read())
    os.set_inheritable(int(descriptor), False)  # or the templates would keep it open
    teller = _Teller(int(descriptor))
    try:
        with refusals():
            launch(ExperimentDir(path), teller, **options)
    except RunslotError as error:
        print(f"runslot: {error}", file=sys.stderr)
        teller.tell("refused", str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
