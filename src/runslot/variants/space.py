"""Spaces: what yields variants, in the same order every time, and how spaces combine.

`a * b` crosses, `union(a, b)` puts one after the other, `a.where(predicate)` keeps some.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from runslot.errors import InvalidInput
from runslot.record import record
from runslot.variants.encode import SEED_KEY, canonical, without_seed
from runslot.variants.levels import VariantLevel, checked_level, make_variants
from runslot.variants.variant import (
    KeyPath,
    Variant,
    dotted,
    folded,
    joined,
    own,
    plain_containers,
    with_hash,
)

VARIANTS_LIMIT = 1_000_000
"""Variants of an experiment; more is a slip of the hand, and would fill the memory."""


class Space(ABC):
    """A finite space of variants. Each iteration yields new ones, equal and in the same order as
    before.
    """

    @abstractmethod
    def __iter__(self) -> Iterator[Variant]: ...

    @abstractmethod
    def __len__(self) -> int: ...

    def bound(self) -> int:
        """Return a number of variants that there are not more than, without making any."""
        return len(self)

    @abstractmethod
    def factors(self) -> tuple[str, ...]:
        """Return what the number of variants is made of, for people: `("lr ×3", "hidden ×2")`."""

    def __mul__(self, other: Space) -> Space:
        """Cross with another space: this one varies slowest, and its directories are outermost."""
        return Crossed(self, other) if isinstance(other, Space) else NotImplemented

    def where(self, predicate: Callable[[dict[str, Any]], object]) -> Space:
        """Keep the variants for which `predicate(variant)` is true."""
        if not callable(predicate):
            raise InvalidInput(
                "where takes a function of a variant, such as lambda v: v['lr'] < 1, not"
                f" {predicate!r}"
            )
        return Kept(self, predicate)


@record(eq=False)
class Crossed(Space):
    """Every variant of one space with every variant of another, whose directories lie inside."""

    outer: Space
    inner: Space

    def __iter__(self) -> Iterator[Variant]:
        inner = list(self.inner)
        for first in self.outer:
            for second in inner:
                settings = _merged(own(first), own(second))
                yield Variant(settings, joined(first.name, second.name))

    def __len__(self) -> int:
        return len(self.outer) * len(self.inner)

    def bound(self) -> int:
        """Return the product of those of the two spaces."""
        return self.outer.bound() * self.inner.bound()

    def factors(self) -> tuple[str, ...]:
        """Return those of the outer space, then those of the inner one."""
        return self.outer.factors() + self.inner.factors()


@record(eq=False)
class Kept(Space):
    """The variants of a space for which a predicate holds."""

    space: Space
    predicate: Callable[[dict[str, Any]], object]

    def __iter__(self) -> Iterator[Variant]:
        # The predicate gets a copy: what it changes stays its own.
        return (variant for variant in self.space if self.predicate(own(variant)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def bound(self) -> int:
        """Return that of the whole space: which variants are kept shows only once they are made."""
        return self.space.bound()

    def factors(self) -> tuple[str, ...]:
        """Return those of the whole space, and how many are kept."""
        return (*self.space.factors(), f"{len(self)} of {len(self.space)} kept")


@record(eq=False)
class Union(Space):
    """Several spaces one after the other; a variant that an earlier one had is left out."""

    spaces: tuple[Space, ...]

    def __iter__(self) -> Iterator[Variant]:
        contents: set[str] = set()
        names = Names()
        for space in self.spaces:
            for variant in space:
                content = canonical(variant)
                if content not in contents:
                    contents.add(content)
                    yield Variant(variant, names.given(variant.name, variant))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def bound(self) -> int:
        """Return the sum of those of the spaces."""
        return sum(space.bound() for space in self.spaces)

    def factors(self) -> tuple[str, ...]:
        """Return those of the spaces, and how many variants were equal."""
        parts = [", ".join(space.factors()) or "1 variant" for space in self.spaces]
        together = sum(map(len, self.spaces))
        equal = (f"{together - len(self)} equal ones left out",) if together > len(self) else ()
        return (" and ".join(parts), *equal)


@record(eq=False)
class Levels(Space):
    """rlpyt's levels as a space, named by their `dir_names`."""

    levels: tuple[VariantLevel, ...]

    def __iter__(self) -> Iterator[Variant]:
        return iter(make_variants(*self.levels)[0])

    def __len__(self) -> int:
        product = 1
        for level in self.levels:
            product *= len(level.values)
        return product

    def factors(self) -> tuple[str, ...]:
        """Return one for each level."""
        return tuple(
            factor([dotted(tuple(key)) for key in level.keys], len(level.values))
            for level in self.levels
        )


@record(eq=False)
class ListSpace(Space):
    """Variants that stand in a list."""

    variants: tuple[Variant, ...]

    def __iter__(self) -> Iterator[Variant]:
        return (Variant(own(variant), variant.name) for variant in self.variants)

    def __len__(self) -> int:
        return len(self.variants)

    def factors(self) -> tuple[str, ...]:
        """Return the length of the list."""
        return (f"listed ×{len(self)}",) if len(self) > 1 else ()


def union(*spaces: Space) -> Space:
    """Return the variants of the first space, then those of the next that are new, and so on.

    Where different variants of two spaces share a name, the later one's gets a hash.
    """
    for number, space in enumerate(spaces, 1):
        if not isinstance(space, Space):
            raise InvalidInput(
                f"argument {number} of union is a {type(space).__name__}; it joins spaces, such as"
                " grid()"
            )
    return Union(spaces)


def levels(*variant_levels: VariantLevel) -> Space:
    """Return the space of rlpyt's levels, crossed in order; `InvalidInput` as from
    `make_variants`.
    """
    checked = (
        checked_level(level, f"level {number}") for number, level in enumerate(variant_levels, 1)
    )
    return Levels(tuple(VariantLevel(paths, own(rows), names) for paths, rows, names in checked))


def single(settings: Mapping[str, Any] | None = None) -> Space:
    """Return the space of one variant, whose name is empty: its runs differ by their seeds
    alone.
    """
    if settings is not None and not isinstance(settings, Mapping):
        raise InvalidInput(
            f"single takes a dict of settings by key, not a {type(settings).__name__}"
        )
    return ListSpace((Variant(own(plain_containers({**(settings or {})})), ""),))


def variants_of(space: Iterable[Variant]) -> list[Variant]:
    """List the variants of a space, or refuse it.

    `InvalidInput` where it has none, where two different variants (but for their seeds) have one
    name, and where one variant with one seed stands in it twice.
    """
    if isinstance(space, Space) and space.bound() > VARIANTS_LIMIT:
        raise InvalidInput(
            f"the space has {space.bound():,} variants, more than {VARIANTS_LIMIT:,}: take some out"
        )
    by_name: dict[str, list[Variant]] = {}
    variants = list(islice(space, VARIANTS_LIMIT + 1))
    if len(variants) > VARIANTS_LIMIT:
        raise InvalidInput(f"there are more than {VARIANTS_LIMIT:,} variants: take some out")
    for variant in variants:
        by_name.setdefault(variant.name, []).append(variant)
    if not variants:
        raise InvalidInput("the space has no variants: nothing would run")
    for name, same in by_name.items():
        if len(same) > 1:
            _refuse_equal_names(name, same)
    return variants


def _refuse_equal_names(name: str, variants: list[Variant]) -> None:
    name_text = repr(name) if name else "the empty name"
    settings = {without_seed(variant) for variant in variants}
    if len(settings) > 1:
        raise InvalidInput(
            f"{len(settings)} different variants have {name_text}, which is their directory; rename"
            " them"
        )
    seeds = [str(variant.get(SEED_KEY)) for variant in variants]
    if len(set(seeds)) < len(seeds):
        raise InvalidInput(
            f"the variant {name_text} stands in the space {len(seeds)} times; for repeated runs"
            " give it different seeds"
        )


class Names:
    """Gives each different variant a name of its own, also where a file system ignores case; the
    first keeps its.
    """

    def __init__(self) -> None:
        self._contents: dict[Any, str] = {}

    def given(self, name: str, settings: Mapping[str, Any]) -> str:
        """Return `name`, or `name` with a hash where settings that differ in more than the seed
        have it.
        """
        content = without_seed(settings)
        if self._contents.setdefault(folded(name), content) == content:
            return name
        outer, slash, inner = name.rpartition("/")
        hashed = outer + slash + with_hash(inner, content)
        self._contents[folded(hashed)] = content
        return hashed


def factor(keys: Iterable[str], count: int) -> str:
    """Return one factor of a space for people: `lr ×3`, `lr+batch ×3` where keys vary together."""
    return f"{'+'.join(keys)} ×{count}"


def _merged(
    into: dict[str, Any], settings: Mapping[str, Any], above: KeyPath = ()
) -> dict[str, Any]:
    for key, value in settings.items():
        if key not in into:
            into[key] = value
        elif isinstance(value, dict) and isinstance(into[key], dict):
            _merged(into[key], value, (*above, key))
        else:
            raise InvalidInput(
                f"both spaces of a crossing set {dotted((*above, key))}; take it out of one of them"
            )
    return into
