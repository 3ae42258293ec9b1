"""The script of an array: what those of all batch systems have in common. Pure.

Every option stands in the script, so that it submits the same when it is submitted by hand.
"""

from __future__ import annotations

import math
import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from runslot.engines.batch.submissions import EMPTY, UNFIT, PackLimits, Submission
from runslot.record import record

_UNFIT_PAUSE_S = 10
"""For which a node that cannot do a task keeps it, so that nodes that can get the others; twice as
long for each further one.
"""
_UNFIT_LONGEST_PAUSE_S = 1280
_SPREAD_TASKS = 64
"""Tasks over which runs are spread that are expected to be short, before one gets several."""
_PYTHON_TRIAL = (
    "import sys; v = sys.version_info; "
    "sys.exit(0 if v >= (3, 10) else 'it is %d.%d, and 3.10 is needed' % (v[0], v[1]))"
)
_TURN_S = 20
"""For which a start waits for others of its node, at most: long enough that a busy node's tasks do
not all begin at once after it.
"""
_TURN_LINES = (
    "# Where a node leaves open which CPUs its jobs use, they begin in turns: of many that begin",
    "# at once none would be done soon, and those that come later find the runs taken.",
    "count() {  # LIST, as 0-3,7",
    "  local rs_part; rs_number=0",
    "  for rs_part in ${1//,/ }; do",
    "    rs_number=$((rs_number + ${rs_part#*-} - ${rs_part%-*} + 1))",
    "  done",
    "}",
    "{",
    '  while read -r rs_name rs_allowed && [ "$rs_name" != Cpus_allowed_list: ]; do :',
    "  done </proc/self/status",
    "  read -r rs_cpus </sys/devices/system/cpu/online",
    "} 2>/dev/null",
    'count "${rs_allowed-}"; rs_allowed="$rs_number"; count "${rs_cpus-}"; rs_cpus="$rs_number"',
    'rs_turns="/tmp/runslot-turns-$EUID"',
    'if [ "$rs_cpus" -gt 0 ] && [ "$rs_allowed" -ge "$rs_cpus" ] &&',
    '  { [ -O "$rs_turns" ] || mkdir -m 700 "$rs_turns" || [ -O "$rs_turns" ]; } 2>/dev/null &&',
    '  [ ! -L "$rs_turns" ] && exec 9>>"$rs_turns/$((rs_task % rs_cpus))" && flock -w'
    f" {_TURN_S} 9 2>/dev/null; then",
    "  export RUNSLOT_TURN=9",
    "  is_idle && exit 0",
    "fi",
)


@record
class Frame:
    """What all scripts of one experiment have around what they ask for."""

    directory: str = "/"
    """The experiment's, as the nodes see it."""
    python: str = "true"
    archive: str = ""
    """runslot itself, in one file."""
    runs_per_job: int = 1
    array_size: int = 1
    """How many tasks an array may have."""
    pack: PackLimits | None = None
    """How its tasks take each other's runs."""
    expect: float | None = None
    """Seconds that a run is expected to take."""
    at_a_time: int | None = None
    ahead: int = 0
    """Seconds before the time limit at which the tasks are told."""
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    moved: bool = False
    script_only: bool = False
    """Scripts are written, and nothing is submitted."""
    flags: tuple[str, ...] = ()
    """Of Python: a task that executes commands needs no site packages (`-S`)."""

    @property
    def command(self) -> list[str]:
        """What a task executes, to which come the options that say which task it is."""
        return [self.python, *self.flags, self.archive, "task", self.directory]

    def runs_a_task(self, runs: int) -> int:
        """Return how many of so many runs each task has: more than it does at the same time where
        they are expected to be short, as far as there are tasks enough for all to begin soon.
        """
        if self.expect is None or self.pack is None:
            return self.runs_per_job
        rounds = min(int(self.pack.task_s // self.expect), math.ceil(runs / _SPREAD_TASKS))
        return self.runs_per_job * max(1, rounds)


@dataclass(frozen=True)
class ScriptWriter(ABC):
    """Writes the scripts of one experiment."""

    frame: Frame

    submits: ClassVar[str]
    """The command that takes a script."""
    title: ClassVar[str]

    @abstractmethod
    def text(self, job_name: str, tasks: int, directory: str) -> str:
        """Return the script of an array of so many tasks, whose submission lies in a directory of
        the experiment.
        """

    @abstractmethod
    def demands(self) -> list[str]:
        """Return what a task asks for, in a few words each, the queue first."""

    def script(self, submission: Submission) -> str:
        """Return the text of a submission's script."""
        return self.text(submission.job_name, len(submission.tasks), submission.directory)

    def trial(self) -> str:
        """Return a script that asks for the same, to be tried and not to be carried out."""
        return self.text("runslot-trial", 1, "trial/0000")

    def to_type(self, submission: Submission) -> str:
        """Return the command that submits it, for people."""
        return (
            f"cd {shlex.quote(self.frame.directory)} && {self.submits}"
            f" {submission.directory}/script.sh"
        )

    def said(self) -> str:
        """Return what a task asks for, in one line."""
        place, *demands = self.demands()
        runs = f"{self.frame.runs_per_job} run{'s' * (self.frame.runs_per_job > 1)} a task"
        return f"{self.title}: {', '.join([place, runs, *demands])}"


def counted_cpus(cpus: int) -> str:
    """Return a number of CPUs in words."""
    return f"{cpus} CPU{'s' * (cpus > 1)}"


def task_lines(
    frame: Frame,
    directory: str,
    job_name: str,
    command: Sequence[str],
    task: str,
    elsewhere: Sequence[str] = (),
) -> list[str]:
    """Return the lines that get a task's shell ready and become the command.

    `task` is the shell's word for which. The shell's own variables begin with `rs_`: others may be
    the user's, whose runs inherit them. What a node lacks is seen before any run begins: the node
    and the cause are noted in the submission, or below the user's home where the node does not see
    it, and `elsewhere`, lines of shell that know `$rs_node` and `$rs_cause`, may have another node
    do the task, and end this one. A node that fails at once must not be the one that is always
    free: it waits before it ends.
    """
    python = shlex.quote(frame.python)
    modules = [shlex.quote(module) for module in frame.modules]
    return [
        "trap 'export RUNSLOT_TIME_UP=1' USR1  # the time limit is near",
        f"rs_directory={shlex.quote(frame.directory)}",
        f"rs_submission={directory}",
        f"rs_task={task}",
        'export RUNSLOT_SCRIPT="$0"',
        "",
        *_unfit_lines(job_name, elsewhere),
        "",
        "# A new directory may take a network disk some seconds to show.",
        "for rs_pause in 1 1 1 1 0; do",
        '  cd "$rs_directory" 2>/dev/null && [ -r "$rs_submission/tasks.json" ] && break',
        '  [ "$rs_pause" = 1 ] || unfit "it does not see $rs_directory"',
        '  ls "${rs_directory%/*}" >/dev/null 2>&1; sleep "$rs_pause"',
        "done",
        'rs_log="$rs_submission/$rs_task.log"',
        '{ : >>"$rs_log"; } 2>/dev/null || unfit "it cannot write to $rs_directory"',
        'exec >>"$rs_log" 2>&1',
        'if [ -n "${RUNSLOT_UNFIT_NODE-}" ]; then  # what another node could not note',
        f"  {{ printf '%s\\n' \"$RUNSLOT_UNFIT_CAUSE\" "
        f'>"$rs_submission/{UNFIT}/$RUNSLOT_UNFIT_NODE"; }} 2>/dev/null',
        "fi",
        f'is_idle() {{ [ -e "$rs_submission/{EMPTY}" ] && [ ! -s "$rs_log" ]; }}',
        "is_idle && exit 0  # others have taken all runs",
        '[ -z "${RUNSLOT_UNFIT-}" ] || unfit "$RUNSLOT_UNFIT"  # what the task itself met',
        "",
        *_TURN_LINES,
        "",
        *(f"module load {name} || unfit 'module load '{name}' failed'" for name in modules),
        *frame.setup,
        f"if ! rs_words=$({python} -S -E -c {shlex.quote(_PYTHON_TRIAL)} 2>&1); then",
        f"  unfit 'Python does not start ('{python}'): '\"${{rs_words#*line [0-9]*: }}\"",
        "fi",
        "trap '' USR1  # until the task listens",
        f'exec {shlex.join(command)} --task "$rs_task"',
        "",
    ]


def _unfit_lines(job_name: str, elsewhere: Sequence[str]) -> list[str]:
    """Return the shell's function that notes what this node lacks, and ends the task."""
    return [
        "unfit() {  # CAUSE: what this node lacks",
        '  rs_cause="$1" rs_node="${SLURMD_NODENAME:-$(hostname)}"',
        "  unset RUNSLOT_UNFIT",
        f'  rs_place="$rs_directory/$rs_submission/{UNFIT}"',
        f'  rs_aside="$HOME/.runslot/unfit/{job_name}"',
        '  if [ ! -w "$rs_place" ]; then',
        '    rs_place="$rs_aside"',
        '    mkdir -p "$rs_aside" 2>/dev/null && exec >>"$rs_aside/$rs_task.log" 2>&1',
        "  fi",
        '  rs_note="$rs_place/$rs_node"',
        '  { [ -s "$rs_note" ] || printf \'%s\\n\' "$rs_cause" >>"$rs_note"; } 2>/dev/null',
        '  { echo "$rs_task" >>"$rs_note"; } 2>/dev/null',
        *(f"  {line}" for line in elsewhere),
        '  echo "this node ($rs_node) cannot do the task: $rs_cause"',
        f'  rs_pause={_UNFIT_PAUSE_S} rs_count="$(wc -l 2>/dev/null <"$rs_note")"',
        f'  while [ "${{rs_count:-0}}" -gt 2 ] && [ "$rs_pause" -lt {_UNFIT_LONGEST_PAUSE_S} ]; do',
        "    rs_pause=$((2 * rs_pause)) rs_count=$((rs_count - 1))",
        "  done",
        '  sleep "$rs_pause"',
        "  exit 1",
        "}",
    ]
