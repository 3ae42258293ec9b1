"""What `runslot results` does where it is asked to decide: `--vs`, `compare A B`, and the same as
JSON or LaTeX.

Called by `results`; the decisions are `runslot.results.verdicts`'.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from runslot.cli.further_seeds import further_seeds_command
from runslot.cli.places import places_of
from runslot.cli.render.console import console
from runslot.errors import InvalidInput
from runslot.record import record
from runslot.results.comparison import Comparison, Spread, compare
from runslot.results.confirmation import confirmed
from runslot.results.export import write_frame
from runslot.results.read.reader import load
from runslot.results.results import Results
from runslot.results.step import results_at
from runslot.results.summary import Mode
from runslot.results.text.table import show_table
from runslot.results.trials import objective_of, with_trials
from runslot.results.verdicts import Verdicts, decide, decide_experiments, decide_pair
from runslot.terminal_text import echo


@record
class Question:
    """Which runs are compared, and by what."""

    metric: str | None
    mode: Mode | None
    include: tuple[str, ...]
    diverged: str
    spread: Spread
    level: float
    at: str | None
    where: tuple[str, ...]
    path: str | None
    log: tuple[str, ...]
    all_seeds: bool = False
    """Whether the runs count, too, by which confirmed variants were chosen."""

    def read(self, paths: Sequence[Path] | None) -> Results:
        """Return the runs that are meant."""
        runs = load(places_of(paths), path=self.path, log=self.log).where(*self.where)
        return with_trials(runs if self.all_seeds else confirmed(runs))

    def compare(self, paths: Sequence[Path] | None) -> Comparison:
        """Read the runs and compare them; `InvalidInput` says what to change."""
        metric, mode = self.metric, self.mode
        runs = self.read(paths)
        if mode is None:
            goal, way = objective_of(runs)
            if metric in {None, goal}:
                metric, mode = goal, way
        comparison = compare(
            runs,
            metric,
            mode,
            self.include,
            diverged=self.diverged,
            spread=self.spread,
            level=self.level,
        )
        if self.at is None or comparison.metric is None:
            return comparison
        comparison_at = comparison.of(results_at(runs, self.at, comparison.metric))
        return replace(comparison_at, chosen=comparison.chosen)


@record
class Output:
    """How the answer is written."""

    json: bool = False
    latex: bool = False
    checklist: bool = False
    effects: bool = False
    gap: float | None = None
    """The target of the optimality gap."""
    limit: int | None = None
    csv: str | None = None
    """A file for the table; `-` is the output."""
    parquet: Path | None = None

    def __post_init__(self) -> None:
        is_gap = self.gap is not None
        outputs = (self.latex, self.checklist, self.effects, is_gap, self.csv == "-")
        if sum(outputs) + (self.json and not (self.effects or is_gap)) > 1:
            raise InvalidInput(
                "--json, --latex, --checklist, --effects, --gap and --csv - are one output each;"
                " keep one (--effects and --gap go with --json)"
            )


def answer(words: Sequence[str], vs: str | None, question: Question, output: Output) -> None:
    """Carry out `runslot results WORDS`: print the comparison in the form that is asked for."""
    if words[:1] == ["compare"] and not Path("compare").exists():
        if vs is not None:
            raise InvalidInput("compare names both sides, and --vs one of them; keep one")
        if (
            output.checklist
            or output.effects
            or output.gap is not None
            or output.csv is not None
            or output.parquet is not None
        ):
            raise InvalidInput("compare prints a table, --json or --latex")
        print_comparison(words[1:], question, output)
        return
    _refuse_output(vs, output)
    comparison = question.compare([Path(word) for word in words])
    if output.csv == "-":
        sys.stdout.write(comparison.table.write_csv())
        echo(comparison.accounting.line(comparison.statistic), err=True)
        at = f"Values at {comparison.results.at}." if comparison.results.at else ""
        for sentence in filter(None, [comparison.results.confirmation, at]):
            echo(sentence, err=True)
    elif output.checklist:
        from runslot.results.text.checklist import checklist_of

        echo(checklist_of(comparison))
    elif output.effects:
        _print_effects(comparison, output.json)
    elif output.gap is not None and not output.json:
        from runslot.results.text.gap import print_gaps

        print_gaps(comparison, output.gap, console())
    elif vs is not None or output.json or output.latex:
        print_decision(comparison, vs, output)
    else:
        show_table(comparison, console(), limit=output.limit)
    if output.csv is not None and output.csv != "-":
        write_frame(comparison.table, Path(output.csv), "csv")
        echo(f"wrote {output.csv}", err=True)
    if output.parquet is not None:
        write_frame(comparison.table, output.parquet, "parquet")
        echo(f"wrote {output.parquet}", err=True)


def _refuse_output(vs: str | None, output: Output) -> None:
    """Refuse two outputs at once, and a file that cannot be written, before anything is read."""
    if vs is not None and (output.effects or output.gap is not None or output.checklist):
        raise InvalidInput(
            "--vs decides; --effects, --gap and --checklist are outputs of their own: keep one"
        )
    for file in (None if output.csv == "-" else output.csv, output.parquet):
        if file is not None and (Path(file).is_dir() or not Path(file).parent.is_dir()):
            raise InvalidInput(f"{file} is no file in a directory that is there")


def _print_effects(comparison: Comparison, as_json: bool) -> None:
    from runslot.results.effects import effects_document
    from runslot.results.text.effects import print_effects

    if as_json:
        document = effects_document(comparison)
        echo(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))
    else:
        print_effects(comparison, console())


def print_decision(comparison: Comparison, vs: str | None, output: Output) -> None:
    """Print every variant beside the best, or the one named."""
    if comparison.metric is None and output.json:
        _print(None, comparison, output)
        return
    _print(decide(comparison, vs or "best"), comparison, output)


def print_comparison(words: Sequence[str], question: Question, output: Output) -> None:
    """Print `compare A B [DIR…]`: two variants of DIR, or two experiments' variants beside each
    other."""
    if len(words) < 2:
        raise InvalidInput(
            "compare takes two: runslot results compare 'lr=0.1' 'lr=0.01' [DIR], or two"
            " directories"
        )
    first, second, *rest = words
    if not rest and Path(first).is_dir() and Path(second).is_dir():
        left_side, right_side = (question.compare([Path(name)]) for name in (first, second))
        metrics = {left_side.metric, right_side.metric}
        if len(metrics) > 1:
            names = " and ".join(str(metric) for metric in sorted(metrics, key=str))
            raise InvalidInput(f"the two would be compared by {names}: name one with --metric")
        both = replace(question, metric=left_side.metric, mode=left_side.mode)
        together = both.compare([Path(first), Path(second)])
        _print(decide_experiments(left_side, right_side, together), together, output)
        return
    comparison = question.compare([Path(name) for name in rest])
    verdicts = decide_pair(comparison, first, second)
    _print(verdicts, verdicts.comparison, output)


def _print(verdicts: Verdicts | None, comparison: Comparison, output: Output) -> None:
    command = None
    if verdicts is not None and verdicts.seeds_advised is not None:
        command = further_seeds_command(comparison.results, verdicts.seeds_advised[0])
    if output.json:
        from runslot.results.document import document_of, finite_json

        document = document_of(comparison, verdicts, command=command)
        if output.gap is not None:
            from runslot.results.text.gap import gaps_document

            document["optimality_gap"] = finite_json(gaps_document(comparison, output.gap))
        echo(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False))
    elif output.latex and verdicts is not None:
        from runslot.results.text.latex import latex_of

        echo(latex_of(verdicts))
    elif verdicts is not None:
        from runslot.results.text.verdicts import print_verdicts

        print_verdicts(verdicts, console(), command=command, limit=output.limit)
