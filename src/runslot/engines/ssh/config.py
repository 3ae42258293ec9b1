"""`kind = "ssh"`: a pool of workstations as the configuration names it, and how it is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from runslot.engines.bell import Bell
from runslot.engines.events import Observer
from runslot.engines.open_experiment import OpenExperiment
from runslot.engines.protocol import Engine, Finding, LauncherConfig
from runslot.engines.ssh.host import RemoteHost
from runslot.engines.ssh.launcher import SSHLauncher, expected_there, share
from runslot.engines.ssh.pool import PoolTerms
from runslot.engines.ssh.probe import check_host
from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.records import travels_by_value
from runslot.transport.ssh import Host, check_host_name
from runslot.transport.zipapp import experiment_archive


@dataclass(frozen=True)
class SSH(LauncherConfig):
    """Hosts that `ssh NAME` reaches without a password; the slots of all of them are one
    schedule's.
    """

    grows: ClassVar[bool] = True

    name: str
    """Of the pool, for people."""
    hosts: tuple[str, ...]
    """As `ssh` takes them: `Host` entries of the ssh configuration, or `user@host`."""
    python: str = "python3"
    """The interpreter there, 3.10 or newer, with the packages that the runs need; `~/` is the home
    there.
    """
    root: str = "~/.runslot"
    """Where experiments lie there."""
    config: str | None = None
    """Another ssh configuration file (`ssh -F`)."""
    options: tuple[str, ...] = ()
    """Further ssh options, as `-o` takes them: `Port=2222`."""
    environment: tuple[str, ...] = ()
    """Names of the caller's variables that the runs get; all others are the host's own."""
    sync_every: float = 5.0
    """Seconds between looks at what has changed there."""
    lost_after: float = 180.0
    """Seconds of silence after which a host's runs are lost, and retried elsewhere where retries
    allow.
    """

    def __post_init__(self) -> None:
        if not self.hosts:
            raise InvalidInput("hosts is empty: name at least one, as ssh takes it")
        if len(set(self.hosts)) < len(self.hosts):
            raise InvalidInput(f"hosts has one of them twice: {', '.join(self.hosts)}")
        for key in ("sync_every", "lost_after"):
            if not 0 < getattr(self, key) < float("inf"):
                raise InvalidInput(
                    f"{key} is {getattr(self, key)!r}, but it is a number of seconds above 0"
                )
        for host in self.hosts:
            check_host_name(host)

    @property
    def moves(self) -> bool:
        """The experiment is brought to the hosts."""
        return True

    def open(self, experiment: OpenExperiment, runs: int, observer: Observer) -> Engine:
        """Reach the hosts, bring the experiment there, and return their slots; a host that cannot
        be used is named.
        """
        bell = Bell()
        terms = PoolTerms(
            pool=f"ssh {self.name}",
            python=self.python,
            root=self.root,
            sync_every=self.sync_every,
            lost_after=self.lost_after,
            experiment=experiment,
            archive=experiment_archive(experiment.directory).name,
            runs=share(runs, self.hosts),
            environment={
                key: experiment.environment[key]
                for key in self.environment
                if key in experiment.environment
            },
            by_value=_by_value(experiment),
        )
        expected = expected_there(terms)
        remotes: list[RemoteHost] = []
        launcher: SSHLauncher

        def say(text: str) -> None:
            launcher.say(text)

        for name in self.hosts:
            keys = [
                key
                for key, host in expected.items()
                if host in {None, name} or host not in self.hosts
            ]
            remotes.append(
                RemoteHost(Host(name, self.config, self.options), terms, keys, say, bell.ring)
            )
        launcher = SSHLauncher(remotes, bell, terms, observer)
        try:
            return Engine(launcher, launcher.connect())
        except BaseException:
            launcher.close()
            raise

    def check(self) -> Iterator[Finding]:
        """Try each host: login, Python, disk, clock, rsync, GPUs; the first thing that is not well
        ends its list.
        """
        for name in self.hosts:
            host = Host(name, self.config, self.options)
            try:
                yield from check_host(host, self.python, self.root)
            except (RunslotError, OSError) as error:
                yield Finding(f"host {name}", False, str(error))
            finally:
                host.close()


def _by_value(experiment: OpenExperiment) -> str | None:
    """Return the version of Python that the experiment's functions or variants by value were made
    with.
    """
    directory, file = experiment.directory, experiment.file
    travels = travels_by_value(file.work) or directory.payloads.is_dir()
    return file.python_version or None if travels else None
