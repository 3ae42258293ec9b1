"""What scripts of launchkit and RLKit call beside `run_experiment`, as their sources define it."""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import subprocess
from pathlib import Path

import pytest

import runslot
from runslot import launchkit

NAMES = (
    "Hyperparameter", "RandomHyperparameter", "Sweeper", "DeterministicSweeperCombiner", "recursive_dictionary_update",
    "set_seed", "create_log_dir", "create_exp_name", "reset_execution_environment", "get_git_infos",
    "dict_to_safe_json", "query_yes_no", "save_experiment_data",
)  # fmt: skip


def test_the_names_can_be_imported_from_the_door_and_from_the_top() -> None:
    for name in NAMES:
        assert getattr(launchkit, name) is getattr(runslot, name)


def test_a_directory_is_made_and_named_as_theirs(tmp_path: Path) -> None:
    name = launchkit.create_exp_name("my_exp", exp_id=3, seed=7)
    assert re.fullmatch(r"my_exp_\d{4}(_\d\d){5}_0003--s-7", name)
    made = launchkit.create_log_dir("my_exp", exp_id=3, seed=7, base_log_dir=str(tmp_path))
    assert isinstance(made, str)
    assert Path(made).is_dir()
    assert Path(made).parent == tmp_path / "my-exp"
    flat = launchkit.create_log_dir(
        "my_exp", base_log_dir=str(tmp_path), include_exp_prefix_sub_dir=False
    )
    assert Path(flat).parent == tmp_path


def test_a_sweep_over_distributions_of_ones_own() -> None:
    class Even(launchkit.RandomHyperparameter):
        def generate_next_value(self) -> int:
            return 2 * random.randint(1, 5)

    sweeper = launchkit.RandomHyperparameterSweeper(
        [Even("algo.steps")], {"algo": {"steps": 1, "lr": 0.1}}
    )
    assert isinstance(sweeper, launchkit.Sweeper)
    launchkit.set_seed("3")
    first = [sweeper.generate_random_hyperparameters() for _ in range(5)]
    launchkit.set_seed(3)
    assert [sweeper.generate_random_hyperparameters() for _ in range(5)] == first
    assert all(draw["algo"]["steps"] % 2 == 0 and draw["algo"]["lr"] == 0.1 for draw in first)


def test_sweepers_are_combined_as_their_usage_says() -> None:
    one = launchkit.DeterministicHyperparameterSweeper({"a": [1, 2]})
    other = launchkit.DeterministicHyperparameterSweeper({"b": ["x", "y"]}, {"c": 0})
    combined = list(
        launchkit.DeterministicSweeperCombiner([one, other]).iterate_list_of_hyperparameters()
    )
    assert combined == [({"a": a}, {"b": b, "c": 0}) for a in (1, 2) for b in "xy"]


def test_a_nested_update_in_place() -> None:
    below = {"a": {"b": 1, "c": 2}, "d": 3}
    given = launchkit.recursive_dictionary_update(
        below, {"a": {"c": 4, "e": {"f": 5}}, "d": {"g": 6}}
    )
    assert given is below
    assert below == {"a": {"b": 1, "c": 4, "e": {"f": 5}}, "d": {"g": 6}}


def test_values_that_json_has_not_are_text() -> None:
    safe = launchkit.dict_to_safe_json(
        {"a": 1, "b": (1, None), "c": {"d": print, "e": "x"}, "f": [print]}
    )
    assert json.loads(json.dumps(safe)) == {
        "a": 1,
        "b": [1, None],
        "c": {"d": str(print), "e": "x"},
        "f": str([print]),
    }


def test_an_experiment_is_saved_with_functions_of_the_script(tmp_path: Path) -> None:
    launchkit.save_experiment_data({"variant": {"f": lambda x: x + 1}}, str(tmp_path))
    assert pickle.loads((tmp_path / "experiment.pkl").read_bytes())["variant"]["f"](1) == 2


def test_git_is_told_in_launchkits_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, plain = tmp_path / "tree", tmp_path / "plain"
    tree.mkdir()
    plain.mkdir()
    (tree / "a.txt").write_text("a\n")
    git = ["git", "-C", str(tree), "-c", "user.name=n", "-c", "user.email=e@e"]
    for command in (["init", "-q", "-b", "trunk"], ["add", "."], ["commit", "-qm", "m"]):
        subprocess.run([*git, *command], check=True)
    (tree / "a.txt").write_text("b\n")
    (info,) = launchkit.get_git_infos([str(tree), str(plain)])
    assert capsys.readouterr().out == f"Not a valid git repo: {plain}\n"
    assert (info.directory, info.branch_name, info.code_diff_staged) == (str(tree), "trunk", "")
    assert "+b" in info.code_diff
    launchkit.setup_logger(log_dir=str(plain), git_infos=[info])
    launchkit.reset_execution_environment()
    assert info.commit_hash in (plain / "git_infos.txt").read_text()


@pytest.mark.parametrize(
    ("typed", "default", "answer"),
    [("\n", "yes", True), ("\n", "no", False), ("what\nNO\n", "yes", False), ("\ny\n", None, True)],
)
def test_a_question_is_asked_until_it_is_answered(
    typed: str, default: str | None, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert launchkit.query_yes_no("Sure?", default) is answer


def test_a_default_answer_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid default answer: 'maybe'"):
        launchkit.query_yes_no("Sure?", "maybe")
