"""One small task on a node, for `runslot launchers check`: does it see the directory, start Python,
have GPUs, tell the time; and nothing is left of it.

It asks for what a run would, for a minute at most. What it finds it writes into a directory beside
the experiments; a task that wrote nothing did not see it, and only its exit code tells.
"""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from runslot.engines.batch.cluster import BatchCluster
from runslot.engines.batch.script import Frame
from runslot.engines.batch.task import Task
from runslot.engines.batch.wait_reason import wait_reason
from runslot.engines.protocol import Finding
from runslot.errors import RunslotError
from runslot.experiment.settings import default_root
from runslot.hardware.resources import Resources

if TYPE_CHECKING:
    from runslot.engines.batch.config import BatchConfig

_PATIENCE_S = 60
"""For which the task may wait in the queue; then it is cancelled."""
_LOOK_S = 1.0
_CLOCK_S = 5
"""By which clocks may differ."""
_BODY = """\
directory=@directory
cd "$directory" 2>/dev/null && [ "$(cat token)" = @token ] || exit 3
answer() { printf '%s=%s\\n' "$1" "$2" >>"$directory/answer.part"; }
answer node "${SLURMD_NODENAME:-$(hostname)}" || exit 4
answer clock "$(date +%s)"
@setup
python=$(@python -S -E -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>&1)
answer python "${python#*line [0-9]*: }"
answer gpus "$(nvidia-smi -L 2>/dev/null | grep -c GPU)"
answer visible "${CUDA_VISIBLE_DEVICES-}"
mv answer.part answer
"""


def probe_cluster(config: BatchConfig, cluster: BatchCluster) -> Iterator[Finding]:
    """Submit the task, wait for it, and yield what it found."""
    name = cluster.job_name("runslot-check")
    token = name[-8:]
    root = config.root if cluster.host is not None else str(default_root())
    directory = ""
    try:
        make = 'mkdir -p "$1/$2" && cd "$1/$2" && echo "$3" >token && pwd'
        directory = _shell(cluster, make, root, f".{name}", token).strip()
        job = cluster.submit_text(_script(config, cluster, name, directory))
        yield from _findings(config, cluster, name, job, directory)
    except (RunslotError, ValueError) as error:
        yield Finding("a task on a node", False, str(error))
    finally:
        if directory:
            _shell(cluster, 'cd / && rm -r "$1"', directory)


def _shell(cluster: BatchCluster, script: str, *words: str) -> str:
    if words[0].startswith("~/"):
        script = 'case $1 in "~/"*) set -- "$HOME/${1#??}" "$2" "$3" ;; esac; ' + script
    return cluster.call(["sh", "-c", script, "sh", *words])


def _python_of(config: BatchConfig, cluster: BatchCluster) -> str:
    return config.python or (sys.executable if cluster.host is None else "python3")


def _script(config: BatchConfig, cluster: BatchCluster, name: str, directory: str) -> str:
    short = config.with_values(time=config.probe_time)
    assert isinstance(short, type(config))
    lines = short.writer(Frame(directory), Resources(), cluster).text(name, 1, ".").splitlines()
    options = [line for line in lines if line.startswith(("#SBATCH ", "#PBS "))]
    setup = [f"module load {shlex.quote(module)}" for module in config.modules]
    words = {
        "@directory": shlex.quote(directory),
        "@token": name[-8:],
        "@setup": "\n".join([*setup, *config.setup]),
        "@python": shlex.quote(_python_of(config, cluster)),
    }
    body = re.sub("|".join(words), lambda match: words[match[0]], _BODY)
    return "\n".join(["#!/bin/bash -l" if setup else "#!/bin/bash", *options, body])


def _findings(
    config: BatchConfig, cluster: BatchCluster, name: str, job: str, directory: str
) -> Iterator[Finding]:
    deadline = time.monotonic() + _PATIENCE_S
    jobs = {name: job}
    while True:
        task = next(iter(cluster.queue(jobs)), None)
        if task is None or task.over:
            break
        if time.monotonic() > deadline:
            cluster.cancel({job: ()}, jobs)
            reason = wait_reason(task) if task.waits else "it did not end"
            # A full queue is no fault of the table.
            yield Finding("a task on a node", task.waits, f"not tried within a minute: {reason}")
            return
        time.sleep(_LOOK_S)
    now = time.time()
    answer = _shell(cluster, 'cat "$1/answer" 2>/dev/null || ls -a "$1"', directory)
    pairs = (line.partition("=") for line in answer.splitlines())
    yield from _judged(config, cluster, {key: value for key, _, value in pairs}, task, now)


def _judged(
    config: BatchConfig,
    cluster: BatchCluster,
    answer: Mapping[str, str],
    task: Task | None,
    now: float,
) -> Iterator[Finding]:
    node = answer.get("node") or (task.node if task is not None else "") or "a node"
    if "python" not in answer:
        state = f"its task ended as {task.state}" if task is not None else "its task left no trace"
        yield Finding(
            f"directory on {node}",
            False,
            f"{state} and wrote nothing: it does not see the experiments' directory, or may not"
            " write there",
            "root (with login), --root or RUNSLOT_ROOT = a directory on a disk that the nodes see",
        )
        return
    yield Finding(f"directory on {node}", True, "seen and writable")
    yield _python_finding(node, _python_of(config, cluster), answer["python"])
    gpus = f"{answer['gpus']} GPUs by nvidia-smi, CUDA_VISIBLE_DEVICES={answer['visible']!r}"
    yield Finding(f"GPUs on {node}", True, gpus)
    skew = float(answer["clock"]) - now  # it answered a second or two ago
    well = -_CLOCK_S - _LOOK_S * 2 <= skew <= _CLOCK_S
    yield Finding(f"clock on {node}", well, "" if well else f"it differs by {skew:.0f} s from here")


def _python_finding(node: str, python: str, words: str) -> Finding:
    version = re.fullmatch(r"(\d+)\.(\d+)\.\d+", words)
    well = version is not None and (int(version[1]), int(version[2])) >= (3, 10)
    fix = "" if well else "python = the path of one from 3.10 on, which the nodes have"
    return Finding(f"Python on {node}: {python}", well, words, fix)
