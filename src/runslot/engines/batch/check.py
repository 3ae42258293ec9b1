"""`runslot launchers check NAME`: whether a cluster is ready, one thing after the other, as far as
all have it.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence

from runslot.engines.batch.cluster import BatchCluster, BatchError
from runslot.engines.protocol import Finding
from runslot.errors import RunslotError


def check_batch(
    cluster: BatchCluster,
    python: str | None,
    version: Sequence[str],
    further: Callable[[], Iterator[Finding]],
    ask_again: str,
) -> Iterator[Finding]:
    """Yield what was tried; the first thing without which nothing else can be tried ends the list.

    `version` is the command that prints the system's; `ask_again` says how to see whether it
    answers.
    """
    try:
        if cluster.host is not None:
            cluster.host.connect()
            yield Finding(f"login {cluster.where}", True)
        missing = [program for program in cluster.programs if not cluster.has(program)]
        if missing:
            fix = str(cluster.missing(missing[0]))
            yield Finding(
                f"commands on {cluster.where}", False, f"missing: {', '.join(missing)}", fix
            )
            return
        process = cluster.run(version)
        printed = (process.stdout + process.stderr).decode(errors="replace").split("\n")[0].strip()
        yield Finding(f"commands on {cluster.where}", True, printed)
        yield from further()
        yield _python(cluster, python)
    except (RunslotError, OSError) as error:
        fix = (
            f"try again later; {ask_again}" if isinstance(error, BatchError) and error.retry else ""
        )
        yield Finding(f"{cluster.title} on {cluster.where}", False, str(error), fix)


def _python(cluster: BatchCluster, configured: str | None) -> Finding:
    python = configured or (sys.executable if cluster.host is None else "python3")
    command = [python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]
    process = cluster.run(["sh", "-c", shlex.join(command)])
    printed = (process.stdout or process.stderr).decode(errors="replace").strip()
    version = re.match(r"(\d+)\.(\d+)", printed)
    well = version is not None and (int(version[1]), int(version[2])) >= (3, 10)
    return Finding(
        f"Python: {python}", well, printed, "" if well else "python = the path of one from 3.10 on"
    )
