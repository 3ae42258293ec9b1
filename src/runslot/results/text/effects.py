"""What matters, in a terminal: where the variance of the scores is, what each hyperparameter does,
and what trying more brings.

Called by `runslot results --effects`. Nothing is scaled to a sum, so that chance shows as chance.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runslot.results.comparison import Comparison
from runslot.results.effects import Effects, effects_of
from runslot.results.statistics.importance import VarianceShares
from runslot.results.statistics.scores import Interval
from runslot.results.text.table import many, notes_of, show, way_words

_PAIRS_SHOWN = 3
_MAIN_SHOWN, _VALUES_SHOWN = 12, 24
"""Hyperparameters, and values of them, in a terminal."""
_LEAST_PAIR_SHARE = 0.01


def print_effects(comparison: Comparison, console: Console) -> None:
    """Print what explains the variance of the final values, what diverges, and the expected best,
    task by task; `InvalidInput` where no run has a metric."""
    effects = effects_of(comparison)
    variants = many(len(comparison.accounting.groups), "variant")
    heading = f"{variants} · {comparison.metric}, {way_words(comparison.mode)}"
    show(console, Text(heading, style="bold"))
    for effect in effects:
        if effect.task:
            show(console, Text(f"{effect.task}: {many(effect.variants, 'variant')}", style="bold"))
        show(console, _seeds(effect, comparison.metric or ""))
        for part in (_shares(effect, console), _divergence(effect, console), _budget(effect)):
            show(console, part)
    for note in notes_of(comparison, comparison.table.height):
        if not note.plain.startswith(("final:", "First")):
            show(console, note)


def _seeds(effect: Effects, metric: str) -> Text:
    if effect.deviations is None:
        return Text("Seeds: no variant has two runs that differ, so that nothing tells their part.")
    within, between = effect.deviations
    return Text(
        f"Standard deviation of {metric}: {within:.2g} between the seeds of one variant,"
        f" {between:.2g} between variants."
    )


def _shares(effect: Effects, console: Console) -> Table | Text:
    shares = effect.shares
    if shares is None:
        return Text(f"Hyperparameters: {effect.no_shares}.")
    table = _table(("explains", "share", "range over forests"), console.is_terminal)
    main = list(shares.main.items())
    limit = _MAIN_SHOWN if console.is_terminal and len(main) > _MAIN_SHOWN + 1 else len(main)
    rows: list[tuple[str, Interval]] = main[:limit]
    pairs = [(" × ".join(pair), share) for pair, share in shares.pairs.items()]
    rows += [(n, share) for n, share in pairs[:_PAIRS_SHOWN] if share.estimate >= _LEAST_PAIR_SHARE]
    for name, share in rows:
        table.add_row(Text(name), f"{share.estimate:.0%}", f"{share.low:.0%} to {share.high:.0%}")
    if main[limit:]:
        most = f"≤ {main[limit][1].estimate:.0%}"
        table.add_row(f"{len(main) - limit} more (--json has all)", most, "")
    if shares.seeds is not None:
        table.add_row("seeds", f"{shares.seeds:.0%}", "")
    table.add_row(_rest(shares), f"{shares.unexplained:.0%}", "")
    return table


def _rest(shares: VarianceShares) -> str:
    return "nothing of these" if shares.seeds is not None else "nothing of these, or seeds"


def _divergence(effect: Effects, console: Console) -> Table | Text:
    rates = effect.divergence
    if not rates.height or not rates["diverged"].sum():
        return Text("No run diverged.")
    table = _table(("hyperparameter", "value", "diverged", "chance"), console.is_terminal)
    left_out = rates.height - _VALUES_SHOWN if console.is_terminal else 0
    if left_out > 1:
        rates = rates.sort("share", descending=True, maintain_order=True).head(_VALUES_SHOWN)
    for parameter, value, runs, diverged, share, low, high in rates.iter_rows():
        table.add_row(
            Text(parameter),
            Text(value),
            f"{diverged} of {runs}",
            f"{share:.0%} ({low:.0%} to {high:.0%})",
        )
    if left_out > 1:
        most = f"≤ {rates['share'][-1]:.0%}"
        table.add_row(f"{left_out} more (--json has all)", "", "", most)
    return table


def _budget(effect: Effects) -> Text:
    best = effect.expected_best
    if len(best) < 2:
        return Text("The best of fewer variants: there is one.")
    words = ", ".join(f"{count}: {best[count - 1]:.4g}" for count in _counts(len(best)))
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
