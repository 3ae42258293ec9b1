"""What a launch may cost: the table, the worst case, the deadline that follows from the limits, the
question.
"""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING

from runslot.engines.sky.client import Offer
from runslot.errors import InvalidInput
from runslot.record import record

if TYPE_CHECKING:
    from runslot.engines.sky.config import Sky

YES = "RUNSLOT_YES"
"""Variable that answers the question, for scripts; `--yes` sets it."""

_HOURS_A_MONTH = 730.0
DISK_PRICE = {"aws": 0.08, "gcp": 0.10}
"""Dollars a GB a month of the disks that SkyPilot takes (EBS gp3; balanced persistent disk): list
prices of the cheapest regions, others are up to half as much dearer.
"""
EGRESS_PRICE = {"aws": 0.09, "gcp": 0.12}
"""Dollars a GB that leaves the cloud for home: list prices of the first terabytes."""

_LEAST_SECONDS = 900.0
"""A machine that may live less is not worth its start."""


@record
class Budget:
    """What one launch rents, and its limits."""

    config: Sky
    offer: Offer
    """One machine, by SkyPilot's catalog, without its disk."""
    machines: int
    runs: int
    spent: float = 0.0
    """Dollars that machines of the experiment have cost before, and those that still work may
    cost.
    """
    expected: float | None = None
    """Hours that each machine will take, where that is known."""

    @property
    def managed(self) -> bool:
        """Whether SkyPilot's managed jobs rent lost machines anew."""
        return self.offer.has_controller if self.config.managed is None else self.config.managed

    @property
    def disk_price(self) -> float:
        """Dollars an hour of one machine's disk."""
        config = self.config
        return DISK_PRICE.get(config.cloud, 0.0) * (config.disk_gb or 0) / _HOURS_A_MONTH

    @property
    def hourly(self) -> float:
        """Dollars an hour of all machines together, with their disks."""
        controller = self.offer.controller_price if self.managed else 0.0
        return (self.offer.price + self.disk_price) * self.machines + controller

    @property
    def seconds(self) -> float:
        """How long each machine may live."""
        hours, limit = self.config.max_hours, self.config.max_cost
        if limit is not None and self.hourly:
            hours = min(hours, max(0.0, limit - self.spent) / self.hourly)
        return hours * 3600

    @property
    def worst(self) -> float:
        """Dollars that this launch can cost at most, the bucket and traffic left out."""
        return self.hourly * self.seconds / 3600

    @property
    def expected_cost(self) -> float | None:
        """Dollars that it will cost if it takes as long as expected."""
        return None if self.expected is None else self.hourly * self.expected


def check(budget: Budget) -> None:
    """Refuse what the limit does not pay for, and what has no price."""
    offer, limit = budget.offer, budget.config.max_cost
    if not 0 <= offer.price < math.inf:
        raise InvalidInput(
            f"SkyPilot's catalog has no price for {offer.what} on {budget.config.place}, so"
            " nothing limits what it costs: name another instance_type, or another region"
        )
    if limit is None:
        return
    text = f"{budget.machines} × {offer.what} at ${offer.price:.3f} an hour"
    before = (
        f" (${budget.spent:.2f} of it is spent, or kept for machines that work)"
        if budget.spent >= 0.005
        else ""
    )
    if budget.expected_cost is not None and budget.expected_cost > limit - budget.spent:
        raise InvalidInput(
            f"{text} will cost about ${budget.expected_cost:.2f}, more than max_cost"
            f" ${limit:.2f}{before}: take a cheaper or a spot machine, fewer runs, or"
            " raise --max-cost"
        )
    if budget.hourly and budget.seconds < _LEAST_SECONDS:
        raise InvalidInput(
            f"max_cost ${limit:.2f}{before} pays for {budget.seconds / 60:.0f} minutes of"
            f" {text}, too short to start: take a cheaper machine, fewer machines, or raise"
            " --max-cost"
        )


def table(budget: Budget) -> list[str]:
    """Return what is said before anything is rented."""
    hours = (
        "not known (hours_per_run, or --timeout, tells)"
        if budget.expected is None
        else f"{budget.expected:.1f}"
    )
    cost = "" if budget.expected_cost is None else f"  (${budget.expected_cost:.2f})"
    offer = budget.offer
    machine = offer.what or "machine"
    runs = f"{budget.runs} run{'s' * (budget.runs != 1)}"
    together = offer.price * budget.machines
    life = f"each machine ends itself after {budget.seconds / 3600:.1f} hours"
    rows = [
        ("machines", f"{budget.machines} × {machine} on {budget.config.place}, for {runs}"),
        ("price", f"${offer.price:.3f} an hour each, ${together:.3f} together"),
        *_disk(budget),
        *_controller(budget),
        ("expected hours", f"{hours}{cost}"),
        ("worst case", f"${budget.worst:.2f}: {life}"),
    ]
    if budget.expected is not None and budget.expected * 3600 > budget.seconds:
        rows.append(
            ("", "they end themselves before that: runs will be stopped (--max-hours, --max-cost)")
        )
    if budget.spent >= 0.005:
        rows.append(
            ("spent before", f"${budget.spent:.2f}, with what machines that still work may spend")
        )
    return [f"{name:<16}{value}" for name, value in rows]


def _disk(budget: Budget) -> list[tuple[str, str]]:
    config = budget.config
    if not config.disk_gb or config.cloud not in DISK_PRICE:
        return []
    disk = (
        f"{config.disk_gb} GB each (disk = …), ${budget.disk_price * budget.machines:.3f} an hour"
        " together"
    )
    traffic = f"about ${EGRESS_PRICE[config.cloud]:.2f} a GB that comes home, in no sum here"
    return [("disk", disk), ("traffic", traffic)]


def _controller(budget: Budget) -> list[tuple[str, str]]:
    """Return what becomes of a machine that is lost, and what that costs."""
    offer = budget.offer
    price = f"{offer.controller}, ${offer.controller_price:.3f} an hour"
    if budget.managed:
        replaced = [("lost machines", "are replaced by SkyPilot's managed jobs")]
        besides = f"{price}: SkyPilot's, looks after the machines"
        return [*replaced, ("controller", besides)] if offer.controller_price else replaced
    with_price = f" ({price})" if offer.controller_price else ""
    rest = "the others take" if budget.machines > 1 else "`runslot resume` rents for"
    text = f"are not replaced, {rest} their runs; with managed = true they are{with_price}"
    return [("lost machines", text)]


def agree_to_rent() -> None:
    """Ask whether to rent; `InvalidInput` where the answer is no, or where nobody can be asked."""
    if os.environ.get(YES) != "1":
        agree(
            "rent them?",
            "nothing was rented",
            f"this rents machines, and nobody is here to agree: add --yes, or set {YES}=1",
        )


def agree(question: str, refusal: str, nobody: str) -> None:
    """Ask whoever sits at the terminal; `InvalidInput` says `refusal` where the answer is no, and
    `nobody` where none sits there.
    """
    if not is_anybody_there():
        raise InvalidInput(nobody)
    if ask(f"{question} [y/N] ") not in {"y", "yes"}:
        raise InvalidInput(refusal)


def is_anybody_there() -> bool:
    """Tell whether somebody sits at a terminal who can be asked."""
    return bool(sys.stdin and sys.stdin.isatty())


def ask(question: str) -> str | None:
    """Return what is answered, in small letters; None where the question is left."""
    try:
        return input(question).strip().lower()
    except (EOFError, KeyboardInterrupt):
        print()
        return None
