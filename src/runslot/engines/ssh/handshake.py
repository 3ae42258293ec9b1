"""A host is reached, what an experiment's runs need is brought there, and the remote end is started
and answers for the first time.

`engines.ssh.host` does it for every connection, the first and each later one. Nothing here is
remembered: what was there before, the remote end says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runslot.engines.ssh.arrival import NOTHING, Cargo, far_command
from runslot.engines.ssh.connection import Broken, Connection
from runslot.engines.ssh.ledger import Key
from runslot.engines.ssh.pool import PoolTerms
from runslot.engines.ssh.probe import no_python, obstacle, read
from runslot.errors import RunslotError
from runslot.transport.contents import HostClone, what_runs_need
from runslot.transport.ssh import SSH_FAILED, Host, HostError, last_line

_LOOK_TIMEOUT_S = 120.0
_TAKE_TIMEOUT_S = 600.0
_OPENING_TIMEOUT_S = 600.0
"""How long a remote end has to look at its machine and to import the experiment's function."""


@dataclass
class Handshake:
    """One try to have a remote end on a host."""

    host: Host
    terms: PoolTerms
    hear: Callable[[Mapping[str, Any]], None]
    """Is told what the remote end says by itself."""
    connection: Connection | None = None
    """To the host's end, once that was started."""

    def prepare(self) -> HostClone:
        """Reach the host and bring there what is needed; return where that lies."""
        terms, name = self.terms, self.host.name
        directory, file = terms.experiment.directory, terms.experiment.file
        place = HostClone.of(directory, file, terms.archive, "", name).experiment
        process = self.host.start(far_command(terms.python, terms.root, place))
        connection = Connection(process, self.hear, directory.launcher_log)
        self.connection = connection
        paths = what_runs_need(directory, file, directory.path / terms.archive)
        cargo = Cargo.of(directory.path, paths)
        before = time.time()
        answer = self._first_answer(connection, archive=terms.archive, files=cargo.listed())
        probed = read(answer, before, time.time())
        wrong = obstacle(probed, terms.python, terms.by_value)
        if wrong is not None:
            raise HostError(name, f"{terms.python} -", wrong)
        clone = HostClone.of(directory, file, terms.archive, probed.root, name)
        message = cargo.message(answer["lacks"])
        if message is None:
            self.host.push(directory.path, clone.experiment, [path.name for path in paths])
        try:
            connection.ask("take", **(message or NOTHING)).wait(_TAKE_TIMEOUT_S)
        except Broken:
            raise
        except RunslotError as error:  # a full disk
            raise HostError(name, f"{terms.python} -", str(error)) from error
        return clone

    def begin(self, clone: HostClone, expected: Iterable[Key]) -> Mapping[str, Any]:
        """Have the remote end's first answer: its slots, and what it has of the attempts that are
        `expected`.
        """
        terms, connection = self.terms, self.connection
        assert connection is not None
        details = {
            "host": self.host.name,
            "runs": terms.runs,
            "expected": sorted(expected),
            "environment": dict(terms.environment),
        }
        try:
            return connection.ask("open", **details).wait(_OPENING_TIMEOUT_S)
        except RunslotError as error:
            retry = isinstance(error, Broken)
            words = last_line(connection.last_words()) if retry else ""
            reason = f"{error}: {words}".rstrip(": ")
            command = f"{terms.python} {clone.archive} serve"
            raise HostError(self.host.name, command, reason, retry) from error

    def _first_answer(self, connection: Connection, **question: Any) -> Mapping[str, Any]:
        """Return what the host says of itself; `HostError` where its Python did not start."""
        name, python = self.host.name, self.terms.python
        try:
            return connection.ask("look", **question).wait(_LOOK_TIMEOUT_S)
        except Broken as error:
            code, words = connection.end(), connection.last_words()
            if code == SSH_FAILED:
                raise self.host.failure(self.host.login, words) from error
            reason = str(error)
            if code is not None:
                reason = no_python(self.host, python, code, last_line(words))
            raise HostError(name, f"{python} -", reason, retry=code is None) from error
