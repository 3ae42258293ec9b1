"""`runslot selftest`: prove on this machine that kills, a full disk or a dead node lose no run and
double none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from runslot.cli.parameters import value
from runslot.terminal_text import echo


def selftest(
    chaos: Annotated[
        float, value(metavar="SECONDS", least=1, help="For how long runs are killed.")
    ] = 20.0,
    directory: Annotated[
        Path | None,
        value(
            "--in",
            metavar="DIR",
            help="On the file system of this directory; else a temporary one.",
        ),
    ] = None,
) -> None:
    """Run a few hundred tiny runs while their launchers, keepers and they themselves are killed at
    random.

    Then a few more on a disk that fills up, under a keeper that is stopped, on a node that is gone,
    and in a root that is moved; what this machine cannot do is skipped, and said. Afterwards it
    says whether a run was lost or executed twice; the exit status is 1 if so. It takes one core or
    an eighth of them for each of its slots, holds no lease that your own runs would wait for, and
    cleans up after itself.
    """
    import shutil
    import tempfile

    from runslot.errors import InvalidInput
    from runslot.testing.chaos import chaos as run_chaos
    from runslot.testing.chaos import kills_said

    try:
        place = Path(tempfile.mkdtemp(prefix="runslot-selftest-", dir=directory)).resolve()
    except OSError as error:
        raise InvalidInput(
            f"{directory or tempfile.gettempdir()} cannot be written to: {error.strerror}"
        ) from error
    echo(f"killing at random for {chaos:g} s, in {place}")
    report = run_chaos(place, chaos, echo)
    echo(
        f"{report.runs} runs in {report.experiments} experiments; killed"
        f" {kills_said(report.kills)}; resumed {report.resumes} time{'s' * (report.resumes != 1)}"
    )
    report.problems += _problems_at_edges(place)
    if report.problems:
        for problem in report.problems:
            echo(problem)
        echo(f"{len(report.problems)} problems; all is kept in {place}")
        raise SystemExit(1)
    shutil.rmtree(place)
    echo("nothing was lost, nothing was executed twice")


def _problems_at_edges(place: Path) -> list[str]:
    """Try what a disk, a keeper, a node and a root can do to runs; say how each went."""
    from runslot.testing.chaos import environment_at
    from runslot.testing.edges import EDGES, Impossible

    problems: list[str] = []
    for edge in EDGES:
        part = place / edge.name.split()[-1]
        part.mkdir()
        try:
            wrong = [
                f"{edge.name}: {problem}" for problem in edge.attempt(part, environment_at(part))
            ]
        except Impossible as reason:
            echo(f"{edge.name}: skipped, {reason}")
            continue
        problems += wrong
        echo(f"{edge.name}: {'wrong' if wrong else 'right'}")
    return problems
