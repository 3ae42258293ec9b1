"""Statistics against scipy, numpy, rliable's published tests, and numbers that rliable 1.2.0
computed.
"""

from __future__ import annotations

import math
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runslot.errors import InvalidInput
from runslot.quantiles import t_quantile
from runslot.results import load
from runslot.results.statistics import (
    Smoothing,
    align,
    area_under_curve,
    band,
    bootstrap,
    common_range,
    divergence,
    importance,
    interquartile_mean,
    mean_interval,
    performance_profile,
    probability_of_improvement,
    variance_shares,
)
from runslot.results.statistics.forests import PAIRED, DistinctSettings
from runslot.results.statistics.selection import optimism

numpy = pytest.importorskip("numpy")
scipy_stats = pytest.importorskip("scipy.stats")

# Four tasks × five and × seven runs. What rliable 1.2.0 makes of them stands in the tests:
# metrics.aggregate_iqm, metrics.probability_of_improvement, library.create_performance_profile and
# get_interval_estimates, 5,000 to 50,000 repetitions.
LEFT = [
    [0.549, 0.424, 0.964, 0.568, 0.02],
    [0.715, 0.646, 0.383, 0.926, 0.833],
    [0.603, 0.438, 0.792, 0.071, 0.778],
    [0.545, 0.892, 0.529, 0.087, 0.87],
]
RIGHT = [
    [1.079, 0.218, 0.622, 0.556, 0.712, 0.46, 0.767],
    [0.899, 0.74, 0.515, 0.668, 0.717, 0.537, 0.771],
    [0.561, 0.243, 0.365, 0.119, 1.044, 0.798, 0.31],
    [0.881, 1.045, 0.874, 0.718, 0.782, 0.16, 0.229],
]
numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that hides numpy from the statistics, as where it is not installed."""

    def hide() -> None:
        monkeypatch.setattr("runslot.results.statistics.resamples.has_numpy", lambda: False)
        monkeypatch.setattr("runslot.results.statistics.scores.has_numpy", lambda: False)

    return hide


class TestScores:
    def test_the_numbers_of_rliables_own_tests(self) -> None:
        x, y = [[1, 2, 1, 2], [2, 2, 1, 1]], [[1, 2, 3], [1, 2, 3]]
        assert interquartile_mean([v for task in x for v in task]) == 1.5
        assert interquartile_mean([v for task in y for v in task]) == 2
        assert probability_of_improvement(x, y).estimate == pytest.approx(1 / 3)

    def test_estimates_are_rliables(self) -> None:
        assert bootstrap(LEFT).estimate == pytest.approx(0.6163)
        assert bootstrap(RIGHT).estimate == pytest.approx(0.6518571428571429)
        assert probability_of_improvement(LEFT, RIGHT).estimate == pytest.approx(0.45)

    def test_intervals_are_rliables_but_for_chance(self) -> None:
        interval = bootstrap(LEFT, repetitions=20_000)
        assert (interval.low, interval.high) == pytest.approx((0.4792, 0.7411), abs=0.01)
        interval = probability_of_improvement(LEFT, RIGHT, repetitions=4000)
        assert (interval.low, interval.high) == pytest.approx((0.2786, 0.6357), abs=0.02)

    def test_performance_profile_is_rliables(self) -> None:
        profile = performance_profile(LEFT, [0, 0.25, 0.5, 0.75, 1], repetitions=4000)
        assert profile["fraction"].to_list() == pytest.approx([1.0, 0.85, 0.7, 0.35, 0.0])
        assert profile["low"].to_list() == pytest.approx([1.0, 0.7, 0.5, 0.15, 0.0], abs=0.051)
        assert profile["high"].to_list() == pytest.approx([1.0, 1.0, 0.9, 0.55, 0.0], abs=0.051)

    @given(st.lists(numbers, min_size=1, max_size=40))
    def test_interquartile_mean_is_scipys_trimmed_mean(self, values: list[float]) -> None:
        assert interquartile_mean(values) == pytest.approx(
            scipy_stats.trim_mean(values, 0.25), rel=1e-9, abs=1e-6
        )
        assert bootstrap([values], repetitions=1).estimate == pytest.approx(
            interquartile_mean(values), rel=1e-9, abs=1e-6
        )

    @given(
        st.lists(st.integers(-3, 3), min_size=1, max_size=9),
        st.lists(st.integers(-3, 3), min_size=1, max_size=9),
    )
    def test_probability_of_improvement_is_mann_whitneys_u(
        self, left: list[int], right: list[int]
    ) -> None:
        u = sum((a > b) + (a == b) / 2 for a in left for b in right)
        if len(set(left + right)) > 1:
            assert scipy_stats.mannwhitneyu(left, right, method="asymptotic").statistic == u
        found = probability_of_improvement([left], [right], repetitions=1).estimate
        assert found == pytest.approx(u / len(left) / len(right))

    def test_one_stratum_is_scipys_percentile_bootstrap(self) -> None:
        values = [value for task in RIGHT for value in task]
        generator = numpy.random.default_rng(0)
        for statistic, function in (
            ("mean", numpy.mean),
            ("iqm", lambda v, axis: scipy_stats.trim_mean(v, 0.25, axis)),
        ):
            theirs = scipy_stats.bootstrap(
                (values,), function, method="percentile", n_resamples=20_000, rng=generator
            ).confidence_interval
            ours = bootstrap([values], statistic, repetitions=20_000)  # type: ignore[arg-type]
            assert ours.estimate == pytest.approx(function(values, axis=0))
            assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.012)

    def test_tasks_weigh_the_same_however_many_runs_they_have(self) -> None:
        assert bootstrap([[0.0, 0.0, 0.0], [10.0, 10.0]], "mean") == (5.0, 5.0, 5.0)
        assert bootstrap([[0.0] * 9, [1.0]], "mean").estimate == 0.5

    def test_aggregates_over_tasks_are_rliables(self) -> None:
        """As rliable: the median of the tasks' means; the optimality gap is gamma - mean(min(score,
        gamma)).
        """
        assert bootstrap([[0, 0, 10.0], [1, 1, 1.0], [2, 2, 2.0]], "median").estimate == 2
        assert bootstrap(LEFT, "median").estimate == pytest.approx(
            numpy.median(numpy.mean(LEFT, axis=1))
        )
        gap = bootstrap(RIGHT, "optimality-gap", target=0.5)
        assert gap.estimate == pytest.approx(0.5 - numpy.minimum(RIGHT, 0.5).mean())
        assert gap.low < gap.estimate < gap.high

    def test_many_runs_by_counting_and_by_sorting_are_one(
        self, without_numpy: Callable[[], None]
    ) -> None:
        generator = numpy.random.default_rng(3)
        scores = [generator.normal(size=size).round(1).tolist() for size in (150, 7, 91)]
        counted = bootstrap(scores, repetitions=300)
        without_numpy()
        assert bootstrap(scores, repetitions=300) == pytest.approx(counted, rel=1e-12)

    def test_the_mean_has_students_interval(self) -> None:
        values = LEFT[0]
        theirs = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.9)
        assert mean_interval([values], level=0.9) == pytest.approx(
            (numpy.mean(values), theirs.low, theirs.high)
        )
        half = scipy_stats.ttest_ind(
            LEFT[0], [-v for v in LEFT[1]], equal_var=False
        ).confidence_interval()
        both = mean_interval([LEFT[0], LEFT[1]])
        assert (both.low, both.high) == pytest.approx((half.low / 2, half.high / 2))
        assert math.isnan(mean_interval([[1.0]]).low)

    @pytest.mark.parametrize("freedom", [1, 2, 4.7, 29, 1e5])
    @pytest.mark.parametrize("level", [0.5, 0.95, 0.9999])
    def test_quantiles_are_scipys(self, level: float, freedom: float) -> None:
        assert t_quantile(level, freedom) == pytest.approx(
            scipy_stats.t.ppf((1 + level) / 2, freedom), rel=1e-9
        )

    def test_no_interval_where_nothing_is_known_and_none_of_width_zero(self) -> None:
        assert math.isnan(probability_of_improvement([[1.0]], [[0.0]]).low)
        assert math.isnan(bootstrap([[1.0], [2.0]]).low)
        assert performance_profile([[1.0], [3.0]], [0, 2]).rows() == [
            (0, 1, None, None),
            (2, 0.5, None, None),
        ]
        won = probability_of_improvement([[3.0, 4.0, 5.0]], [[0.0, 1.0, 2.0]])
        assert won.estimate == won.high == 1
        assert won.low == pytest.approx(
            0.5010, abs=1e-4
        )  # Newcombe (2006), method 5, n = m = 3, U = 9

    def test_improvement_of_many_runs_needs_no_table_of_pairs(self) -> None:
        generator = numpy.random.default_rng(4)
        left, right = (
            generator.normal(0.02, size=60_000).tolist(),
            generator.normal(size=60_000).tolist(),
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = probability_of_improvement([left], [right], repetitions=5)
        assert found.estimate == pytest.approx(
            scipy_stats.mannwhitneyu(left, right).statistic / 60_000**2
        )
        assert (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
        )  # kB; pairs take 14 GB

    def test_deterministic_for_a_seed(self) -> None:
        assert bootstrap(LEFT, seed=1) == bootstrap(LEFT, seed=1) != bootstrap(LEFT, seed=2)

    def test_nan_is_never_hidden(self) -> None:
        assert math.isnan(interquartile_mean([1.0, math.nan, 2.0, 3.0, 4.0]))
        assert math.isnan(bootstrap([[1.0, math.nan]]).estimate)
        with pytest.raises(InvalidInput, match="NaN"):
            probability_of_improvement([[1.0]], [[math.nan]])
        with pytest.raises(InvalidInput, match="NaN"):
            performance_profile([[math.nan]], [0.5])

    @pytest.mark.parametrize(
        "call",
        [
            lambda: bootstrap([]),
            lambda: bootstrap([[1.0], []]),
            lambda: bootstrap([[1.0]], level=95),
            lambda: bootstrap([[1.0]], repetitions=0),
            lambda: probability_of_improvement([[1.0]], [[1.0], [2.0]]),
        ],
    )
    def test_refused(self, call: Any) -> None:
        with pytest.raises(InvalidInput):
            call()


class TestWithAndWithoutNumpy:
    """The same draws by two ways of computing, so that numbers do not depend on what is
    installed.
    """

    def test_scores(self, without_numpy: Callable[[], None]) -> None:
        def computed() -> list[float]:
            profile = performance_profile(LEFT, [0, 0.25, 0.5, 0.545, 1], repetitions=100)
            return [
                *probability_of_improvement(LEFT, RIGHT, repetitions=100),
                *profile["low"],
                *profile["high"],
            ]

        counted = computed()
        without_numpy()
        assert computed() == pytest.approx(counted, rel=1e-5)

    def test_curves_of_unequal_length(self, without_numpy: Callable[[], None]) -> None:
        generator = numpy.random.default_rng(1)
        runs = {f"r{i}": [(x, 1e6 + generator.normal()) for x in range(3 + i)] for i in range(9)}
        runs["late"] = [(9, 1e6), (10, 1e6), (30, 1e6 + 1)]
        aligned = align(curves(**runs), "step", "value").with_columns(half=pl.col("run") > "r4")
        counted = band(aligned, "iqm", by=["half"], repetitions=80)
        without_numpy()
        for column in ("low", "high"):
            found = band(aligned, "iqm", by=["half"], repetitions=80)[column]
            assert found.to_list() == pytest.approx(counted[column].to_list(), abs=1e-6)


def curves(**runs: list[tuple[float, float | None]]) -> pl.DataFrame:
    rows = [
        (name, float(x), None if y is None else float(y))
        for name, points in runs.items()
        for x, y in points
    ]
    return pl.DataFrame(
        rows, schema={"run": pl.String, "step": pl.Float64, "value": pl.Float64}, orient="row"
    )


class TestCurves:
    def test_unequal_spacing_is_interpolated_and_never_extrapolated(self) -> None:
        progress = curves(a=[(0, 0), (10, 10), (20, 0)], b=[(5, 1), (15, 3)])
        aligned = align(progress, "step", "value").sort("run", "x")
        assert aligned.rows() == [
            ("a", 0.0, 0.0),
            ("a", 5.0, 5.0),
            ("a", 10.0, 10.0),
            ("a", 15.0, 5.0),
            ("a", 20.0, 0.0),
            ("b", 5.0, 1.0),
            ("b", 10.0, 2.0),
            ("b", 15.0, 3.0),
        ]
        assert band(aligned)["n"].to_list() == [1, 2, 2, 2, 1]

    def test_last_value(self) -> None:
        progress = curves(a=[(0, 0), (10, 10), (20, 0)], b=[(5, 1), (15, 3)])
        aligned = align(progress, "step", "value", method="last").sort("run", "x")
        assert aligned.filter(run="a")["y"].to_list() == [0, 0, 10, 10, 0]
        assert aligned.filter(run="b")["y"].to_list() == [1, 1, 3]

    def test_gaps_and_a_run_that_repeats_steps(self) -> None:
        progress = curves(
            a=[(0, 0), (1, None), (2, 4), (1, math.nan), (2, 6)], b=[(0, 1), (1, 1), (2, 1)]
        )
        assert align(progress, "step", "value").sort("run", "x").filter(run="a")["y"].to_list() == [
            0,
            3,
            6,
        ]

    @settings(max_examples=50)
    @given(
        st.lists(
            st.dictionaries(st.integers(0, 12), st.integers(-5, 5), min_size=1, max_size=9),
            min_size=1,
            max_size=4,
        )
    )
    def test_interpolation_is_numpys(self, runs: list[dict[int, int]]) -> None:
        progress = curves(**{f"r{i}": sorted(points.items()) for i, points in enumerate(runs)})
        aligned = align(progress, "step", "value")
        grid = sorted({x for points in runs for x in points})
        for i, points in enumerate(runs):
            xs = sorted(points)
            inside = [x for x in grid if xs[0] <= x <= xs[-1]]
            mine = aligned.filter(run=f"r{i}").sort("x")
            assert mine["x"].to_list() == inside
            assert mine["y"].to_list() == pytest.approx(
                numpy.interp(inside, xs, [points[x] for x in xs]).tolist()
            )

    def test_many_points_become_an_even_grid(self) -> None:
        progress = curves(a=[(x / 7, x) for x in range(200)], b=[(x / 9, x) for x in range(200)])
        aligned = align(progress, "step", "value", points=11)
        a = aligned.filter(run="a").sort("x")
        assert len(a) == 11
        assert a["x"].diff().drop_nulls().to_list() == pytest.approx([199 / 70] * 10)
        assert a["y"].to_list() == pytest.approx((a["x"] * 7).to_list())

    def test_bands_are_scipys(self) -> None:
        values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
        aligned = align(
            curves(**{f"r{i}": [(0, v)] for i, v in enumerate(values)}), "step", "value"
        )
        mean, std, sem = numpy.mean(values), numpy.std(values, ddof=1), scipy_stats.sem(values)
        assert band(aligned, "mean-std").row(0) == pytest.approx(
            (0, 6, mean, mean - std, mean + std)
        )
        assert band(aligned, "mean-sem").row(0) == pytest.approx(
            (0, 6, mean, mean - sem, mean + sem)
        )
        quartiles = [numpy.quantile(values, q) for q in (0.5, 0.25, 0.75)]
        assert band(aligned, "median-quartiles").row(0) == pytest.approx((0, 6, *quartiles))
        iqm = band(aligned, "iqm", repetitions=5000).row(0)
        expected = bootstrap([values], repetitions=20_000)
        assert iqm[2] == pytest.approx(expected.estimate)
        assert iqm[3:] == pytest.approx(expected[1:], abs=0.25)

    def test_the_default_band_is_students_interval(self) -> None:
        values = [3.0, 1.0, 4.0, 1.5]
        aligned = align(
            curves(**{f"r{i}": [(0, v)] for i, v in enumerate(values)}), "step", "value"
        )
        for level in (0.95, 0.5):
            theirs = scipy_stats.ttest_1samp(values, 0).confidence_interval(level)
            assert band(aligned, level=level).row(0)[3:] == pytest.approx((theirs.low, theirs.high))

    def test_one_huge_run_does_not_move_the_middle_half(
        self, without_numpy: Callable[[], None]
    ) -> None:
        values = [0.950, 0.951, 0.947, 0.953, 0.956, 0.944, 0.949, 0.952, 0.948]
        for huge in (1e7, 1e300, math.inf):
            aligned = pl.DataFrame({"run": range(10), "x": [0.0] * 10, "y": [*values, huge]})
            _, _, center, low, high = band(aligned, "iqm").row(0)
            assert low <= center <= high
            assert low == pytest.approx(0.947, abs=0.003)
        counted = band(aligned.with_columns(pl.col("y").clip(upper_bound=1e7)), "iqm").row(0)
        without_numpy()
        sorted_each = band(aligned.with_columns(pl.col("y").clip(upper_bound=1e7)), "iqm").row(0)
        assert sorted_each == pytest.approx(counted, rel=1e-12)

    def test_areas_are_compared_over_the_range_that_all_runs_have(self) -> None:
        progress = curves(a=[(0, 0), (10, 10)], b=[(4, 5), (6, 5), (8, 5)], c=[(5, 1)])
        between = common_range(progress, "step", "value")
        assert between == (4, 8)
        areas = area_under_curve(progress, "step", "value", between=between)
        assert areas.rows() == [("a", 6, 4, 8), ("b", 5, 4, 8)]

    def test_bands_of_groups(self) -> None:
        aligned = align(curves(a=[(0, 1), (1, 1)], b=[(0, 3)], c=[(0, 9)]), "step", "value")
        grouped = aligned.with_columns(lr=pl.col("run").replace_strict({"a": 1, "b": 1, "c": 2}))
        for statistic in ("mean-ci", "mean-std", "median-quartiles", "iqm"):
            table = band(grouped, statistic, by=["lr"])  # type: ignore[arg-type]
            assert table["low"].to_list()[1:] == table["high"].to_list()[1:] == [None, None]
            assert table.select("lr", "x", "n", "center").rows() == [
                (1, 0, 2, 2),
                (1, 1, 1, 1),
                (2, 0, 1, 9),
            ]

    def test_area_is_the_trapezoid_rule(self) -> None:
        integrate = pytest.importorskip("scipy.integrate")
        points = [(0, 0), (1, 2), (4, 3), (6, -1)]
        progress = curves(a=points, b=[(1, 5), (2, 5)], c=[(1, 5)])
        expected = float(integrate.trapezoid([y for _, y in points], [x for x, _ in points]))
        assert area_under_curve(progress, "step", "value", normalise=False).rows() == [
            ("a", expected, 0, 6),
            ("b", 5, 1, 2),
            ("c", 0, 1, 1),
        ]
        assert area_under_curve(progress, "step", "value")["area"].to_list() == [
            expected / 6,
            5,
            None,
        ]

    def test_nothing_to_draw(self) -> None:
        empty = align(curves(a=[(0, None)]), "step", "value")
        assert empty.height == 0
        assert band(empty, "iqm").height == band(empty).height == 0

    def test_refused(self) -> None:
        progress = curves(a=[(0, 1)])
        with pytest.raises(InvalidInput, match=r"did you mean 'step'"):
            align(progress, "stp", "value")
        with pytest.raises(InvalidInput, match="choose among"):
            band(align(progress, "step", "value"), "sd")  # type: ignore[arg-type]


class TestSmoothing:
    def test_running_mean_per_run(self) -> None:
        progress = curves(a=[(0, 1), (1, 3), (2, None), (3, 8)], b=[(0, 7)])
        smoothing = Smoothing("mean", 2)
        assert smoothing.apply(progress, "value")["value"].to_list() == [1, 2, None, 8, 7]
        assert str(smoothing) == "smoothed: running mean over 2 rows"

    def test_exponential_is_pandas(self) -> None:
        pandas = pytest.importorskip("pandas")
        values = [1.0, 5.0, 2.0, 8.0]
        progress = curves(a=list(enumerate(values)))
        expected = pandas.Series(values).ewm(alpha=0.25).mean().tolist()
        assert Smoothing("exponential", 4).apply(progress, "value")[
            "value"
        ].to_list() == pytest.approx(expected)

    def test_along_x_runs_that_log_in_other_steps_are_smoothed_alike(self) -> None:
        points = [(0, 1), (1, 3), (2, None), (3, 8), (3.5, 0)]
        smoothing = Smoothing("mean", 2.0, x="step")
        smooth = smoothing.apply(curves(a=points, b=[(0.1, 7), (0.2, 9)]), "value")
        assert smooth["value"].to_list() == pytest.approx([1, 2, None, 8, 4, 7, 8])
        assert str(smoothing) == "smoothed: running mean over the last 2 of step"

    def test_none_says_none(self) -> None:
        progress = curves(a=[(0, 1)])
        assert Smoothing().apply(progress, "value") is progress
        assert str(Smoothing()) == "not smoothed"

    @pytest.mark.parametrize(("kind", "width"), [("mean", 0), ("median", 3)])
    def test_refused(self, kind: Any, width: int) -> None:
        with pytest.raises(InvalidInput):
            Smoothing(kind, width)


def test_the_optimism_of_the_best_of_k_equal_means_is_the_expected_maximum_of_k_normal_values() -> (
    None
):
    expected = {
        2: 1 / math.sqrt(math.pi),
        3: 1.5 / math.sqrt(math.pi),
        10: 1.538753,
    }  # Harter (1961), table 1
    for k, maximum in expected.items():
        for mode in ("max", "min"):
            assert optimism([5.0] * k, [0.1] * k, mode) == pytest.approx(0.1 * maximum, abs=0.01)  # type: ignore[arg-type]
    assert optimism([0.0, 9.0], [0.1, 0.1]) == pytest.approx(0, abs=0.01)


def test_importance(tmp_path: Path, write_run: Any) -> None:
    pytest.importorskip("sklearn")
    for i, lr in enumerate([0.001, 0.01, 0.1, 1.0]):
        for act in ("relu", "tanh"):
            for seed in (0, 1):
                score = i + (act == "tanh") * 0.1
                write_run(
                    {"net.lr": lr, "act": act, "fixed": 1}, seed, [{"accuracy": score, "flat": 1}]
                )
    found = importance(load(tmp_path), "accuracy")
    assert list(found) == ["net.lr", "act"]
    assert sum(found.values()) == pytest.approx(1)
    assert found["net.lr"] > 0.9
    with pytest.raises(InvalidInput, match="same score"):
        importance(load(tmp_path), "flat")
    with pytest.raises(InvalidInput, match="too few"):
        importance(load(tmp_path).where(act="tanh", seed=0).where('"net.lr" < 0.5'), "accuracy")


def factorial(write_run: Any, score: Callable[[int, int, int], float], seeds: int = 6) -> None:
    pytest.importorskip("sklearn")
    for a in range(3):
        for b in range(3):
            for seed in range(seeds):
                write_run({"a": a, "b": f"b{b}"}, seed, [{"score": score(a, b, seed)}])


def test_pure_noise_shows_as_noise(tmp_path: Path, write_run: Any) -> None:
    generator = numpy.random.default_rng(0)
    factorial(write_run, lambda a, b, seed: generator.normal(), seeds=10)
    shares = variance_shares(load(tmp_path), "score")
    assert sum(share.estimate for share in shares.main.values()) < 0.1
    assert shares.seeds > 0.9  # type: ignore[operator]
    # one seed a variant: nothing says what seeds do, but a forest cannot foresee noise either
    single = variance_shares(load(tmp_path).where(seed=0), "score")
    assert single.seeds is None
    assert sum(share.estimate for share in single.main.values()) < 0.3
    assert single.unexplained > 0.5


def test_shares_are_those_of_the_analysis_of_variance(tmp_path: Path, write_run: Any) -> None:
    """On a whole grid: sums of squares of main effects and of the interaction, over that between
    variants.
    """
    generator = numpy.random.default_rng(1)
    noise = generator.normal(size=(3, 3, 6))
    cells = numpy.array([[0, 1, 2], [0, 3, 0], [3, 1, 5]]) * 2.0
    factorial(write_run, lambda a, b, seed: cells[a, b] + noise[a, b, seed])
    shares = variance_shares(load(tmp_path), "score")
    y = cells[:, :, None] + noise
    within = y.var(axis=2, ddof=1).mean() / y.var(ddof=1)
    means = y.mean(axis=2)
    between = means.var()
    a, b = means.mean(axis=1).var() / between, means.mean(axis=0).var() / between
    assert shares.seeds == pytest.approx(within)
    assert shares.main["a"].estimate == pytest.approx((1 - within) * a)
    assert shares.main["b"].estimate == pytest.approx((1 - within) * b)
    assert shares.pairs["a", "b"].estimate == pytest.approx((1 - within) * (1 - a - b))
    assert shares.unexplained == pytest.approx(0, abs=1e-9)
    for share in (*shares.main.values(), *shares.pairs.values()):
        assert share.low <= share.estimate <= share.high


def test_a_tree_of_distinct_settings_is_the_one_that_all_runs_would_grow() -> None:
    tree = pytest.importorskip("sklearn.tree")
    generator = numpy.random.default_rng(2)
    table = generator.integers(0, 4, size=(200, 3)).astype(float)
    scores = table @ [1.0, 0.3, 0.0] + generator.normal(size=200)
    settings = DistinctSettings.of(numpy, table.T.tolist(), scores.tolist())
    assert len(settings.points) <= 64
    runs = generator.integers(0, 200, 200)
    ours = settings.tree(runs, 0).predict(settings.points).ravel()
    theirs = tree.DecisionTreeRegressor(random_state=0).fit(table[runs], scores[runs])
    visited = numpy.unique(settings.places[runs])
    assert ours[visited] == pytest.approx(theirs.predict(settings.points[visited]))


def test_hundreds_of_hyperparameters_and_values_of_any_size_are_judged(
    tmp_path: Path, write_log: Any
) -> None:
    pytest.importorskip("sklearn")
    generator = numpy.random.default_rng(3)
    for number in range(60):
        variant = {f"p{i}": float(generator.random()) for i in range(200)}
        size = 10.0 ** (300 * generator.random())
        files = {
            "variant.json": {**variant, "size": size, "seed": 0},
            "progress.csv": f"step,score\n0,{math.log10(size)}\n",
        }
        write_log(f"r{number}", **files)
    shares = variance_shares(load(tmp_path), "score")
    assert next(iter(shares.main)) == "size"
    assert len(shares.main) == 201
    assert len(shares.pairs) == PAIRED * (PAIRED - 1) // 2
    assert all(math.isfinite(share.estimate) for share in shares.main.values())


def test_runs_that_do_not_count_are_in_no_importance(tmp_path: Path, write_run: Any) -> None:
    factorial(write_run, lambda a, b, seed: float(a))
    write_run({"a": 0, "b": "b0"}, 99, [{"score": 1e9}], state="failed")
    assert importance(load(tmp_path), "score")["a"] == pytest.approx(1)


def test_what_a_hyperparameter_does_to_the_probability_to_diverge(
    tmp_path: Path, write_run: Any
) -> None:
    for lr in range(12):
        for seed in range(2):
            last = "nan" if lr >= 10 else 1.0
            write_run(
                {"lr": lr / 100, "act": "relu" if lr % 2 else "tanh"},
                seed,
                [{"score": 1.0}, {"score": last}],
            )
    table = divergence(load(tmp_path), "score")
    rates = table.filter(parameter="lr").select("value", "runs", "diverged").rows()
    assert rates[0] == ("0 to 0.01", 4, 0)
    assert rates[-1] == ("0.1 to 0.11", 4, 4)
    act = table.filter(parameter="act", value="relu").row(0, named=True)
    assert (act["runs"], act["diverged"]) == (12, 2)
    theirs = scipy_stats.binomtest(2, 12).proportion_ci(method="wilson")
    assert (act["low"], act["high"]) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("scale", [2.0**900, 2.0**-900], ids=["huge", "tiny"])
def test_an_interval_of_values_whose_squares_are_no_floats_is_that_of_scaled_ones(
    scale: float,
) -> None:
    scores = [[1.0, 2.0, 4.0], [3.0, 3.5]]
    usual = mean_interval(scores)
    assert mean_interval([[value * scale for value in task] for task in scores]) == tuple(
        v * scale for v in usual
    )
    assert mean_interval([[1.2e308, 1.6e308]]).estimate == pytest.approx(1.4e308)
