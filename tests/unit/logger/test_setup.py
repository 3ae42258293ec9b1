"""`setup_logger` and `logger_context`, without a launcher and within a run."""

from __future__ import annotations

import enum
import json
import re
from pathlib import Path

import pytest

from runslot.errors import InvalidInput


class Color(enum.Enum):
    RED = 1


def test_setup_logger_makes_launchkits_directory(logger, tmp_path, rows):
    directory = Path(
        logger.setup_logger(exp_prefix="my_test", exp_id=3, seed=42, base_log_dir=tmp_path / "base")
    )
    assert directory.parent == tmp_path / "base" / "my-test"
    assert re.fullmatch(r"my_test_\d{4}(_\d\d){5}_0003--s-42", directory.name)
    logger.record_tabular("x", 1)
    logger.dump_tabular()
    logger.save_itr_params(7, {})
    logger.log("word")
    assert rows(directory / "progress.csv") == [{"x": "1"}]
    assert (directory / "params.pkl").exists()
    assert f" | [{directory.name}] word\n" in (directory / "debug.log").read_text()
    assert logger.get_snapshot_dir() == str(directory)


def test_two_calls_in_one_second_never_share_a_directory(logger, tmp_path):
    assert len({logger.setup_logger() for _ in range(5)}) == 5
    assert (tmp_path / "runs" / "default").is_dir()


def test_without_the_sub_directory(logger, tmp_path):
    assert (
        Path(logger.setup_logger(base_log_dir=tmp_path, include_exp_prefix_sub_dir=False)).parent
        == tmp_path
    )


def test_the_variant_is_written_as_rlkit_writes_it(logger):
    variant = {"algorithm": Path, "f": json.dumps, "color": Color.RED, "lr": 0.1, "layers": (2, 3)}
    directory = Path(logger.setup_logger(variant=variant))
    assert json.loads((directory / "variant.json").read_text()) == {
        "algorithm": {"$class": f"{Path.__module__}.Path"},
        "f": {"$function": "json.dumps"},
        "color": {"$enum": f"{Color.__module__}.Color.RED"},
        "lr": 0.1,
        "layers": [2, 3],
    }


def test_the_files_about_the_code(logger):
    infos = [
        ("/home/me/code/", "diff of it", "", "abc123", "main"),
        ("/lib", None, "staged", "def456", "dev"),
    ]
    directory = Path(logger.setup_logger(git_infos=infos, script_name="train.py"))
    assert (
        (directory / "git_infos.txt").read_text()
        == "directory: /home/me/code\ngit hash: abc123\ngit branch name: main\n\ndirectory: /lib\ngit hash: def456\ngit branch name: dev\n\n"
    )
    assert (directory / "home-me-code.patch").read_text() == "diff of it\n"
    assert (directory / "lib_staged.patch").read_text() == "staged\n"
    assert (directory / "script_name.txt").read_text() == "train.py"
    assert len(list(directory.glob("*.patch"))) == 2


def test_a_given_directory_is_continued_and_its_files_may_be_renamed(logger, tmp_path, rows):
    for epoch in range(2):
        assert logger.setup_logger(
            log_dir=str(tmp_path / "mine"), tabular_log_file="rows.csv", text_log_file="words.log"
        ) == str(tmp_path / "mine")
        logger.record_tabular("epoch", epoch)
        logger.dump_tabular()
    assert [row["epoch"] for row in rows(tmp_path / "mine" / "rows.csv")] == ["0", "1"]
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["rows.csv", "words.log"]


def test_a_second_setup_leaves_the_first_directory_alone(logger, rows):
    first = Path(logger.setup_logger())
    logger.push_prefix("first ")
    second = Path(logger.setup_logger(on_error="raise", keep_last=3))
    logger.record_tabular("x", 1)
    logger.dump_tabular()
    assert not (first / "progress.csv").exists()
    assert "first" not in (second / "debug.log").read_text()
    assert rows(second / "progress.csv") == [{"x": "1"}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"snapshot_mode": "never"}, "no snapshot mode 'never'"),
        ({"snapshot_gap": 0}, "snapshot_gap"),
        ({"keep_lats": 1}, "did you mean 'keep_last'"),
        ({"exp_id": -1}, "exp_id"),
    ],
)
def test_bad_arguments_are_refused_before_a_directory_is_made(logger, tmp_path, arguments, words):
    with pytest.raises(InvalidInput, match=words):
        logger.setup_logger(**arguments)
    assert not (tmp_path / "runs").exists()


def test_within_a_run_setup_logger_writes_to_the_run_and_keeps_the_launchers_files(
    logger, tmp_path, monkeypatch, rows
):
    directory = tmp_path / "run"
    directory.mkdir()
    run = {
        "id": "a",
        "name": "",
        "variant": {"lr": 1},
        "directory": "run",
        "seed": None,
        "run_ID": None,
    }
    content = {
        "run": run,
        "experiment": "e",
        "work": {"command": {"argv": ["true"]}},
        "cwd": "/",
        "python": "python",
        "logger": {},
    }
    (directory / "run.json").write_text(json.dumps(content))
    (directory / "variant.json").write_text('{"lr": 1}')
    monkeypatch.setenv("RUNSLOT_RUN", str(directory))
    assert logger.setup_logger("name", variant={"other": 2}, script_name="s.py") == str(directory)
    logger.record_tabular("x", 1)
    logger.dump_tabular()
    assert json.loads((directory / "variant.json").read_text()) == {"lr": 1}
    assert rows(directory / "progress.csv") == [{"x": "1"}]
    assert (
        Path(logger.setup_logger("name", base_log_dir=tmp_path / "else")).parent
        == tmp_path / "else" / "name"
    )


def test_logger_context_makes_rlpyts_directory(logger, tmp_path, rows):
    log_params = {"lr": 0.1, "env": Path}
    with logger.logger_context(tmp_path / "variant", 2, "pong", log_params, snapshot_mode="last"):
        logger.record_tabular("x", 1)
        logger.dump_tabular()
        logger.save_itr_params(0, {})
        logger.log("word")
    directory = tmp_path / "variant" / "run_2"
    assert json.loads((directory / "params.json").read_text()) == {
        "lr": 0.1,
        "env": "type",
        "name": "pong",
        "run_ID": 2,
    }
    assert log_params["run_ID"] == 2
    assert rows(directory / "progress.csv") == [{"x": "1"}]
    assert (directory / "params.pkl").exists()
    assert " | pong_2 word\n" in (directory / "debug.log").read_text()
    assert logger.get_snapshot_dir() is None


def test_logger_context_begins_anew_and_follows_rlpyts_gaps(logger, tmp_path, rows):
    logger.set_snapshot_gap(4)
    for value in (1, 2):
        with logger.logger_context(tmp_path, 0, "x", snapshot_mode="gap"):
            logger.record_tabular("value", value)
            logger.dump_tabular()
            for itr in range(8):
                logger.save_itr_params(itr, {})
    assert rows(tmp_path / "run_0" / "progress.csv") == [{"value": "2"}]
    assert {path.name for path in (tmp_path / "run_0").glob("*.pkl")} == {
        "itr_0.pkl",
        "itr_3.pkl",
        "itr_7.pkl",
    }


def test_a_relative_log_dir_goes_below_the_root_unless_overridden(logger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with logger.logger_context("a/b", 0, "x"):
        inside = Path(logger.get_snapshot_dir())
    assert re.fullmatch(r"local/\d{8}/\d{6}/a/b/run_0", str(inside.relative_to(tmp_path / "runs")))
    with logger.logger_context("a/b", 0, "x", override_prefix=True):
        assert logger.get_snapshot_dir() == str(tmp_path / "a" / "b" / "run_0")


def test_logger_context_ends_when_its_block_raises(logger, tmp_path):
    with pytest.raises(KeyError), logger.logger_context(tmp_path, 0, "x"):
        raise KeyError
    assert logger.get_snapshot_dir() is None
