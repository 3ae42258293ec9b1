"""The study of a search: what it asks, and that its events make the same study again."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from runslot.errors import InvalidInput
from runslot.search.optuna_log import optuna_log
from runslot.search.report import SearchReport, settings_of
from runslot.search.roster import make_record
from runslot.search.space import SearchSpace
from runslot.search.spec import Search
from runslot.search.start import make_study, space_of
from runslot.search.study import Study
from runslot.search.trial import Trial
from runslot.variants import Variant

SPACE = {"lr": "uniform(0,1)", "act": ["relu", "gelu"]}
PRUNED = "asha:first=1,eta=3,last=9"


def record(race: str = "", seeds: int = 1, bases: tuple[str, ...] = ("",), **words: Any) -> Any:
    words = {"space": SPACE, "trials": 12, "sampler": "random", **words}
    variants = [Variant({"env": base} if base else {}, base or None) for base in bases]
    return make_record(Search("acc", "max", **words), variants, range(seeds), race, None, False)


def study_of(kept: Any) -> Study:
    return make_study(kept, "test", space_of(kept, Path()))


class World:
    """Runs of a study that end as a seeded chance has it, and the journal that it leaves."""

    def __init__(self, kept: Any, seed: int, can_pause: bool) -> None:
        self.kept = kept
        self.study = study_of(kept)
        self.rng = random.Random(seed)
        self.can_pause = can_pause
        self.journal: list[dict[str, Any]] = []
        self.rows: dict[str, list[tuple[float, float]]] = {}
        self.ends: dict[str, tuple[str, float | None]] = {}

    def write(self, event: dict[str, Any]) -> None:
        if event:
            self.journal.append(json.loads(json.dumps(event)))

    def step(self) -> bool:
        """Start what comes next, and let one run show a row, or end; False when all is over."""
        under_way = [run for run in self.study.runs.values() if run.state == "running"]
        for move in self.study.moves(2 - len(under_way), self.can_pause):
            self.write(move.event)
            if move.run is not None:
                self.study.note_start(move.run.id)
                self.write({"event": "start", "run": move.run.id})
        under_way = [run for run in self.study.runs.values() if run.state == "running"]
        if not under_way:
            return False
        run = self.rng.choice(under_way)
        if run.halted:
            self.end(run, "paused" if run.halted == "pause" else "pruned")
        elif self.rng.random() < 0.04:
            self.end(run, "failed")
        else:
            self.log(run)
        return True

    def log(self, run: Any) -> None:
        rows = self.rows.setdefault(run.id, [])
        for _ in range(self.rng.choice([1, 1, 3])):
            step = len(rows) + 1.0
            rows.append((step, run.run.variant["lr"] * step + 0.01 * self.rng.random()))
        self.study.note_rows(run.id, list(rows))
        if len(rows) >= 9:
            self.end(run, "succeeded")
        else:
            for event in self.study.judge(run.id, self.can_pause):
                self.write(event)

    def end(self, run: Any, kind: str) -> None:
        rows = self.rows.get(run.id, [])
        value = rows[-1][1] if rows else None
        self.write({"event": "ended", "run": run.id, "outcome": {"kind": kind}})
        self.study.note_end(run.id, kind, value)
        self.ends[run.id] = (kind, value)
        if kind == "succeeded":
            for event in self.study.judge(run.id, self.can_pause):
                self.write(event)

    def replayed(self) -> Study:
        """Return the study that the journal, and the runs' files, make again."""
        again = study_of(self.kept)
        for event in self.journal:
            again.apply(event)
        for run_id, run in again.runs.items():
            again.note_rows(run_id, list(self.rows.get(run_id, [])))
            if run.state not in {"waiting", "running"} and run_id in self.ends:
                again.note_end(run_id, *self.ends[run_id])
        return again


def picture(study: Study) -> Any:
    runs = [(run.id, run.state, run.halted, run.rung) for run in study.runs.values()]
    best = None if study.best is None else study.best.number
    return runs, study.states(), best, study.closed, study.drops


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("words", "can_pause"),
    [
        ({"seeds": 2, "test_seeds": 2}, False),
        ({"bases": ("a", "b"), "seeds": 2}, False),
        ({"prune": PRUNED}, False),
        ({"prune": PRUNED}, True),
        ({"prune": "asha", "seeds": 2}, True),
        ({"prune": "hyperband:last=9"}, True),
        ({"prune": "median:first=1,last=9,trials=2"}, False),
        ({"race": "race:2..4", "trials": 5, "test_seeds": 1}, False),
        ({"prune": PRUNED, "race": "race:2..4"}, True),
    ],
)
def test_the_journal_makes_the_same_study_again_at_every_moment(words, can_pause, seed):
    world = World(record(**words), seed, can_pause)
    steps = 0
    while world.step():
        steps += 1
        if steps % 7 == 0:
            assert picture(world.replayed()) == picture(world.study)
    assert picture(world.replayed()) == picture(world.study)
    assert world.study.is_over or world.study.best_now() is None
    numbers = [event["trial"] for event in world.journal if event["event"] == "trial"]
    assert numbers == list(range(len(numbers)))
    verdicts = [(e["trial"], e["rung"]) for e in world.journal if e["event"] == "rung"]
    assert len(verdicts) == len(set(verdicts))


def test_a_replayed_study_asks_what_the_first_one_would_have_asked():
    world = World(record(trials=8), 1, False)
    for _ in range(25):
        world.step()
    asked = world.replayed().moves(5, False)
    assert [move.event for move in asked] == [move.event for move in world.study.moves(5, False)]


def test_a_space_that_changed_is_refused_with_what_to_do():
    study = study_of(record())
    with pytest.raises(InvalidInput, match="--from"):
        study.apply({"event": "trial", "trial": 0, "params": {"lr": 7.0, "act": "relu"}})


def test_a_run_pauses_at_no_rung_from_which_it_would_be_the_next_to_go_on():
    """No other trial can come or runs: a snapshot and another start would be for nothing."""
    study = study_of(record(trials=2, prune=PRUNED))
    first, second = (move.run for move in study.moves(2, True))
    verdicts = []
    for run in (first, second):
        study.note_start(run.id)
    for run, value in ((first, 0.1), (second, 0.9)):
        study.note_rows(run.id, [(1, value)])
        verdicts += [event["verdict"] for event in study.judge(run.id, True)]
        if run.halted:
            study.note_end(run.id, "paused", value)
    study.note_rows(second.id, [(1, 0.9), (2, 0.9), (3, 0.9)])
    verdicts += [event["verdict"] for event in study.judge(second.id, True)]

    assert verdicts == ["pause", "continue", "continue"]
    assert study.moves(2, True) == []


def test_a_run_that_is_not_the_best_of_its_rung_pauses_there_though_it_is_the_last():
    study = study_of(record(trials=2, prune=PRUNED))
    first, second = (move.run for move in study.moves(2, True))
    for run in (first, second):
        study.note_start(run.id)
    for run, value in ((first, 0.9), (second, 0.1)):
        study.note_rows(run.id, [(1, value)])
        study.judge(run.id, True)
        study.note_end(run.id, "paused", value)

    assert [move.run for move in study.moves(2, True)] == [first]


@pytest.mark.parametrize("value", [{1, 2}, print, {"inside": {1, 2}}])
def test_a_space_that_returns_what_json_cannot_hold_is_refused_by_the_key(value):
    """Its runs would get a description of it."""
    space = SearchSpace(function=lambda trial: {"lr": trial.suggest_float("lr", 0, 1), "x": value})
    with pytest.raises(InvalidInput, match=r"^x(\.inside)? of trial 0 is what JSON"):
        make_study(record(), "test", space).moves(1, False)


def test_no_slot_waits_while_trials_are_left():
    study = study_of(record(trials=5, seeds=3))
    moves = study.moves(4, False)
    assert sum(move.run is not None for move in moves) == 6
    assert len(study.trials) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"mode": "up"}, "max or min"),
        ({"sampler": "tpee"}, "did you mean 'tpe'"),
        ({"trials": 0}, "from 1 to"),
        ({"trials": True}, "from 1 to"),
        ({"budget": -1}, "0 or more"),
        ({"over_seeds": "median"}, "mean, iqm, worst"),
        ({"space": {"lr": object()}}, "neither a list of choices"),
        ({"space": {"lr": [object()]}}, "numbers, texts, lists or dicts"),
        ({"mtric": "x"}, "did you mean 'metric'"),
        ({"judged": 3}, "judged must be a text"),
        ({"step": 3}, "step must be a text"),
        ({"sources": 3}, "sources must be directories"),
    ],
)
def test_what_a_search_cannot_mean_is_refused_by_name(words, said):
    given = {"metric": "acc", "mode": "max", **words}
    with pytest.raises(InvalidInput, match=said):
        Search(**given).words()


def test_a_search_that_no_trial_can_win_has_nothing_left_to_resume():
    study = study_of(record(trials=2))
    runs = [move.run for move in study.moves(2, False)]
    for run in runs:
        study.note_start(run.id)
    study.note_end(runs[0].id, "succeeded", math.nan)
    assert not SearchReport(study, 2).is_over
    assert SearchReport(study, 2).lines()[-1] == "no trial has a value of acc yet"
    study.note_end(runs[1].id, "succeeded", math.nan)
    assert study.moves(2, False) == []
    assert SearchReport(study, 2).is_over
    assert SearchReport(study, 2).lines()[-1].endswith("none can win")


def test_directories_of_earlier_experiments_are_one_or_several():
    for sources in ("runs/a", Path("runs/a"), ["runs/a"], [Path("runs/a")]):
        assert Search("acc", "max", SPACE, trials=3, sources=sources).sources == ("runs/a",)


def test_optuna_reads_the_copy_of_a_study(tmp_path):
    optuna = pytest.importorskip("optuna")
    space = {**SPACE, "sizes": [[1], [2, 3]], "n": "integers(1,9)", "b": "loguniform(1e-5,1)"}
    world = World(record(space=space, prune=PRUNED), 3, False)
    while world.step():
        pass
    log = tmp_path / "study.log"
    log.write_text(optuna_log(world.study, "test"))

    backend = optuna.storages.journal.JournalFileBackend(str(log))
    loaded = optuna.load_study(study_name="test", storage=optuna.storages.JournalStorage(backend))
    assert len(loaded.trials) == len(world.study.trials)
    for trial, own in zip(loaded.trials, world.study.trials, strict=True):
        assert trial.params["lr"] == own.params["lr"]
        status = world.study.status_of(own)
        assert trial.state.name.lower().replace("fail", "failed") == status
        if status == "complete":
            assert trial.value == world.study.value_of(own)
    assert loaded.best_trial.number == world.study.best.number


def test_the_best_so_far_is_worth_what_its_last_rung_showed_while_it_runs() -> None:
    study = study_of(record(trials=1, prune=PRUNED))
    (move,) = study.moves(1, can_pause=False)
    assert move.run is not None
    study.note_start(move.run.id)
    study.note_rows(move.run.id, [(1, 0.5), (2, 0.75)])
    assert study.judge(move.run.id, can_pause=False)

    report = SearchReport(study, 1)
    assert report.lines()[0] == "search: 1 of 1 trial: 1 running"
    assert report.lines()[-1].endswith("acc 0.5 (at rung 0)")
    assert report.to_json()["value"] == 0.5


def test_a_trial_is_told_in_one_line_whatever_its_choices_are() -> None:
    trial = Trial(3, {"lr": 1e-5, "text": "two\nlines", "net": [64] * 99})
    words = settings_of(trial)
    assert words.startswith("lr=1e-05, text=two lines, net=[64, 64, 64, ")
    assert words.endswith("…")
    assert len(words) < 100
