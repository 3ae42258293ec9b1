"""How many machines the account's quotas leave room for, and what to ask for where it is too few.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runslot.engines.sky.driver.quota import Quota

CLOUDS = frozenset({"aws", "gcp"})
"""Clouds whose quotas can be read."""


@dataclass(frozen=True)
class Room:
    """What quotas leave room for."""

    machines: int | None
    """How many of those that are wanted, in the region with most room; None: not known."""
    said: str
    fix: str = ""
    """What to ask for, where it is too few."""


def room_for(wanted: int, quotas: Sequence[Quota], cloud: str) -> Room:
    """Judge quotas by their limits: what others have rented at this moment may be gone before the
    machines come up.
    """
    everywhere = [each for each in quotas if not each.region and each.limit is not None]
    regions = dict.fromkeys(each.region for each in quotas if each.region)
    tightest: list[Quota] = []
    for region in regions:
        here = [each for each in quotas if each.region == region and each.limit is not None]
        if here:
            tightest.append(min([*here, *everywhere], key=_machines))
    best = max(tightest, key=_machines, default=None)
    unknown = next((each for each in quotas if each.limit is None), None)
    if best is None or (_machines(best) < wanted and unknown is not None):
        return Room(
            None, f"not known: {unknown.said}" if unknown else "not known: the cloud names none"
        )
    count = min(_machines(best), wanted)
    said = f"{_named(best)}, {_asked(wanted, best)}"
    if len(regions) > 1:
        said = f"the most of {len(regions)} regions is {said}"
    if count == wanted:
        return Room(count, said)
    return Room(
        count,
        f"{said}: {f'enough for {count} of them' if count else 'too few for one'}",
        _fix(best, wanted, cloud),
    )


def _machines(quota: Quota) -> int:
    return int((quota.limit or 0) // quota.one) if quota.one else 0


def _named(quota: Quota) -> str:
    used = f" ({quota.used:g} of them in use)" if quota.used else ""
    where = f" in {quota.region}" if quota.region else ""
    return f"{quota.limit:g} {quota.unit}{used} of {quota.name!r}{where}"


def _asked(wanted: int, quota: Quota) -> str:
    takes = f"takes {quota.one:g}" if wanted == 1 else f"take {quota.one:g} each"
    return f"{wanted} machine{'s' * (wanted > 1)} {takes}"


def _fix(quota: Quota, wanted: int, cloud: str) -> str:
    need = f"{quota.one * wanted:g}"
    if cloud == "aws":
        return (
            f"ask for {need}, which may take a day: aws service-quotas"
            f" request-service-quota-increase --region {quota.region} --service-code ec2"
            f" --quota-code {quota.code} --desired-value {need}; or in the console: Service Quotas,"
            f" Amazon EC2, {quota.name}"
        )
    where = f", region {quota.region}" if quota.region else ""
    return (
        f"ask for {need}, which may take a day: in the console, IAM & Admin, Quotas & System"
        f" Limits, metric {quota.name}{where} (https://console.cloud.google.com/iam-admin/quotas)"
    )
