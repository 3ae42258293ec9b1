"""`runslot launchers check NAME`: whether a cluster is ready, one thing after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runslot.engines.batch.check import check_batch
from runslot.engines.batch.cluster import BatchError
from runslot.engines.batch.script import Frame
from runslot.engines.protocol import Finding
from runslot.engines.slurm.cluster import SlurmCluster
from runslot.errors import RunslotError
from runslot.hardware.resources import Resources

if TYPE_CHECKING:
    from runslot.engines.slurm.config import Slurm


def check_cluster(config: Slurm, cluster: SlurmCluster) -> Iterator[Finding]:
    """Yield what was tried; the first thing without which nothing else can be tried ends the
    list.
    """
    ask_again = "`scontrol ping` says whether the controller answers"
    yield from check_batch(
        cluster,
        config.python,
        ["sbatch", "--version"],
        lambda: _findings(config, cluster),
        ask_again,
    )


def _findings(config: Slurm, cluster: SlurmCluster) -> Iterator[Finding]:
    yield Finding("controller", True, f"arrays of up to {cluster.array_size()} tasks")
    yield _partition(config, cluster)
    yield _job(config, cluster)
    yield _accounts(cluster)


def _partition(config: Slurm, cluster: SlurmCluster) -> Finding:
    options = [f"--partition={config.partition}"] if config.partition else []
    lines = cluster.call(["sinfo", "--noheader", "--format=%P|%a|%l|%F|%G", *options]).splitlines()
    rows = [line for line in lines if config.partition or line.partition("|")[0].endswith("*")]
    if not rows:
        name = config.partition or "(default)"
        names = (
            ", ".join(sorted({line.partition("|")[0].rstrip("*") for line in lines}))
            or "see `sinfo -s`"
        )
        return Finding(
            f"partition {name}", False, "there is none of that name", f"partition = one of: {names}"
        )
    texts = []
    for line in rows:
        name, state, limit, nodes, gres = (*line.split("|"), "", "", "", "")[:5]
        texts.append(
            f"{name.rstrip('*')}: {state}, limit {limit}, nodes allocated/idle/other/total {nodes},"
            f" {gres}"
        )
    return Finding("partition", all(line.split("|")[1] == "up" for line in rows), "; ".join(texts))


def _job(config: Slurm, cluster: SlurmCluster) -> Finding:
    """Try a job of one run with the table's options, which is not submitted."""
    try:
        cluster.test(config.writer(Frame(), Resources(), cluster).trial())
    except BatchError as error:
        return Finding("a job with these options", False, str(error))
    return Finding("a job with these options", True, "would be taken")


def _accounts(cluster: SlurmCluster) -> Finding:
    try:
        cluster.call(["sacct", "--noheader", "--allocations"])
    except RunslotError:
        return Finding(
            "accounts (sacct)", True, "not kept: ends are seen for as long as squeue remembers them"
        )
    return Finding("accounts (sacct)", True)
