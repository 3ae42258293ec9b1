"""What other terminals ask of the launcher at work, or of a worker: files in its `requests/`,
oldest first.

Who stops, pauses, or continues leaves them; `engines.open_experiment` reads and removes them. A
file appears whole, by rename, or is its name alone.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from runslot.experiment.files import write_json
from runslot.experiment.owner import refuse_links_of_others
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.shape import FORMAT

REQUEST_NAME = re.compile(r"\d{1,24}-\d{1,24}\.(json|stop|kill)")
"""Of a request's file: when, and which process asked."""


def leave_request(
    directory: ExperimentDir, verb: str, arguments: Sequence[str] = (), worker: str | None = None
) -> Path:
    """Leave a request for the launcher at work, or a worker, by rename; returns its file, which
    that removes.
    """
    directory.require_own()
    requests = directory.requests if worker is None else directory.worker_requests(worker)
    refuse_links_of_others(str(directory.path), requests.relative_to(directory.path).as_posix())
    file = _next_request(requests, "json")
    write_json(file, {"format": FORMAT, "verb": verb, "arguments": list(arguments)})
    return file


def leave_bare_request(directory: ExperimentDir, verb: Literal["stop", "kill"]) -> Path:
    """Leave a request about all runs that is its name alone: for a full disk, which still takes an
    empty file.
    """
    directory.require_own()
    file = _next_request(directory.requests, verb)
    file.touch()
    return file


def _next_request(requests: Path, suffix: str) -> Path:
    requests.mkdir(exist_ok=True, parents=True)
    names = os.listdir(requests)  # noqa: PTH208
    before = [int(name.partition("-")[0]) for name in names if REQUEST_NAME.fullmatch(name)]
    number = max([time.time_ns(), *(number + 1 for number in before)])  # clocks are set back
    return requests / f"{number}-{os.getpid()}.{suffix}"
