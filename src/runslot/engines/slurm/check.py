"""`runslot launchers check NAME`: whether a cluster is ready, one thing after the other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runslot.engines.batch.cluster import BatchError
from runslot.engines.protocol import Finding
from runslot.engines.slurm.cluster import Cluster
from runslot.errors import RunslotError

if TYPE_CHECKING:
    from runslot.engines.slurm.config import Slurm


def check_cluster(configured: Slurm, cluster: Cluster) -> Iterator[Finding]:
    """Yield what was tried; the first thing without which nothing else can be tried ends the list."""
    try:
        if cluster.host is not None:
            cluster.host.connect()
            yield Finding(f"login {cluster.where}", True)
        missing = [program for program in cluster.programs if not cluster.has(program)]
        if missing:
            yield Finding(
                f"commands on {cluster.where}",
                False,
                f"missing: {', '.join(missing)}",
                str(cluster.missing(missing[0])),
            )
            return
        yield Finding(f"commands on {cluster.where}", True, cluster.call(["sbatch", "--version"]).strip())
        size = cluster.array_size()
        yield Finding("controller", True, f"arrays of up to {size} tasks")
        yield _partition(configured, cluster)
        yield _job(configured, cluster)
        yield _python(configured, cluster)
        yield _accounts(cluster)
    except (RunslotError, OSError) as error:
        yield Finding(f"Slurm on {cluster.where}", False, str(error), _fix(error))


def _fix(error: Exception) -> str:
    if isinstance(error, BatchError) and error.retry:
        return "try again later; `scontrol ping` says whether the controller answers"
    return ""


def _partition(configured: Slurm, cluster: Cluster) -> Finding:
    wanted = [f"--partition={configured.partition}"] if configured.partition else []
    lines = cluster.call(["sinfo", "--noheader", "--format=%P|%a|%l|%F|%G", *wanted]).splitlines()
    chosen = [line for line in lines if configured.partition or line.partition("|")[0].endswith("*")]
    if not chosen:
        name = configured.partition or "(default)"
        known = ", ".join(sorted({line.partition("|")[0].rstrip("*") for line in lines})) or "see `sinfo -s`"
        return Finding(f"partition {name}", False, "there is none of that name", f"partition = one of: {known}")
    said = []
    for line in chosen:
        name, state, limit, nodes, gres = (*line.split("|"), "", "", "", "")[:5]
        said.append(f"{name.rstrip('*')}: {state}, limit {limit}, nodes allocated/idle/other/total {nodes}, {gres}")
    return Finding("partition", all(line.split("|")[1] == "up" for line in chosen), "; ".join(said))


def _job(configured: Slurm, cluster: Cluster) -> Finding:
    """Try a job of one run with the table's options, which is not submitted."""
    from runslot.engines.slurm.script import Array, Asked, gres_of, script_of
    from runslot.hardware.resources import Resources

    asked = Asked(
        (configured.cpus or 1) * configured.runs_per_job,
        gres_of(configured.gres, Resources(), configured.runs_per_job),
        configured.mem, configured.partition, configured.account, configured.qos, configured.time,
        configured.constraint, configured.options,
    )  # fmt: skip
    text = script_of(Array("runslot-trial", 1, "slurm/0000", "/", None, 0), asked, "true", "", (), (), False)
    try:
        cluster.test(text)
    except BatchError as error:
        return Finding("a job with these options", False, str(error))
    return Finding("a job with these options", True, "would be taken")


def _python(configured: Slurm, cluster: Cluster) -> Finding:
    import sys

    python = configured.python or (sys.executable if cluster.host is None else "python3")
    command = [python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]
    try:
        said = cluster.call(["sh", "-c", shlex.join(command)]).strip()
    except RunslotError as error:
        return Finding(
            f"Python: {python}", False, str(error), "python = the path of one from 3.10 on, which the nodes have"
        )
    found = re.match(r"(\d+)\.(\d+)", said)
    well = found is not None and (int(found[1]), int(found[2])) >= (3, 10)
    return Finding(f"Python: {python}", well, said, "" if well else "python = the path of one from 3.10 on")


def _accounts(cluster: Cluster) -> Finding:
    try:
        cluster.call(["sacct", "--noheader", "--allocations"])
    except RunslotError:
        return Finding("accounts (sacct)", True, "not kept: ends are seen for as long as squeue remembers them")
    return Finding("accounts (sacct)", True)
