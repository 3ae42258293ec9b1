"""What is printed, and what `debug.log` holds."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from runslot.experiment.records import LoggerSettings

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \w+ \| "


def test_a_line_has_the_time_and_the_prefixes_as_in_the_ancestors(logger, run_dir, capsys):
    logger.push_prefix("[x] ")
    with logger.prefix("itr #1 | "):
        logger.log("hello")
    logger.log("bare", with_prefix=False, with_timestamp=False)
    logger.pop_prefix()
    logger.log("after")
    out = capsys.readouterr().out
    assert re.fullmatch(rf"{TIME}\[x\] itr #1 \| hello\nbare\n{TIME}after\n", out)
    assert (run_dir / "debug.log").read_text() == out


def test_a_prefix_goes_when_its_block_raises(logger):
    for held in (logger.prefix("a"), logger.tabular_prefix("a")):
        with pytest.raises(KeyError), held:
            raise KeyError
    logger.record_tabular("k", 1)
    assert logger.get_table_key_set() == {"k"}


def test_prefixes_of_keys_nest(logger):
    logger.push_tabular_prefix("a/")
    with logger.tabular_prefix("b/"):
        logger.record_dict({"x": 1}, prefix="c/")
        logger.record_tabular("y", 2)
    logger.pop_tabular_prefix()
    logger.pop_tabular_prefix()
    logger.record_tabular("z", 3)
    assert logger.get_table_key_set() == {"a/b/c/x", "a/b/y", "z"}


def test_colour_is_for_the_console_alone(logger, run_dir, capsys):
    logger.log("red", with_timestamp=False, color="red")
    assert capsys.readouterr().out == "\x1b[31;1mred\x1b[0m\n"
    assert (run_dir / "debug.log").read_text() == "red\n"


def test_the_table_aligns_keys_and_points(logger, capsys):
    logger.record_dict({"loss": 0.125, "steps": 100000, "name": "a\nb", "long-key": float("nan")})
    logger.dump_tabular(with_timestamp=False)
    assert capsys.readouterr().out.splitlines() == [
        "--------  ----------",
        "loss           0.125",
        "steps     100000",
        "name      a b",
        "long-key     nan",
        "--------  ----------",
    ]


@pytest.mark.parametrize(
    ("mode", "rows", "words"),
    [
        ("table", "x  1", True),
        ("line", "itr 0  x=1", True),
        ("quiet", "", True),
        ("silent", "", False),
    ],
)
def test_quiet_modes_print_less_and_write_the_same(logger, run_dir, capsys, mode, rows, words):
    logger.configure(console=mode)
    logger.record_tabular("x", 1)
    logger.dump_tabular(with_timestamp=False)
    out = capsys.readouterr().out
    assert rows in out
    assert bool(out) == bool(rows)
    logger.log("word", with_timestamp=False)
    assert capsys.readouterr().out == ("word\n" if words else "")
    assert (run_dir / "debug.log").read_text() == "-  -\nx  1\n-  -\nword\n"


def test_tabular_only_prints_rows_and_nothing_else(logger, run_dir, capsys, rows):
    logger.set_log_tabular_only(True)
    assert logger.get_log_tabular_only()
    logger.log("hidden")
    for epoch in range(2):
        logger.record_dict({"epoch": epoch, "loss": 0.5})
        logger.dump_tabular()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["epoch", "loss"], ["0", "0.5"], ["1", "0.5"]]
    assert len(rows(run_dir / "progress.csv")) == 2
    assert not (run_dir / "debug.log").exists()


def test_tabular_only_redraws_on_a_terminal(logger, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("LINES", "6")
    logger.set_log_tabular_only(True)
    for epoch in range(10):
        logger.record_dict({"epoch": epoch})
        logger.dump_tabular()
    last = capsys.readouterr().out.split("\x1b[2J\x1b[H")[-1]
    assert last.split() == ["epoch", "7", "8", "9"]


def test_the_prefix_can_be_switched_off(logger, run_dir):
    logger.bind_run(run_dir, LoggerSettings(prefix="[run] "))
    logger.log("with", with_timestamp=False)
    logger.set_disable_prefix(True)
    assert logger.get_disable_prefix()
    logger.log("without", with_timestamp=False)
    assert (run_dir / "debug.log").read_text() == "[run] with\nwithout\n"


def test_a_torn_line_of_the_attempt_before_is_ended(logger, run_dir):
    (run_dir / "debug.log").write_text("torn")
    logger.log("next", with_timestamp=False)
    assert (run_dir / "debug.log").read_text() == "torn\nnext\n"


def test_more_text_files(logger, run_dir):
    logger.add_text_output(run_dir / "sub" / "more.log")
    logger.log("both", with_timestamp=False)
    logger.remove_text_output(run_dir / "sub" / "more.log")
    logger.log("one", with_timestamp=False)
    assert (run_dir / "sub" / "more.log").read_text() == "both\n"
    assert (run_dir / "debug.log").read_text() == "both\none\n"


def test_the_standard_librarys_logging_lands_in_debug_log(logger, run_dir, capsys):
    handler = logger.RunLogHandler("INFO")
    script = logging.Logger("script")
    script.addHandler(handler)
    script.info("%d steps", 3)
    script.debug("not this")
    try:
        raise ValueError("inside")
    except ValueError:
        script.exception("failed")
    text = (run_dir / "debug.log").read_text()
    assert re.search(r"INFO script: 3 steps\n", text)
    assert "ValueError: inside" in text
    assert "not this" not in text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("broken", ["closed", "none", "ascii"])
def test_a_console_that_takes_nothing_does_not_end_the_training(
    logger, run_dir, rows, monkeypatch, tmp_path, broken
):
    with (tmp_path / "console").open("w", encoding="ascii") as stream:
        if broken == "closed":
            stream.close()
        monkeypatch.setattr(sys, "stdout", None if broken == "none" else stream)
        logger.log("Größe", with_timestamp=False)
        logger.record_tabular("größe", 1)
        logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [{"größe": "1"}]
    assert (run_dir / "debug.log").read_text(encoding="utf-8").startswith("Größe\n")
    if broken == "ascii":
        assert (tmp_path / "console").read_text().startswith(r"Gr\xf6\xdfe")
