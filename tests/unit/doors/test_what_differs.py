"""What the pages of the front doors say that differs, where no other test of the doors shows it."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from runslot import InvalidInput, logger
from runslot import rlpyt as door
from runslot.launchkit import LinearFloatParam, RandomHyperparameterSweeper, run_experiment
from runslot.rlpyt import encode_affinity

DOCS = Path(__file__).parents[3] / "docs"

CONTROLS = {
    "Groups by",
    "Figures by",
    "Metrics",
    "Search",
    "Where",
    "Smooth, rows",
    "Over seeds",
    "Only the best",
}


def nothing(variant: dict) -> None:
    """Do nothing."""


@pytest.mark.parametrize("page", ["rlpyt.md", "launchkit.md"])
def test_the_pages_controls_that_stand_for_viskits_are_there(page: str) -> None:
    said = set(
        re.findall(r"\*([A-Z][^*]+)\*", (DOCS / page).read_text().partition("| Viskit |")[2])
    )
    said &= CONTROLS if page == "launchkit.md" else {"Groups by", "Figures by", "Metrics"}
    labels = (Path(door.__file__).parents[1] / "view" / "web" / "controls.py").read_text()
    assert all(f'"{label}"' in labels for label in said | CONTROLS)


@pytest.mark.parametrize("page", ["rlpyt.md", "launchkit.md"])
def test_every_option_that_a_page_names_is_one(
    page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from runslot.cli.app import call

    known = ""
    for command in ("run", "results", "plot", "export", "view", "status"):
        assert call([command, "--help"]) == 0
        known += capsys.readouterr().out
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", (DOCS / page).read_text())) - {"--lr"}
    assert not {option for option in options if option not in known}


def test_output_of_a_run_is_in_its_console_and_not_in_the_launchers_terminal(
    project: Path, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "talk.py").write_text("print('said by the run')")
    code = encode_affinity(n_cpu_core=1, cpu_per_run=1)
    outcomes = door.run_experiments("talk.py", code, "talk", 1, [{}], ["a"])
    console = outcomes.directory / "a" / "run_0" / "console.log"
    assert console.read_text() == "said by the run\n"
    assert "said by the run" not in capfd.readouterr().out


def test_a_key_that_comes_later_is_kept_and_gaps_are_nan(tmp_path: Path) -> None:
    logger.setup_logger(log_dir=str(tmp_path))
    try:
        logger.record_tabular("a", 1)
        logger.dump_tabular()
        logger.record_dict({"a": 2, "b": 3})
        logger.dump_tabular()
    finally:
        logger.reset()
    assert (tmp_path / "progress.csv").read_text().split() == ["a,b", "1,nan", "2,3"]


def test_a_mode_that_does_not_exist_is_refused_and_nothing_runs_here(root: Path) -> None:
    with pytest.raises(InvalidInput, match="mode"):
        run_experiment(nothing, mode="local_dokcer")
    assert not root.exists() or not list(root.iterdir())


def test_a_random_space_with_a_key_twice_or_inside_another_one_is_refused() -> None:
    for names in (("lr", "lr"), ("net", "net.size")):
        with pytest.raises(InvalidInput, match=names[1]):
            RandomHyperparameterSweeper([LinearFloatParam(name, 0, 1) for name in names])


def test_a_scripts_random_seed_repeats_the_draws() -> None:
    sweeper = RandomHyperparameterSweeper([LinearFloatParam("lr", 0, 1)])
    draws = []
    for _ in range(2):
        random.seed(3)
        draws.append(sweeper.generate_random_hyperparameters())
    assert draws[0] == draws[1]
