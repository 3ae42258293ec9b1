"""A host is reached, what an experiment's runs need is brought there, and the remote end is started
and answers for the first time.

`engines.ssh.host` does it for every connection, the first and each later one. Nothing here is
remembered: what was there before, the remote end says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runslot.engines.ssh.connection import Broken, Connection
from runslot.engines.ssh.ledger import Key
from runslot.engines.ssh.pool import PoolTerms
from runslot.engines.ssh.probe import obstacle, probe
from runslot.errors import RunslotError
from runslot.experiment.files import open_to_append
from runslot.transport.contents import HostClone, what_runs_need
from runslot.transport.ssh import Host, HostError, last_line

_OPENING_TIMEOUT_S = 600.0
"""How long a remote end has to look at its machine and to import the experiment's function."""


@dataclass
class Handshake:
    """One try to have a remote end on a host."""

    host: Host
    terms: PoolTerms
    hear: Callable[[Mapping[str, Any]], None]
    """Is told what the remote end says by itself."""
    alive: Callable[[], None]
    """Is told of each sign of life."""
    connection: Connection | None = None
    """To the remote end, once that was started."""

    def prepare(self) -> HostClone:
        """Reach the host and bring there what is needed; return where that lies."""
        terms = self.terms
        directory, file = terms.experiment.directory, terms.experiment.file
        place = HostClone.of(directory, file, terms.archive, "", self.host.name).experiment
        probed = probe(self.host, terms.python, terms.root, place)
        self.alive()
        wrong = obstacle(probed, terms.python, terms.by_value)
        if wrong is not None:
            raise HostError(self.host.name, f"{terms.python} -", wrong)
        clone = HostClone.of(directory, file, terms.archive, probed.root, self.host.name)
        paths = what_runs_need(directory, file, directory.path / terms.archive)
        self.host.push(directory.path, clone.experiment, [path.name for path in paths])
        self.alive()
        return clone

    def begin(self, clone: HostClone, expected: Iterable[Key]) -> Mapping[str, Any]:
        """Start the remote end; return its first answer: its slots, and what it has of the
        attempts that are `expected`.
        """
        terms, name = self.terms, self.host.name
        log_file = terms.experiment.directory.launcher_log
        with os.fdopen(open_to_append(log_file), "ab") as log:
            before = log.tell()
            argv = [terms.python, "-u", clone.archive, "serve", clone.experiment]
            connection = Connection(self.host.start(argv, log.fileno()), self.hear)
        self.connection = connection
        details = {
            "host": name,
            "runs": terms.runs,
            "expected": sorted(expected),
            "environment": dict(terms.environment),
        }
        try:
            return connection.ask("open", **details).wait(_OPENING_TIMEOUT_S)
        except RunslotError as error:
            connection.kill()
            retry = isinstance(error, Broken)
            words = last_words(log_file, before) if retry else ""
            reason = f"{error}: {words}".rstrip(": ")
            command = f"{terms.python} {clone.archive} serve"
            raise HostError(name, command, reason, retry) from error


def last_words(log_file: Path, before: int) -> str:
    """Return what a remote end that ended had to say last."""
    with log_file.open("rb") as log:
        log.seek(before)
        return last_line(log.read())
