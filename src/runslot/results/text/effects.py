"""What matters, in a terminal: where the variance of the scores is, what each hyperparameter does,
and what trying more brings.

Called by `runslot results --effects`. Nothing is scaled to a sum, so that chance shows as chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runslot.errors import InvalidInput, NotInstalled
from runslot.results.comparison import Comparison
from runslot.results.statistics.importance import (
    VarianceShares,
    divergence,
    variance_components,
    variance_shares,
)
from runslot.results.statistics.scores import Interval
from runslot.results.statistics.selection import expected_best
from runslot.results.text.table import many, notes_of, show, way_words
from runslot.results.verdicts import samples_of

_PAIRS_SHOWN = 3
_LEAST_PAIR_SHARE = 0.01


def print_effects(comparison: Comparison, console: Console) -> None:
    """Print what explains the variance of the final values, what diverges, and the expected best;
    `InvalidInput` where no run has a metric."""
    if comparison.metric is None:
        raise InvalidInput("no run has logged a metric, so that nothing explains it")
    variants = many(len(comparison.accounting.groups), "variant")
    heading = f"{variants} · {comparison.metric}, {way_words(comparison.mode)}"
    show(console, Text(heading, style="bold"))
    for part in (_seeds(comparison), *_shares(comparison, console.is_terminal)):
        show(console, part)
    for part in (*_divergence(comparison, console.is_terminal), _budget(comparison)):
        show(console, part)
    for note in notes_of(comparison, comparison.table.height):
        if not note.plain.startswith(("final:", "First")):
            show(console, note)


def _seeds(comparison: Comparison) -> Text:
    groups = [sample.scores for sample in samples_of(comparison) if sample.has_value]
    components = variance_components(groups)
    if components is None or math.isnan(components.seed_share):
        return Text("Seeds: no variant has two runs that differ, so that nothing tells their part.")
    return Text(
        f"Standard deviation of {comparison.metric}: {math.sqrt(components.within):.2g} between"
        f" the seeds of one variant, {math.sqrt(components.between):.2g} between variants."
    )


def _shares(comparison: Comparison, terminal: bool) -> list[Table | Text]:
    try:
        shares = variance_shares(
            comparison.results,
            comparison.metric or "",
            comparison.mode,
            rule=comparison.accounting.rule,
        )
    except (NotInstalled, InvalidInput) as error:
        return [Text(f"Hyperparameters: {error}.")]
    table = _table(("explains", "share", "range over forests"), terminal)
    rows: list[tuple[str, Interval]] = list(shares.main.items())
    pairs = [(" × ".join(pair), share) for pair, share in shares.pairs.items()]
    rows += [(n, share) for n, share in pairs[:_PAIRS_SHOWN] if share.estimate >= _LEAST_PAIR_SHARE]
    for name, share in rows:
        table.add_row(Text(name), f"{share.estimate:.0%}", f"{share.low:.0%} to {share.high:.0%}")
    if shares.seeds is not None:
        table.add_row("seeds", f"{shares.seeds:.0%}", "")
    table.add_row(_rest(shares), f"{shares.unexplained:.0%}", "")
    return [table]


def _rest(shares: VarianceShares) -> str:
    return "nothing of these" if shares.seeds is not None else "nothing of these, or seeds"


def _divergence(comparison: Comparison, terminal: bool) -> list[Table | Text]:
    rates = divergence(
        comparison.results,
        comparison.metric or "",
        rule=comparison.accounting.rule,
        level=comparison.level,
    )
    if not rates.height or not rates["diverged"].sum():
        return [Text("No run diverged.")]
    table = _table(("hyperparameter", "value", "diverged", "chance"), terminal)
    for parameter, value, runs, diverged, share, low, high in rates.iter_rows():
        table.add_row(
            Text(parameter),
            Text(value),
            f"{diverged} of {runs}",
            f"{share:.0%} ({low:.0%} to {high:.0%})",
        )
    return [table]


def _budget(comparison: Comparison) -> Text:
    means = [sample.mean for sample in samples_of(comparison) if sample.has_value]
    if len(means) < 2:
        return Text("The best of fewer variants: there is one.")
    best = expected_best(means, comparison.mode)
    counts = _counts(len(best))
    words = ", ".join(f"{count}: {best[count - 1]:.4g}" for count in counts)
    return Text(f"The best of so many of these variants, expected: {words}.")


def _counts(total: int) -> list[int]:
    """Return 1, 2, 4, …, and all."""
    counts = [1]
    while counts[-1] * 2 < total:
        counts.append(counts[-1] * 2)
    return [*counts, total]


def _table(names: Sequence[str], terminal: bool) -> Table:
    table = Table(box=SIMPLE_HEAD if terminal else None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place == 0 else "right")
    return table
