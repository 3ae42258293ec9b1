"""Comparisons of variants against SciPy, and against the numbers that their papers print."""

from __future__ import annotations

import math
import random

import pytest

from runslot.errors import InvalidInput
from runslot.results.statistics import (
    Sample,
    anytime_width,
    best_intervals,
    difference,
    expected_best,
    friedman,
    holm,
    performance_profile,
    power_of,
    rank_sum_p,
    rank_test,
    runs_needed,
    shrunken_means,
    sign_flip_p,
    signed_rank_p,
    t_evidence,
    variance_components,
)
from runslot.results.statistics.decisions import decide_beside, pairs_of_all, seeds_advised
from runslot.results.statistics.distributions import (
    chi_square_tail,
    dunnett_quantile,
    f_tail,
    noncentral_t_tail,
    range_quantile,
)
from runslot.results.statistics.magnitude import deviation_of
from runslot.results.statistics.power import whole_runs_needed

scipy_stats = pytest.importorskip("scipy.stats")

SEEDS = tuple(range(8))
FIRST = (0.91, 0.93, 0.88, 0.97, 0.92, 0.9, 0.95, 0.94)
SECOND = (0.9, 0.89, 0.87, 0.95, 0.93, 0.86, 0.91, 0.9)


class TestTwoVariants:
    def test_with_the_same_seeds_are_compared_pair_by_pair_whatever_their_order(self) -> None:
        turned = Sample(SECOND[::-1], SEEDS[::-1])
        found = difference(Sample(FIRST, SEEDS), turned)
        assert found is not None
        reference = scipy_stats.ttest_rel(FIRST, SECOND)
        low, high = reference.confidence_interval(0.95)
        assert found.is_paired
        assert found.p == pytest.approx(reference.pvalue, rel=1e-9)
        assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))

    def test_with_other_seeds_are_compared_by_welch(self) -> None:
        found = difference(Sample(FIRST, SEEDS), Sample(SECOND[:5], SEEDS[:5]))
        assert found is not None
        reference = scipy_stats.ttest_ind(FIRST, SECOND[:5], equal_var=False)
        low, high = reference.confidence_interval(0.95)
        assert not found.is_paired
        assert found.p == pytest.approx(reference.pvalue, rel=1e-9)
        assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))

    def test_with_one_seed_twice_are_no_pairs(self) -> None:
        found = difference(Sample((1.0, 2.0, 3.0), (0, 0, 1)), Sample((1.0, 2.0, 2.5), (0, 0, 1)))
        assert found is not None
        assert not found.is_paired

    def test_are_better_worse_or_not_decided_by_the_way_that_is_better(self) -> None:
        found = difference(Sample(FIRST, SEEDS), Sample(SECOND, SEEDS))
        assert found is not None
        assert found.verdict("max") == "better"
        assert found.verdict("min") == "worse"
        assert found.verdict("max", p=0.2) == "not decided"

    def test_without_any_spread_are_decided_by_the_exact_test_alone(self) -> None:
        # A t test would be certain of three equal differences; their signs have p = 0.25.
        found = difference(Sample((0.3, 0.4, 0.5), (0, 1, 2)), Sample((0.2, 0.3, 0.4), (0, 1, 2)))
        assert found is not None
        assert (found.p, found.low, found.verdict("max")) == (0.25, None, "not decided")

    def test_of_one_run_each_differ_by_a_number_and_nothing_more(self) -> None:
        found = difference(Sample((0.3,), (0,)), Sample((0.2,), (0,)))
        assert found is not None
        assert found.estimate == pytest.approx(0.1)
        assert (found.p, found.low, found.verdict("max")) == (None, None, "not decided")

    def test_of_which_one_diverged_have_no_difference(self) -> None:
        assert difference(Sample((1.0, math.nan)), Sample((1.0, 2.0))) is None
        assert difference(Sample(()), Sample((1.0, 2.0))) is None

    @pytest.mark.parametrize("exponent", [1000, -900])
    def test_whose_squares_are_no_floats_are_compared_as_scaled_ones(self, exponent: int) -> None:
        plain = difference(Sample(FIRST), Sample(SECOND))
        scaled = difference(
            Sample(tuple(math.ldexp(value, exponent) for value in FIRST)),
            Sample(tuple(math.ldexp(value, exponent) for value in SECOND)),
        )
        assert plain is not None
        assert scaled is not None
        assert scaled.p == plain.p
        assert plain.low is not None
        assert scaled.low == math.ldexp(plain.low, exponent)


class TestExactTests:
    def test_all_signs_are_those_of_scipys_permutation_test(self) -> None:
        pairs = [a - b for a, b in zip(FIRST, SECOND, strict=True)]
        reference = scipy_stats.permutation_test(
            (pairs,), lambda x, axis: x.mean(axis), permutation_type="samples", n_resamples=10**6
        )
        assert sign_flip_p(pairs) == pytest.approx(reference.pvalue)

    def test_signed_ranks_are_scipys(self) -> None:
        differences = [1.5, -0.5, 2.0, 3.5, -1.0, 4.0, 0.7, 2.2]
        reference = scipy_stats.wilcoxon(differences, method="exact")
        assert signed_rank_p(differences) == pytest.approx(reference.pvalue)

    def test_three_against_three_that_all_win_have_p_0_1_and_five_against_five_0_00794(
        self,
    ) -> None:
        assert rank_sum_p([4, 5, 6], [1, 2, 3]) == pytest.approx(0.1)
        assert rank_sum_p(range(5, 10), range(5)) == pytest.approx(0.00794, abs=5e-6)

    def test_rank_sums_are_scipys(self) -> None:
        generator = random.Random(3)
        first = [generator.gauss(0, 1) for _ in range(9)]
        second = [generator.gauss(1, 1) for _ in range(7)]
        reference = scipy_stats.mannwhitneyu(first, second, method="exact")
        assert rank_sum_p(first, second) == pytest.approx(reference.pvalue)
        many = [round(4 * generator.gauss(0, 1)) for _ in range(50)]
        more = [round(4 * generator.gauss(0.4, 1)) for _ in range(40)]
        reference = scipy_stats.mannwhitneyu(many, more, method="asymptotic")
        assert rank_sum_p(many, more) == pytest.approx(reference.pvalue)


class TestSeveral:
    def test_holm_is_that_of_r(self) -> None:
        # p.adjust(c(.01, .04, .03, .005), "holm")
        assert holm([0.01, 0.04, None, 0.03, 0.005]) == [
            pytest.approx(p) if p else None for p in (0.03, 0.06, None, 0.06, 0.02)
        ]

    def test_critical_values_are_dunnetts_table_of_1955(self) -> None:
        table = {(10, 2): 2.15, (10, 3): 2.34, (10, 5): 2.56, (20, 2): 2.03, (20, 4): 2.30}
        for (freedom, others), value in table.items():
            ours = dunnett_quantile(0.95, freedom, 4, ((4, others),))
            assert ours == pytest.approx(value, abs=0.006)

    def test_the_best_are_constrained_by_zero_on_both_sides(self) -> None:
        # Three variants of three runs, s² = 1 with 6 degrees of freedom: d = 2.34 (Dunnett), so
        # that a mean has to be 2.34 · √(2/3) = 1.911 behind.
        samples = [Sample((m - 1, m, m + 1)) for m in (10.0, 9.0, 6.0)]
        found = best_intervals(samples, "max")
        width = 2.34 * math.sqrt(2 / 3)
        rows = [(b.low, b.high) for b in found if b is not None]
        expected = [(1 - width, 1 + width), (-1 - width, width - 1), (-4 - width, 0)]
        assert [value for row in rows for value in row] == pytest.approx(
            [value for row in expected for value in row], abs=0.01
        )
        assert [b.may_be_best for b in found if b is not None] == [True, True, False]

    def test_lower_is_better_turns_them_around(self) -> None:
        samples = [Sample((m - 1, m, m + 1)) for m in (-10.0, -9.0, -6.0)]
        turned = [Sample(tuple(-score for score in sample.scores)) for sample in samples]
        assert best_intervals(samples, "min") == best_intervals(turned, "max")

    def test_seeds_that_all_variants_have_are_blocks(self) -> None:
        noise = (0.0, 5.0, -5.0, 9.0)
        samples = [
            Sample(tuple(m + n + e for n, e in zip(noise, errors, strict=True)), (0, 1, 2, 3))
            for m, errors in ((2.0, (0.1, -0.1, 0.0, 0.0)), (1.0, (0.0, 0.1, 0.0, -0.1)))
        ]
        blocked = best_intervals(samples)
        unblocked = best_intervals([Sample(sample.scores) for sample in samples])
        assert [b.may_be_best for b in blocked if b is not None] == [True, False]
        assert [b.may_be_best for b in unblocked if b is not None] == [True, True]

    def test_a_variant_without_a_value_takes_no_part(self) -> None:
        samples = [Sample((1.0, 2.0)), Sample((math.nan, 2.0)), Sample((5.0, 6.5))]
        found = best_intervals(samples)
        assert found[1] is None
        assert found[0] is not None
        assert best_intervals([Sample((1.0,)), Sample((2.0,))]) == [None, None]

    def test_ranks_over_tasks_are_demsars(self) -> None:
        ours = rank_test((3.143, 2.000, 2.893, 1.964), 14)
        assert ours.chi_square == pytest.approx(9.28, abs=0.005)
        assert ours.f == pytest.approx(3.69, abs=0.005)
        assert ours.critical_difference == pytest.approx(1.25, abs=0.005)
        assert ours.differ(0, 1) is False

    def test_friedman_is_scipys_also_with_ties(self) -> None:
        rows = [[0.9, 0.8, 0.7], [0.6, 0.6, 0.5], [0.8, 0.9, 0.1], [0.3, 0.2, 0.2], [0.7, 0.6, 0.4]]
        reference = scipy_stats.friedmanchisquare(*zip(*rows, strict=True))
        ours = friedman(rows)
        assert ours.chi_square == pytest.approx(reference.statistic)
        assert ours.chi_square_p == pytest.approx(reference.pvalue)
        assert ours.ranks == pytest.approx((1.3, 1.8, 2.9))

    def test_tasks_that_all_agree_have_the_chance_of_agreeing(self) -> None:
        assert friedman([[3, 2, 1], [9, 8, 7]]).p == pytest.approx(1 / 6)
        # Two of three tied have three orders, not six.
        assert friedman([[3, 1, 1], [9, 7, 7], [5, 2, 2]]).p == pytest.approx(1 / 9)
        with pytest.raises(InvalidInput, match="two tasks or more"):
            friedman([[1.0, 2.0]])

    def test_distributions_are_scipys(self) -> None:
        assert f_tail(3.69, 3, 39) == pytest.approx(scipy_stats.f.sf(3.69, 3, 39))
        for value, freedom in ((9.28, 3), (1.0, 5), (60.0, 4)):
            reference = scipy_stats.chi2.sf(value, freedom)
            assert chi_square_tail(value, freedom) == pytest.approx(reference, rel=1e-9)
        for t, freedom, shift in (
            (2.3, 4, 1.1),
            (12.7, 1, 0.5),
            (1.7, 30, 3.0),
            (2.0, 2, -1.0),
            (2.5, 8, 1),
        ):
            reference = scipy_stats.nct.sf(t, freedom, shift)
            assert noncentral_t_tail(t, freedom, shift) == pytest.approx(reference, abs=1e-6)
        # Demšar's table: 2.569 for four
        assert range_quantile(0.95, 4) / math.sqrt(2) == pytest.approx(2.569, abs=5e-4)


class TestBesideTheBestOfTheSameRuns:
    @staticmethod
    def equals(k: int, n: int, generator: random.Random, *, paired: bool) -> list[Sample]:
        seeds = tuple(range(n)) if paired else ()
        return [Sample(tuple(generator.gauss(0, 1) for _ in range(n)), seeds) for _ in range(k)]

    @pytest.mark.parametrize(("k", "n", "paired"), [(5, 5, True), (8, 4, False), (12, 3, True)])
    def test_some_of_equals_is_called_worse_in_at_most_5_of_100_tables(
        self, k: int, n: int, paired: bool
    ) -> None:
        generator = random.Random(7)
        tables = 400
        wrong = alone = 0
        for _ in range(tables):
            samples = self.equals(k, n, generator, paired=paired)
            best = max(range(k), key=lambda i: samples[i].mean)
            decisions = decide_beside(samples, best, "max", is_best=True)
            wrong += any(decision.is_decided for decision in decisions)
            named = decide_beside(samples, best, "max", is_best=False)
            alone += any(decision.is_decided for decision in named)
        assert wrong <= 0.05 * tables
        # As if the best had been named before: what the correction over all pairs is for.
        assert alone > 0.05 * tables

    def test_p_is_of_all_pairs_and_beside_a_named_one_of_the_comparisons(self) -> None:
        samples = [Sample(FIRST, SEEDS), Sample(SECOND, SEEDS), Sample(FIRST[::-1], SEEDS)]
        alone = difference(samples[1], samples[0])
        assert alone is not None
        assert alone.p is not None
        chosen = decide_beside(samples, 0, "max", is_best=True)
        named = decide_beside(samples, 0, "max", is_best=False)
        assert chosen[1].p == pytest.approx(3 * alone.p)
        assert named[1].p == pytest.approx(2 * alone.p)
        assert chosen[0].difference is None
        assert chosen[0].is_decided is None

    def test_pairs_are_of_variants_that_could_be_told_apart(self) -> None:
        samples = [Sample((1.0, 2.0)), Sample((1.0,)), Sample((math.nan, 1.0)), Sample((3.0, 4.0))]
        assert pairs_of_all(samples) == 1

    def test_further_seeds_are_those_of_the_corrected_level(self) -> None:
        generator = random.Random(1)
        samples = self.equals(4, 6, generator, paired=True)
        best = max(range(4), key=lambda i: samples[i].mean)
        for decision in decide_beside(samples, best, "max", is_best=True):
            if decision.difference is not None and decision.difference.effect is not None:
                effect = decision.difference.effect
                needed = whole_runs_needed(effect, paired=True, alpha=0.05 / 6)
                assert decision.more == max(1, needed - 6)

    def test_while_runs_are_to_come_the_evidence_decides_and_no_number_is_advised(self) -> None:
        samples = [
            Sample(tuple(10 + x for x in SECOND[::-1]), SEEDS),
            Sample(SECOND, SEEDS),
            Sample(FIRST, SEEDS),
        ]
        looks = decide_beside(samples, 0, "max", is_best=True, is_under_way=True)
        assert [look.verdict for look in looks] == [None, "worse", "worse"]
        near = decide_beside(samples, 1, "max", is_best=True, is_under_way=True)[2]
        assert near.difference is not None
        assert near.difference.evidence is not None
        assert (near.verdict == "not decided") == (near.difference.evidence < 3 / 0.05)
        assert near.more is None

    def test_no_more_than_twelve_further_seeds_are_advised(self) -> None:
        assert seeds_advised([3.0, None, 12.0, 40.0, math.inf]) == (12, 2)
        assert seeds_advised([13.0]) is None
        assert seeds_advised([]) is None


class TestScoresOfAnyMagnitude:
    @pytest.mark.parametrize("exponent", [0, 700, 1000, -700, -1000])
    def test_are_told_apart_as_scaled_ones(self, exponent: int) -> None:
        def side(scores: tuple[float, ...]) -> Sample:
            return Sample(tuple(math.ldexp(score, exponent) for score in scores), SEEDS)

        usual = [Sample(FIRST, SEEDS), Sample(SECOND, SEEDS), Sample(SECOND[::-1], SEEDS)]
        scaled = [side(sample.scores) for sample in usual]
        for ours, theirs in zip(best_intervals(scaled), best_intervals(usual), strict=True):
            assert ours is not None
            assert theirs is not None
            assert ours.may_be_best == theirs.may_be_best
            assert ours.high == math.ldexp(theirs.high, exponent)
        groups = [sample.scores for sample in scaled]
        components = variance_components(groups)
        reference = variance_components([sample.scores for sample in usual])
        assert components is not None
        assert reference is not None
        assert components.p == reference.p
        expected = math.ldexp(scipy_stats.tstd(FIRST), exponent)
        assert deviation_of(scaled[0].scores) == pytest.approx(expected)

    def test_beside_each_other_are_no_error(self) -> None:
        samples = [Sample((1e200, 2e200, 3e200)), Sample((1.0, 2.0, 3.0)), Sample((5e-324, 0.0))]
        for reference in range(3):
            for decision in decide_beside(samples, reference, "max", is_best=True):
                assert decision.p is None or 0 <= decision.p <= 1
        assert len(best_intervals(samples)) == 3

    def test_that_are_all_the_same_are_decided_by_nothing(self) -> None:
        samples = [Sample((0.5, 0.5, 0.5), (0, 1, 2)), Sample((0.5, 0.5, 0.5), (0, 1, 2))]
        same = decide_beside(samples, 0, "max", is_best=True)[1]
        assert (same.verdict, same.more) == ("not decided", None)


class TestAtAnyTime:
    def test_evidence_is_that_of_the_formula(self) -> None:
        assert t_evidence(2, 2.5, 8) == pytest.approx(1.817, abs=5e-4)
        assert t_evidence(5, 2.5, 8) == pytest.approx(17.80, abs=5e-3)

    def test_an_interval_leaves_0_out_where_the_evidence_is_enough(self) -> None:
        width = anytime_width(0.05, 5, 18)
        assert t_evidence(width, 5, 18) == pytest.approx(20)
        assert math.isinf(anytime_width(0.05, 1.5, 4))

    def test_it_is_wider_than_students(self) -> None:
        found = difference(Sample(FIRST, SEEDS), Sample(SECOND, SEEDS))
        assert found is not None
        assert found.anytime_low is not None
        assert found.low is not None
        assert found.anytime_low < found.low
        assert found.evidence is not None
        assert (found.anytime_low > 0) == (found.evidence >= 20)


class TestSeedsThatWouldDecide:
    @pytest.mark.parametrize(("effect", "n"), [(0.5, 63.8), (0.8, 25.5), (1.0, 16.7)])
    def test_a_side_are_cohens(self, effect: float, n: float) -> None:
        assert runs_needed(effect) == pytest.approx(n, abs=0.05)

    def test_pairs_are_fewer(self) -> None:
        assert runs_needed(1.0, paired=True) == pytest.approx(9.94, abs=0.005)
        assert power_of(1.0, 10, paired=True) > 0.8 > power_of(1.0, 9, paired=True)

    def test_of_no_effect_are_without_end(self) -> None:
        assert math.isinf(runs_needed(0.0))
        assert math.isinf(runs_needed(1e-3))


class TestChoosing:
    def test_shrinks_the_batting_averages_of_1970_as_efron_and_morris_did(self) -> None:
        averages = [0.400, 0.378, 0.356, 0.333, 0.311, 0.311, 0.289, 0.267, 0.244, 0.244]
        averages += [0.222] * 5 + [0.200, 0.178, 0.156]
        error = math.sqrt(0.265 * 0.735 / 45)
        found = shrunken_means(averages, [error] * 18)
        assert found is not None
        assert found[0] == pytest.approx(0.294, abs=1e-3)
        assert found[-1] == pytest.approx(0.242, abs=1e-3)

    def test_shrinks_less_what_is_known_better(self) -> None:
        found = shrunken_means([1.0, 2.0, 3.0, 4.0, 9.0, 9.0], [1.0, 1.0, 1.0, 1.0, 0.1, 2.0])
        assert found is not None
        assert 9 - found[4] < 0.01 < 9 - found[5]

    def test_of_equals_leaves_no_difference_and_of_three_says_nothing(self) -> None:
        found = shrunken_means([1.0, 1.1, 0.9, 1.05], [5.0] * 4)
        assert found == pytest.approx([1.0125] * 4)
        assert shrunken_means([1.0, 2.0, 3.0], [1.0] * 3) is None

    def test_the_expected_best_is_that_of_tang(self) -> None:
        assert expected_best([0.1, 0.4, 0.2, 0.9, 0.7]) == pytest.approx(
            [0.46, 0.67, 0.79, 0.86, 0.90]
        )
        assert expected_best([0.1, 0.4, 0.2, 0.9, 0.7], "min")[-1] == pytest.approx(0.1)
        assert len(expected_best(list(range(3000)))) == 3000


class TestComponents:
    LOOMS = ((98, 97, 99, 96), (91, 90, 93, 92), (96, 95, 97, 95), (95, 96, 99, 98))

    def test_of_the_looms_are_montgomerys(self) -> None:
        found = variance_components(self.LOOMS)
        assert found is not None
        assert (found.between, found.within) == pytest.approx((6.96, 1.90), abs=0.005)
        assert found.p == pytest.approx(scipy_stats.f_oneway(*self.LOOMS).pvalue)

    def test_of_unequal_groups_are_the_analysis_of_variances(self) -> None:
        groups = ((1.0, 2.0, 3.0), (5.0, 7.0), (4.0,))
        found = variance_components(groups)
        assert found is not None
        # Within: (2 + 2) / 3; between: mean squares 11, n₀ = (6 - 14/6) / 2.
        assert found.within == pytest.approx(4 / 3)
        expected = (mean_square_between(groups) - 4 / 3) / ((6 - 14 / 6) / 2)
        assert found.between == pytest.approx(expected)

    def test_of_single_runs_are_not_told_apart(self) -> None:
        assert variance_components([(1.0,), (2.0,)]) is None


def mean_square_between(groups: tuple[tuple[float, ...], ...]) -> float:
    values = [value for group in groups for value in group]
    middle = sum(values) / len(values)
    return sum(len(g) * (sum(g) / len(g) - middle) ** 2 for g in groups) / (len(groups) - 1)


def test_a_simultaneous_band_of_a_profile_holds_the_pointwise_one() -> None:
    generator = random.Random(0)
    scores = [[generator.random() for _ in range(10)] for _ in range(3)]
    thresholds = [i / 20 for i in range(21)]
    whole = performance_profile(scores, thresholds, simultaneous=True)
    points = performance_profile(scores, thresholds)
    inner = whole.filter((whole["fraction"] > 0.2) & (whole["fraction"] < 0.8))["threshold"]
    for threshold in inner:
        (_, _, low, high), (_, _, inner_low, inner_high) = (
            table.filter(table["threshold"] == threshold).row(0) for table in (whole, points)
        )
        assert high - low > inner_high - inner_low


def test_whole_numbers_of_runs_are_the_next_above_the_fractions() -> None:
    for effect in (0.3, 0.5, 0.8, 1.0, 2.0, 4.0):
        for paired in (False, True):
            exact = runs_needed(effect, paired=paired)
            assert whole_runs_needed(effect, paired=paired) == max(2, math.ceil(exact - 1e-3))
