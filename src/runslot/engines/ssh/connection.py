"""A launcher's end of a connection to a remote end: questions with their answers, and what it says
by itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError
from runslot.experiment.files import open_to_append
from runslot.transport.messages import decode, encode

_LEAVE = 3.0
"""Seconds that a remote end has to leave when its input ends."""
_WORDS_BYTES = 4096
"""Of its standard error, which say why it ended."""


class Broken(RunslotError):
    """The connection ended, or the answer did not come in time."""

    retry = True


class Reply:
    """An answer that may have yet to come."""

    def __init__(self) -> None:
        self._came = threading.Event()
        self._message: Mapping[str, Any] | None = None

    def give(self, message: Mapping[str, Any] | None) -> None:
        """Have it; None: it will not come."""
        self._message = message
        self._came.set()

    def wait(self, timeout: float) -> Mapping[str, Any]:
        """Return it; `Broken` where it does not come, `RunslotError` with what the other side could
        not do.
        """
        if not self._came.wait(timeout):
            raise Broken(f"no answer within {timeout:g} s")
        if self._message is None:
            raise Broken("the connection broke")
        if "failed" in self._message:
            raise RunslotError(self._message["failed"])
        return self._message


class Connection:
    """One remote end, started by the process that is given."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        listener: Callable[[Mapping[str, Any]], None],
        log: Path,
    ) -> None:
        """`listener` is told what it says by itself; `log` takes what it prints on its standard
        error.
        """
        self._process = process
        self._listener = listener
        self._log = log
        self._words = b""
        self._answers: dict[int, Reply] = {}
        self._number = 0
        self._lock = threading.Lock()
        self.alive = True
        self.last_heard = time.monotonic()
        threading.Thread(target=self._listen, daemon=True).start()
        self._copier = threading.Thread(target=self._copy, daemon=True)
        self._copier.start()

    def ask(self, verb: str, **details: Any) -> Reply:
        """Ask something; the answer can be waited for."""
        answer = Reply()
        with self._lock:
            self._number += 1
            if not self.alive:
                answer.give(None)
                return answer
            self._answers[self._number] = answer
            line = encode({"id": self._number, "verb": verb, **details})
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except OSError:  # its reader will notice
                pass
        return answer

    def close(self) -> None:
        """Let the remote end leave; its runs go on."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.close()
        except OSError:
            pass
        try:
            self._process.wait(_LEAVE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the connection at once."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int | None:
        """Return the exit code of one that broke; None where that lives, and does not answer."""
        try:
            return self._process.wait(_LEAVE)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self) -> bytes:
        """Return what a remote end that ended had to say last, on its standard error."""
        self._copier.join(_LEAVE)
        return self._words

    def _copy(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._words = (self._words + line)[-_WORDS_BYTES:]
                self._note(line)

    def _note(self, line: bytes) -> None:
        with contextlib.suppress(OSError), os.fdopen(open_to_append(self._log), "ab") as log:
            log.write(line)  # unless the disk is full here, or the directory was moved

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                message = decode(line)
                if message is None:
                    continue
                self.last_heard = time.monotonic()
                if "id" in message:
                    with self._lock:
                        answer = self._answers.pop(message["id"], None)
                    if answer is not None:
                        answer.give(message)
                else:
                    self._listener(message)
        with self._lock:
            self.alive = False
            answers, self._answers = self._answers, {}
        for answer in answers.values():
            answer.give(None)
        self._process.wait()
        self._listener({"event": "end"})
