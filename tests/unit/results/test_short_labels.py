"""Variants that have too many or too long settings to be read, by what tells them apart."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from runslot.errors import InvalidInput
from runslot.results import compare, decide, load
from runslot.results.text.effects import print_effects
from runslot.results.text.latex import latex_of
from runslot.results.text.short_labels import FEW, LONGEST_SETTING, short_labels
from runslot.results.text.table import print_table
from runslot.results.text.verdicts import print_verdicts

WriteRun = Callable[..., Path]
SETTINGS = 120


@pytest.fixture
def many_settings(tmp_path: Path) -> Path:
    """Four variants of 120 settings, of which 40 are equal in all."""
    for number in range(4):
        settings = {
            f"model.block{i}.width_{i}": 64 if i < 40 else number // 2 if i < 80 else number
            for i in range(SETTINGS)
        }
        for seed in range(3):
            score = 0.5 + number / 10 + seed / 50 * (number + 1)
            directory = tmp_path / str(number) / f"run_{seed}"
            directory.mkdir(parents=True)
            (directory / "progress.csv").write_text(f"step,score\n1,{score}\n")
            (directory / "variant.json").write_text(json.dumps({**settings, "seed": seed}))
    return tmp_path


@pytest.fixture
def long_values(tmp_path: Path, write_run: WriteRun) -> Path:
    """Six variants whose values begin and end alike."""
    for number in range(6):
        settings = {
            "model": f"facebook/wav2vec2-large-xlsr-{number}-finetuned-on-something-long",
            "tokenizer": f"a-rather-long-name-of-a-tokenizer-v{number // 2}",
            "about": "x" * 70 + str(number),
        }
        for seed in range(3):
            write_run(settings, seed=seed, rows=[{"score": 0.5 + number / 10 + seed / 30}])
    return tmp_path


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def lines_of(console: Console) -> list[str]:
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.splitlines()


def test_of_hundreds_of_settings_those_are_shown_that_tell_variants_apart(
    many_settings: Path,
) -> None:
    console = terminal()
    comparison = print_table(many_settings, console, "score")
    lines = lines_of(console)
    text = " ".join(" ".join(lines).split())
    assert [line.split()[0] for line in lines[4:8]] == [f"width_80={n}" for n in (3, 2, 1, 0)]
    assert "Of 80 settings that vary model.block80.width_80 is shown" in text
    assert "--csv - has all in full" in text
    assert len(lines) < 20
    print_effects(comparison, console)
    assert any("68 more (--json has all)" in line for line in lines_of(console))
    table = latex_of(decide(comparison))
    assert "\\begin{tabular}{lrr}" in table
    assert "Of 80 settings that vary model.block80.width\\_80 is shown" in table


@pytest.mark.parametrize("width", [80, 120])
def test_verdicts_on_many_settings_keep_to_the_terminal(many_settings: Path, width: int) -> None:
    console = terminal(width)
    verdicts = decide(compare(load(many_settings), "score"))
    print_verdicts(verdicts, console)
    lines = lines_of(console)
    assert max(map(cell_len, lines)) <= width
    assert lines[1].startswith("width_80=3 leads with score")
    assert sum("width_80=" in line for line in lines) >= 4
    assert not any("width_81" in line for line in lines)
    assert len(lines) < 40


def test_long_values_are_shown_by_what_differs(long_values: Path) -> None:
    console = terminal()
    print_verdicts(decide(compare(load(long_values), "score")), console)
    lines = lines_of(console)
    assert max(map(cell_len, lines)) <= 80
    text = " ".join(lines)
    assert "model=…5…, tokenizer=…v2," in text
    assert "… stands for what long values share, or for their middle" in text
    assert "finetuned" not in text


def test_a_pipe_has_labels_in_full(long_values: Path) -> None:
    console = Console(file=io.StringIO(), width=80)
    print_verdicts(decide(compare(load(long_values), "score")), console)
    rows = [line for line in lines_of(console) if "reference" in line]
    assert "wav2vec2-large-xlsr-5-finetuned-on-something-long" in rows[0]


def test_a_variant_is_named_by_settings_as_the_table_shows_them(many_settings: Path) -> None:
    comparison = compare(load(many_settings), "score")
    assert (
        decide(comparison, "width_80=1").references
        == decide(comparison, "model.block80.width_80=1").references
    )
    with pytest.raises(InvalidInput, match="names 2 variants"):
        decide(comparison, "width_79=1")


texts = st.text("ab-_x", max_size=30)


@given(
    st.integers(1, 12).flatmap(lambda n: st.lists(st.tuples(*[texts] * n), min_size=2, max_size=6))
)
def test_labels_that_differ_in_full_differ_in_short(rows: list[tuple[str, ...]]) -> None:
    keys = [f"group{i}.key" for i in range(len(rows[0]))]
    short = short_labels(keys, rows)
    whole = [", ".join(f"{k}={v}" for k, v in zip(keys, row, strict=True)) for row in rows]
    if short is None:
        assert len(keys) <= FEW or max(map(len, whole)) <= 80
        assert all(
            len(f"{k}={v}") <= LONGEST_SETTING
            for row in rows
            for k, v in zip(keys, row, strict=True)
        )
    else:
        assert len(set(short.labels)) == len(set(rows))
        assert sum(map(len, short.labels)) <= sum(map(len, whole))
