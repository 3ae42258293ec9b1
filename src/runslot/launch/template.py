"""The launcher's end of a template process: start it, talk to it, start it again when it died."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import runslot
from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.records import Function

_PACKAGE = str(Path(runslot.__file__).resolve().parent.parent)


class TemplateDied(RunslotError):
    """The template ended in the middle of a message; a new one can be started."""

    retry = True


class TemplateProcess:
    """One template process, bare or with a function imported."""

    def __init__(self, python: str, log: Path | None, bare: bool) -> None:
        ours, theirs = socket.socketpair()
        start = f"import sys; sys.path.insert(0, {_PACKAGE!r}); from runslot.execute.template import main; main("
        # Without site packages the interpreter, and so each of its forks, stays small; a user's module needs them.
        flags = ["-S", "-E"] if bare else []
        argv = [python, *flags, "-c", f"{start}{theirs.fileno()}, {_PACKAGE!r})"]
        with (log or Path(os.devnull)).open("ab") as console:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        theirs.close()
        self._channel = ours
        self._answers = ours.makefile("rb")
        self._environments: list[Mapping[str, str]] = []

    def import_function(self, function: Function, home: Path, path: Sequence[str], cwd: str) -> str:
        """Import the function; return why forks of it are unsafe, or an empty string.

        Raises `InvalidInput` with the end of the traceback where the import fails.
        """
        answer = self._ask(
            {"verb": "import", "function": function.to_json(), "home": str(home), "path": list(path), "cwd": cwd}
        )
        return str(answer["unsafe"])

    def start(
        self,
        run_dir: Path,
        attempt: int,
        slot: Mapping[str, Any] | None,
        environment: Mapping[str, str],
        leases: Sequence[int] = (),
    ) -> tuple[int, int | None]:
        """Fork a keeper for the run; return its pid and start time."""
        answer = self._ask(
            {
                "verb": "start",
                "run_dir": str(run_dir),
                "attempt": attempt,
                "slot": slot,
                "environment": self._environment(environment),
            },
            leases,
        )
        return answer["pid"], answer["start_time"]

    def close(self) -> None:
        """End the template; its keepers go on."""
        self._answers.close()
        self._channel.close()
        self._process.wait()

    def _environment(self, environment: Mapping[str, str]) -> str:
        for index, known in enumerate(self._environments):
            if known is environment:
                return str(index)
        self._environments.append(environment)
        name = str(len(self._environments) - 1)
        self._ask({"verb": "environment", "name": name, "values": dict(environment)})
        return name

    def _ask(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        data = json.dumps(message).encode() + b"\n"
        try:
            sent = socket.send_fds(self._channel, [data], descriptors) if descriptors else self._channel.send(data)
            self._channel.sendall(data[sent:])
            line = self._answers.readline()
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        if not line:
            ended = self._process.wait()
            how = signal.Signals(-ended).name if ended < 0 else f"exit code {ended}"
            raise TemplateDied(f"the process that was to {message['verb']} ended with {how}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise InvalidInput(answer["failed"])
        return answer
