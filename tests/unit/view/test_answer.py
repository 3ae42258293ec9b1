"""The answer of a sweep: who leads, how sure that is, and that its numbers are an own computation's."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from runslot.errors import InvalidInput
from runslot.results import compare, load
from runslot.results.summary import Mode
from runslot.results.verdicts import decide
from runslot.view.data.answer import Answer, answer_of, best_chances, clause_of
from runslot.view.data.choices import Choices
from runslot.view.data.groups import choose
from runslot.view.data.sentence import number_words
from runslot.view.web.answer import document
from runslot.view.web.answer_curves import metric_curves
from runslot.view.web.answer_routes import belongs_to_plots, safe
from runslot.view.web.live_runs import LiveRuns
from runslot.view.web.texts import Texts

Write = Callable[..., Path]


def answered(root: Path, baseline: str = "", **choices: object) -> Answer:
    results = load(root)
    chosen = Choices().replaced(choices)
    return answer_of(choose(results, chosen), results, chosen, baseline)


def written(write_run: Write, finals: dict[str, list[float]], metric: str = "accuracy") -> Path:
    root = Path()
    for name, values in finals.items():
        for seed, value in enumerate(values):
            columns = {"step": [0, 1], metric: [value / 2, value]}
            root = write_run(f"size={name}/run_{seed}", {"size": name, "seed": seed}, columns)
    return root.parents[1]


FINALS = {
    "a": [0.91, 0.95, 0.93, 0.90],
    "b": [0.92, 0.93, 0.95, 0.91],
    "c": [0.52, 0.55, 0.50, 0.56],
}


def test_means_and_intervals_are_those_of_an_own_computation(write_run: Write) -> None:
    answer = answered(written(write_run, FINALS))
    assert [v.label for v in answer.variants] == ["size=b", "size=a", "size=c"]
    for variant in answer.variants:
        values = FINALS[variant.values[0]]
        mean, error = np.mean(values), stats.sem(values)
        low, high = stats.t.interval(0.95, len(values) - 1, mean, error)
        assert (variant.mean, variant.low, variant.high) == pytest.approx((mean, low, high))


def test_differences_are_paired_by_seed_where_both_have_the_same_ones(write_run: Write) -> None:
    answer = answered(written(write_run, FINALS), baseline="size=c")
    for variant in answer.variants:
        if variant.label == "size=c":
            assert variant.delta is None
            continue
        differences = np.subtract(FINALS[variant.values[0]], FINALS["c"])
        interval = stats.t.interval(0.95, 3, differences.mean(), stats.sem(differences))
        delta = variant.delta
        assert delta is not None
        assert delta.is_paired
        assert (delta.estimate, delta.low, delta.high) == pytest.approx(
            (differences.mean(), *interval)
        )


def test_differences_of_unequal_seeds_are_welchs(write_run: Write) -> None:
    finals = {"a": FINALS["a"], "b": FINALS["b"][:3]}
    answer = answered(written(write_run, finals))
    delta = answer.variants[1].delta
    assert delta is not None
    assert not delta.is_paired
    best, other = (finals[v.values[0]] for v in answer.variants)
    low, high = stats.ttest_ind(other, best, equal_var=False).confidence_interval(0.95)
    assert (delta.estimate, delta.low, delta.high) == pytest.approx(
        (np.mean(other) - np.mean(best), low, high)
    )


def test_the_sentence_says_who_leads_and_who_cannot_be_told_apart(write_run: Write) -> None:
    sentence = answered(written(write_run, FINALS)).sentence
    assert sentence == (
        "size=b leads with 0.927 ± 0.027 (highest accuracy), not separable from size=a at n = 4; "
        "they differ so little that 12 more seeds would hardly decide."
    )


def test_the_sentence_of_a_clear_winner_of_one_run_and_of_one_variant(
    tmp_path: Path, write_run: Write
) -> None:
    clear = {"a": [0.9, 0.91, 0.93], "b": [0.1, 0.11, 0.12]}
    root = written(write_run, clear)
    assert answered(root).sentence.endswith("better than the other one at n = 3.")
    only = answered(root, where="size = 'a'")
    assert only.sentence.endswith("there is nothing to compare it with.")
    single = answered(root, where="seed = 0")
    assert "one run each says nothing of how sure that is" in single.sentence


def test_lower_is_better_for_a_loss(write_run: Write) -> None:
    answer = answered(written(write_run, FINALS, metric="loss"))
    assert [v.label for v in answer.variants] == ["size=c", "size=a", "size=b"]
    assert "(lowest loss)" in answer.sentence


def test_a_variant_with_a_run_that_diverged_has_no_value_and_ranks_last(write_run: Write) -> None:
    root = written(write_run, FINALS)
    columns = {"step": [0, 1, 2, 3], "accuracy": [0.9, "nan", "nan", "nan"]}
    write_run("size=b/run_4", {"size": "b", "seed": 4}, columns)
    answer = answered(root)
    last = answer.variants[-1]
    assert (last.label, last.mean, last.best_chance) == ("size=b", None, None)
    assert last.standings["diverged"] == 1
    assert (last.n, last.runs) == (4, 5)
    assert answered(root, diverged="drop").variants[0].label == "size=b"


def test_variants_are_compared_within_their_task_alone(write_run: Write) -> None:
    for env, scale in (("pong", 1.0), ("breakout", 100.0)):
        for size, values in FINALS.items():
            for seed, value in enumerate(values):
                columns = {"step": [0], "return": [value * scale]}
                write_run(
                    f"{env},{size}/run_{seed}", {"env": env, "size": size, "seed": seed}, columns
                )
    root = write_run("pong,a/run_0", {"env": "pong", "size": "a", "seed": 0}, columns).parents[1]
    answer = answered(root)
    assert list(dict.fromkeys(v.task for v in answer.variants)) == ["env=breakout", "env=pong"]
    breakout = [v for v in answer.variants if v.task == "env=breakout"]
    assert sum(v.best_chance or 0.0 for v in breakout) == pytest.approx(1.0)
    assert answer.sentence.startswith("By highest return, env=breakout: size=b leads with 92.8")


def test_the_chance_to_be_best_is_that_of_the_posterior_of_two_means() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.normal(1.0, 0.3, 30), generator.normal(0.9, 0.3, 30)
    chances = best_chances([list(a), list(b)], "max")
    error = math.hypot(stats.sem(a), stats.sem(b))
    expected = stats.norm.cdf((a.mean() - b.mean()) / error)
    assert chances[0] == pytest.approx(expected, abs=0.03)
    assert sum(c or 0.0 for c in chances) == pytest.approx(1.0)
    assert best_chances([list(a), list(b)], "min")[0] == pytest.approx(1 - expected, abs=0.03)
    assert best_chances([[1.0], [2.0]], "max") == [None, None]
    assert best_chances([[1.0, 1.0], [1.0, 1.0]], "max") == [None, None]  # no spread, no winner


@pytest.mark.parametrize(
    ("mean", "low", "high", "words"),
    [
        (0.97333, 0.9587, 0.98793, "0.973 ± 0.015"),
        (1234.5, 1200.0, 1269.0, "1234 ± 34"),
        (0.5, None, None, "0.5"),
        (2.0, 2.0, 2.0, "2"),
        (1.5e-9, 1.4e-9, 1.6e-9, "1.50e-09 ± 1.0e-10"),
    ],
)
def test_a_mean_has_the_digits_that_its_interval_is_worth(
    mean: float, low: float | None, high: float | None, words: str
) -> None:
    assert number_words(mean, low, high) == words


def test_the_condition_of_a_variant_chooses_its_runs_whatever_its_values(write_run: Write) -> None:
    variants = [
        {"lr": 0.1, "name": "it's", "flag": True},
        {"lr": 1e-05, "name": 'a "b"', "flag": False},
        {"lr": 3, "name": None, "flag": None},
    ]
    for i, variant in enumerate(variants):
        root = write_run(f"v{i}/run_0", {**variant, "seed": 0}, {"step": [0], "score": [i]})
    results = load(root.parents[1])
    answer = answered(root.parents[1])
    for place, member in enumerate(answer.groups.groups):
        chosen = results.where(clause_of(answer.keys, member.values)).runs["run"].to_list()
        assert chosen == [run for run, at in answer.groups.of.items() if at == place]


def test_the_document_is_json_that_cannot_leave_its_element(write_run: Write) -> None:
    write_run("</script><b>/run_0", {"name": "</script><b>", "seed": 0}, {"step": [0], "a": [1]})
    root = write_run("x/run_0", {"name": "x", "seed": 0}, {"step": [0], "a": [2]}).parents[1]
    runs = LiveRuns([root])
    page = document(runs.now(), Choices(), "", Texts(runs.roots), whole=True)
    text = safe(page)
    assert "<" not in text
    assert json.loads(text) == json.loads(json.dumps(page))
    assert {run["score"] for rows in page["runs"].values() for run in rows} == {1.0, 2.0}


def test_the_curves_of_the_document_are_the_means_over_seeds(runs: Path) -> None:
    live = LiveRuns([runs])
    page = document(live.now(), Choices(), "", Texts(live.roots))
    curve = page["curves"]["lr=0.1, hidden=128"]
    assert (curve["x0"], curve["dx"]) == (0, 10)
    assert curve["y"] == pytest.approx([12.8 + step + 1 for step in range(0, 50, 10)])
    assert len(curve["members"]) == 3


@pytest.mark.parametrize(
    ("query", "is_of_plots"),
    [
        ("", False),
        ("where=lr+%3E+1&base=a&show=b&level=0.9", False),
        ("only.lr=0.1&include=failed", False),
        ("kind=bars", True),
        ("series=lr", True),
        ("tick=a", True),
        ("nonsense=1", False),
    ],
)
def test_an_address_with_choices_of_the_plots_leads_there(query: str, is_of_plots: bool) -> None:
    assert belongs_to_plots(query) is is_of_plots


@pytest.mark.parametrize("choices", [{"y": ("nothing",)}, {"where": "nosuch = 1"}])
def test_choices_that_the_runs_do_not_have_are_said_and_nothing_breaks(
    runs: Path, choices: dict[str, object]
) -> None:
    live = LiveRuns([runs])
    page = document(live.now(), Choices().replaced(choices), "", Texts(live.roots))
    assert "no run has a" in page["message"]
    assert page["metrics"]


def test_a_single_run_among_several_is_not_said_of_all(write_run: Write) -> None:
    root = written(write_run, {"a": [0.9, 0.91, 0.93], "b": [0.1, 0.11, 0.12], "c": [0.2]})
    assert answered(root).sentence.endswith("not separable from size=c at n = 1 to 3.")


def test_differences_that_are_all_the_same_have_no_digits_of_rounding(write_run: Write) -> None:
    root = written(write_run, {"a": [0.1, 0.2, 0.3], "b": [0.4, 0.5, 0.6]})
    runs = LiveRuns([root])
    page = document(runs.now(), Choices(), "", Texts(runs.roots))
    assert page["variants"][1]["delta"]["text"] == "−0.3"


def test_equal_values_have_no_leader_and_hundreds_of_settings_no_list(write_run: Write) -> None:
    for lr in (0.1, 0.2, 0.3):
        for seed in (0, 1):
            score = 0.5 if lr < 0.3 else 0.1 + seed / 10
            write_run(f"{lr}/{seed}", {"lr": lr, "seed": seed}, {"step": [0], "score": [score]})
    root = write_run("0.1/2", {"lr": 0.1, "seed": 2}, {"step": [0], "score": [0.5]}).parents[1]
    assert answered(root).sentence.startswith("lr=0.1 and 1 other lead with 0.5 (highest score)")
    for run in root.glob("0.3/*/progress.csv"):
        run.write_text("step,score\n0,0.5\n")
    assert answered(root).sentence == "All 3 variants have the same score: 0.5."
    other = root.parent / "many"
    for number in range(2):
        run = other / f"v{number}" / "0"
        run.mkdir(parents=True)
        settings = {f"p{i}": i + number for i in range(200)}
        (run / "variant.json").write_text(json.dumps({**settings, "seed": 0}))
        (run / "progress.csv").write_text(f"step,score\n0,{number}\n")
    sentence = answered(other).sentence
    assert sentence.startswith("p0=1 and 199 more settings leads ")


def test_variants_are_called_by_what_tells_them_apart(write_run: Write) -> None:
    for env in ("pong", "qbert"):
        for number, algo in enumerate(("ppo", "dqn")):
            for seed in range(3):
                variant = {"env": env, "algo": algo, "seed": seed}
                log = {"step": [0], "score": [number + seed]}
                root = write_run(f"{env}/{algo}/{seed}", variant, log).parents[2]
    sentence = answered(root).sentence
    assert (
        "env=pong: algo=dqn leads with 2.0 ± 2.5, not separable from algo=ppo at n = 3" in sentence
    )
    for number in range(3):
        model = f"facebook/wav2vec2-large-xlsr-{number}-finetuned-on-something-that-is-long"
        for seed in range(2):
            log = {"step": [0], "score": [number + seed / 10]}
            run = write_run(f"long/{number}/{seed}", {"model": model, "seed": seed}, log)
    sentence = answered(run.parents[1]).sentence
    assert sentence.startswith("model=…2… leads with ")


def test_the_advice_is_of_the_noncentral_t(write_run: Write) -> None:
    generator = np.random.default_rng(3)
    finals = {"a": list(generator.normal(1.0, 1.0, 5)), "b": list(generator.normal(0.4, 1.0, 4))}
    answer = answered(written(write_run, finals))
    best, other = (finals[v.values[0]] for v in answer.variants)
    n, m = len(best), len(other)
    pooled = math.sqrt(
        ((n - 1) * np.var(best, ddof=1) + (m - 1) * np.var(other, ddof=1)) / (n + m - 2)
    )
    effect = (np.mean(best) - np.mean(other)) / pooled
    more = answer.variants[1].more
    assert more is not None

    def power(runs: float) -> float:
        freedom, shift = 2 * runs - 2, effect * math.sqrt(runs / 2)
        critical = stats.t.ppf(0.975, freedom)
        above = stats.nct.sf(critical, freedom, shift)
        return float(above + stats.nct.cdf(-critical, freedom, shift))

    assert power(more + m) > 0.8 > power(more + m - 1)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_page_decides_as_the_terminal_does(write_run: Write, mode: Mode) -> None:
    generator = np.random.default_rng(11)
    finals = {
        name: list(generator.normal(mean, 0.3, n))
        for name, mean, n in (("a", 1.0, 5), ("b", 1.1, 5), ("c", 0.2, 5), ("d", 2.0, 4))
    }
    finals["e"] = [1e200, 2e200]
    root = written(write_run, finals)
    page = answered(root, mode=mode).variants
    terminal = decide(compare(load(root), "accuracy", mode)).rows
    assert [v.label for v in page] == [row.label for row in terminal]
    for variant, row in zip(page[1:], terminal[1:], strict=True):
        assert variant.delta == row.difference
        assert variant.separable == (row.verdict != "not decided")
        assert variant.more == row.more


def test_while_runs_are_under_way_a_look_may_be_taken_after_each(write_run: Write) -> None:
    finals = {"a": [0.9, 0.91, 0.93], "b": [0.5, 0.55, 0.53]}
    root = written(write_run, finals)
    results = load(root)
    at_the_end = answer_of(results, results, Choices(), "")
    assert at_the_end.variants[1].separable is True
    waiting = dataclasses.replace(results, waiting={"runs": 1})
    looked = answer_of(waiting, waiting, Choices(), "")
    assert looked.variants[1].separable is False  # its e-value is below 20


def test_further_columns_are_means_of_the_runs_that_count_and_words_are_counted(
    write_run: Write,
) -> None:
    losses = {"a": [0.3, 0.5, 0.4], "b": [0.9, 0.7, "nan"]}
    for name, values in losses.items():
        for seed, loss in enumerate(values):
            columns = {
                "step": [0, 1],
                "accuracy": [0.1, 0.9 if name == "a" else 0.8],
                "loss": [1, loss],
                "end": ["going", "early" if seed else "full"],
            }
            root = write_run(f"size={name}/run_{seed}", {"size": name, "seed": seed}, columns)
    runs = LiveRuns([root.parents[1]])
    also = ["loss", "end", "nothing"]
    page = document(runs.now(), Choices(y=("accuracy",)), "", Texts(runs.roots), also)
    rows = {row["label"]: row["also"] for row in page["variants"]}
    mean, half = np.mean(losses["a"]), stats.t.ppf(0.975, 2) * stats.sem(losses["a"])
    assert rows["size=a"]["loss"]["value"] == pytest.approx(mean)
    assert rows["size=a"]["loss"]["text"] == f"{mean:.2f} ± {half:.2f}"
    assert rows["size=b"]["loss"] == {"text": "diverged", "value": None}
    assert rows["size=a"]["end"]["text"] == "early ×2, full ×1"
    assert page["text_metrics"] == ["end"]
    text = document(runs.now(), Choices(y=("end",)), "", Texts(runs.roots))
    assert "holds text" in text["message"]


def test_a_further_column_says_of_how_many_runs_it_is_where_others_lack_the_metric(
    write_run: Write,
) -> None:
    for seed in range(3):
        columns = {"step": [0, 1], "accuracy": [0.1, 0.9]} | ({} if seed else {"loss": [1, 0.25]})
        root = write_run(f"run_{seed}", {"seed": seed}, columns)
    runs = LiveRuns([root.parent])
    page = document(runs.now(), Choices(y=("accuracy",)), "", Texts(runs.roots), ["loss"])
    (row,) = page["variants"]
    assert (row["n"], row["also"]["loss"]["text"]) == (3, "0.25 (n = 1)")


def test_curves_of_further_metrics_are_means_and_those_of_runs_their_rows(runs: Path) -> None:
    moment = LiveRuns([runs]).now()
    label, run = "lr=0.1, hidden=128", "lr=0.1,hidden=128/run_2"
    curves = metric_curves(moment, Choices(), ["score", "loss"], label=[label])
    assert set(curves["score"]) == set(curves["loss"]) == {label}
    assert curves["score"][label]["y"] == pytest.approx([12.8 + s + 1 for s in range(0, 50, 10)])
    curves = metric_curves(moment, Choices(), ["score"], run=[run])
    assert curves["score"][run]["y"] == pytest.approx([12.8 + s + 2 for s in range(0, 50, 10)])
    with pytest.raises(InvalidInput, match="no run has a metric"):
        metric_curves(moment, Choices(), ["nothing"])


def asked(root: Path, **choices: object) -> dict[str, Any]:
    moment = LiveRuns([root]).now()
    return document(
        moment, Choices().replaced(choices), "", Texts([str(root)]), ("seed", "seconds")
    )


def test_a_setting_that_nobody_groups_by_is_mixed_and_its_values_are_said(runs: Path) -> None:
    page = asked(runs, series=("lr",))
    assert (page["keys"], page["identity"], page["pooled"]) == (
        ["lr"],
        ["lr", "hidden"],
        ["hidden"],
    )
    assert "pooled over: hidden" in page["accounting"]
    for variant in page["variants"]:
        lr = float(variant["values"][0])
        own = [lr * hidden + 40 + seed for hidden in (32, 128) for seed in range(3)]
        assert (variant["n"], variant["mean"]) == (6, pytest.approx(np.mean(own)))
        mixed = {"text": "mixed: 2 values", "value": "32", "values": ["32", "128"]}
        assert variant["also"]["hidden"] == mixed
        seeds = {"text": "mixed: 3 values", "value": "0", "values": ["0", "1", "2"]}
        assert variant["also"]["seed"] == seeds
    alone = asked(runs)
    assert (alone["pooled"], len(alone["variants"])) == ([], 4)


def test_tasks_are_never_pooled_since_their_scales_are_their_own(write_run: Write) -> None:
    for env, scale in (("pong", 1.0), ("chess", 1000.0)):
        for lr in (0.1, 0.2):
            for seed in range(2):
                values = {"step": [0, 1], "score": [0, scale * lr + seed]}
                root = write_run(f"{env},{lr}/{seed}", {"env": env, "lr": lr, "seed": seed}, values)
    page = asked(root.parents[1], series=("lr",))
    assert page["keys"] == ["env", "lr"]
    assert len(page["variants"]) == 4
    assert page["task_keys"] == ["env"]


def test_hsus_comparison_is_said_where_it_rules_out_what_pairs_leave_open(
    write_run: Write,
) -> None:
    means = [0.90, 0.86, 0.60, 0.50, 0.40]
    noise = np.random.default_rng(3).normal(0, 0.06, (len(means), 3))
    scores = np.round(np.array(means)[:, None] + noise, 6)
    root = written(write_run, {f"v{i}": list(row) for i, row in enumerate(scores)})
    answer = answered(root)
    # The seeds are the same, so what is left when their means are taken out is the error.
    k, n = scores.shape
    centred = scores - scores.mean(0) - scores.mean(1)[:, None] + scores.mean()
    freedom = (k - 1) * (n - 1)
    error = math.sqrt((centred**2).sum() / freedom)
    draws = np.random.default_rng(0)
    z = draws.normal(size=(400_000, k))
    spread = np.sqrt(draws.chisquare(freedom, 400_000) / freedom)
    d = np.quantile((z[:, 1:] - z[:, :1]).max(1) / math.sqrt(2) / spread, 0.95)
    means_of = scores.mean(1)
    candidates = [
        i
        for i in range(k)
        if means_of[i] - np.delete(means_of, i).max() + d * error * math.sqrt(2 / n) > 0
    ]
    may = [v.label for v in answer.variants if v.may_be_best]
    assert sorted(may) == [f"size=v{i}" for i in candidates]
    unclear = sum(v.separable is False for v in answer.variants)
    assert len(candidates) <= unclear
    words = f"with one spread for all, {len(candidates)} of all 5 may be the best"
    assert words in answer.sentence


def test_a_file_holds_the_curve_of_each_run_with_its_extremes(write_run: Write) -> None:
    own = {}
    for seed in range(3):
        score = [math.sin(step / 50) + seed for step in range(2000)]
        score[777] = 9.0 + seed
        columns = {"step": list(range(2000)), "score": score}
        directory = write_run(f"a/run_{seed}", {"lr": 1, "seed": seed}, columns)
        own[directory.name] = score
    moment = LiveRuns([directory.parents[1]]).now()
    page = document(moment, Choices(), "", Texts([]), whole=True)
    assert len(page["run_curves"]) == 3
    for run, curve in page["run_curves"].items():
        score = own[Path(run).name]
        assert len(curve["y"]) < 400
        assert max(curve["y"]) == pytest.approx(max(score), rel=1e-4)
        assert curve["y"][-1] == pytest.approx(score[-1], rel=1e-4)
        for x, y in zip(curve["x"], curve["y"], strict=True):
            assert y == pytest.approx(score[int(x)], rel=1e-3, abs=1e-4)


def test_a_page_without_runs_says_what_was_not_read_and_what_to_do(tmp_path: Path) -> None:
    empty = asked(tmp_path)["message"]
    assert "runslot run" in empty
    (tmp_path / "notes.csv").write_text("x,y\n")
    foreign = asked(tmp_path)["message"]
    assert "notes.csv" in foreign
    assert "--log" in foreign
    assert str(tmp_path) not in foreign
    (tmp_path / "gone").mkdir()
    runs = LiveRuns([tmp_path / "gone"])
    (tmp_path / "gone").rmdir()
    gone = document(runs.now(), Choices(), "", Texts([]))["message"]
    assert gone.startswith("No run can be read: ")
    assert "cannot be listed" in gone


def test_runs_that_all_diverged_and_runs_of_text_alone_are_said(write_run: Write) -> None:
    root = written(write_run, {"a": [math.nan, math.nan]})
    assert asked(root)["sentence"] == "No variant has a value of accuracy: 2 runs diverged."
    for path in root.rglob("progress.csv"):
        path.write_text("step,end\n0,going\n1,good\n")
    message = asked(root)["message"]
    assert (
        message == "No run has logged a number beside step, which counts its steps, but text: end."
    )


def test_a_setting_named_note_is_no_note(write_run: Write) -> None:
    for seed, note in enumerate(("a", "b")):
        root = write_run(f"{note}/0", {"note": note, "seed": seed}, {"step": [0], "score": [seed]})
    variants = asked(root.parents[1])["variants"]
    assert [(v["values"], v.get("note")) for v in variants] == [(["b"], None), (["a"], None)]
