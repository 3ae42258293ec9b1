"""Ask SkyPilot: each question is a process of `driver`, in this interpreter or in one that has
SkyPilot installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runslot.engines.sky.driver.quota import Quota
from runslot.errors import InvalidInput, NotInstalled, RunslotError, extra_said
from runslot.experiment.files import open_to_append
from runslot.record import record
from runslot.transport.zipapp import one_file

_PATIENCE = {
    "credentials": 400,
    "offer": 180,
    "quotas": 180,
    "identity": 180,
    "look": 300,
    "log": 120,
    "give_back": 1200,
}
"""Seconds for an answer; the first, for credentials, starts SkyPilot's server, which takes minutes
on a machine that is busy. Renting takes as long as the cloud does.
"""


class CloudRefused(RunslotError):
    """The cloud does not give, or does not answer, now."""

    retry = True


@record
class Offer:
    """What would be rented, and its price."""

    what: str
    price: float
    """Dollars an hour."""
    vcpus: float = 0.0
    """0: not known."""
    gpus: int = 0
    has_controller: bool = False
    """Whether what looks after managed jobs is a part of SkyPilot's server, and costs nothing."""
    controller: str = ""
    """What SkyPilot rents to look after managed jobs, where it has nothing that does."""
    controller_price: float = 0.0


@record
class Sight:
    """A machine that runslot rented, as SkyPilot sees it."""

    name: str
    managed: bool = False
    """Whether a managed job has it."""
    state: str = "gone"
    """`gone`, `starting`, `up`, or `ended` with its job."""
    status: str = ""
    """The state in SkyPilot's word."""
    job: str = ""
    """State of its last job, in SkyPilot's word, where one was asked for by name."""
    said: str = ""
    """Why its job ended, in SkyPilot's words."""
    recoveries: int = 0
    """How often SkyPilot has rented it anew."""
    infra: str = ""
    price: float = 0.0
    """Dollars an hour; 0 where it is not known."""
    since: float = 0.0
    """Unix time."""

    @property
    def working(self) -> bool:
        """Whether its job may still do something."""
        jobs = {"", "INIT", "PENDING", "SETTING_UP", "RUNNING"}
        return self.state not in {"gone", "ended"} and self.job in jobs


class SkyPilot:
    """The questions; each may take from seconds to minutes."""

    def __init__(self, python: str | None = None, log: Path | None = None) -> None:
        """`python` is an interpreter that has SkyPilot, this one if it is not given; `log` takes
        what it prints.
        """
        self._python = os.path.expanduser(python) if python else sys.executable  # noqa: PTH111
        self._log = log

    def offer(self, task: Mapping[str, Any], managed: bool = False) -> Offer:
        """Return what would be rented for a task; `InvalidInput` where the catalog has no such
        machine.
        """
        return Offer(**self._ask("offer", task=task, managed=managed))

    def rent(
        self,
        task: Mapping[str, Any],
        name: str,
        settings: Mapping[str, Any],
        managed: bool = False,
        hold: int | None = None,
        dryrun: bool = False,
    ) -> None:
        """Rent a machine and submit its job, with `settings` in SkyPilot's configuration; who rents
        keeps the descriptor `hold` open, even after we have died.
        """
        words = {"task": task, "name": name, "settings": settings, "managed": managed}
        self._ask("rent", hold, **words, dryrun=dryrun)

    def look(self, machines: Mapping[str, bool]) -> dict[str, Sight]:
        """Return how machines are, by name, each of which is a managed job's or not: one question
        for all of them.
        """
        sights = {sight["name"]: Sight(**sight) for sight in self._ask("look", machines=machines)}
        return {name: sights.get(name, Sight(name)) for name in machines}

    def alive(self) -> list[Sight]:
        """Return all machines that runslot rented and that SkyPilot knows of."""
        return [Sight(**sight) for sight in self._ask("look")]

    def log(self, name: str, managed: bool = False) -> str:
        """Return the last lines that a machine's job printed."""
        return str(self._ask("log", name=name, managed=managed))

    def give_back(self, name: str, managed: bool = False) -> None:
        """Give a machine back; `CloudRefused` where it may still be there."""
        self._ask("give_back", name=name, managed=managed)

    def credentials(self, cloud: str) -> tuple[bool, str]:
        """Tell whether a cloud can be used, and why not."""
        answer = self._ask("credentials", cloud=cloud)
        return bool(answer["well"]), str(answer["said"])

    def quotas(self, task: Mapping[str, Any]) -> tuple[Quota, ...]:
        """Return how much of a task's machine the account may rent, in each region where it would
        be looked for.
        """
        return tuple(Quota(**quota) for quota in self._ask("quotas", task=task))

    def identity(self, cloud: str) -> tuple[bool | None, str]:
        """Tell whether machines of a cloud can have an identity of their own, and what is missing;
        None where that is not known.
        """
        answer = self._ask("identity", cloud=cloud)
        return answer["well"], str(answer["said"])

    def _ask(self, verb: str, hold: int | None = None, **arguments: Any) -> Any:
        question = json.dumps({"verb": verb, **arguments})
        try:
            # A session of its own: Ctrl-C is for the launch, which decides what becomes of the
            # machines.
            process = subprocess.run(
                [self._python, "-m", "runslot.engines.sky.driver"],
                input=question,
                capture_output=True,
                text=True,
                check=False,
                env=self._environment(),
                start_new_session=True,
                pass_fds=() if hold is None else (hold,),
                timeout=_PATIENCE.get(verb),
            )
        except subprocess.TimeoutExpired:
            raise CloudRefused(
                f"SkyPilot has not answered in {_PATIENCE[verb]} s ({verb})"
            ) from None
        except OSError as error:
            raise NotInstalled(
                f"{self._python} cannot be started ({error.strerror}): name a Python with SkyPilot"
            ) from error
        self._note(verb, process.stderr)
        try:
            answer = json.loads(process.stdout)
        except ValueError:
            last = process.stderr.strip().splitlines()[-1:] or [f"exit status {process.returncode}"]
            raise CloudRefused(f"SkyPilot did not answer ({verb}): {last[0]}") from None
        if "refused" not in answer:
            return answer["answer"]
        if answer["refused"] == "missing":
            raise NotInstalled(
                f"rented machines need SkyPilot (800 MB): {answer['said']}; {extra_said('cloud')},"
                " or install skypilot[aws,gcp] in an environment of its own and name its"
                " interpreter as skypilot_python"
            )
        raise (InvalidInput if answer["refused"] == "invalid" else CloudRefused)(answer["said"])

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
        if self._python != sys.executable:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runslot"
            environment["PYTHONPATH"] = str(one_file(cache))
        return environment

    def _note(self, verb: str, text: str) -> None:
        if self._log is not None and text.strip():
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(open_to_append(self._log), "a") as log:
                log.write(f"--- {verb}\n{text.rstrip()}\n")
