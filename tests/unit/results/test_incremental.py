"""A second read takes only what was appended, and is equal to reading everything anew."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from runslot.results import Reader, load
from runslot.results.formats import csv_text
from runslot.results.read import store

WriteLog = Callable[..., Path]


def write(root: Path, run: str, text: str, mode: str = "a") -> None:
    directory = root / run
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "variant.json").write_text("{}")
    with (directory / "progress.csv").open(mode) as file:
        file.write(text)


def assert_as_read_anew(reader: Reader, root: Path) -> None:
    again, anew = reader.read(), load(root, cache=False)
    assert_frame_equal(again.progress, anew.progress, check_column_order=False)
    assert_frame_equal(again.runs, anew.runs, check_column_order=False)


def test_only_new_bytes_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in ("a", "b"):
        write(tmp_path, run, "x,y\n1,2\n")
    reader = Reader(tmp_path)
    reader.read()
    read = []
    original = csv_text.read_new

    def spy(path: str, cursor: csv_text.Cursor | None) -> csv_text.Text | None:
        text = original(path, cursor)
        read.append((Path(path).parent.name, text.body if text else None))
        return text

    monkeypatch.setattr(csv_text, "read_new", spy)
    write(tmp_path, "a", "3,4\n5")
    assert reader.read().progress["x"].to_list() == [1.0, 3.0, 1.0]
    assert read == [("a", b"3,4\n")]
    write(tmp_path, "a", ",6\n")
    assert reader.read().progress["x"].to_list() == [1.0, 3.0, 5.0, 1.0]
    assert read[1:] == [("a", b"5,6\n")]
    reader.read()
    assert len(read) == 2


@pytest.mark.parametrize("text", ["z,y\n9,9\n9,9\n9,9\n", "x,y\n8,8\n1,1\n7,7\n", "x,y\n", ""])
def test_a_rewritten_file_is_read_anew(tmp_path: Path, text: str) -> None:
    write(tmp_path, "a", "x,y\n1,2\n")
    write(tmp_path, "b", "x,y\n1,2\n")
    reader = Reader(tmp_path)
    reader.read()
    write(tmp_path, "a", text, mode="w")
    assert_as_read_anew(reader, tmp_path)


def test_a_further_attempt_with_a_log_of_the_same_size_is_read_anew(tmp_path: Path) -> None:
    write(tmp_path, "a", "x,y\n1,2\n3,4\n")
    reader = Reader(tmp_path)
    reader.read()
    log = tmp_path / "a" / "progress.csv"
    for rows in ("5,6\n3,4\n", "5,6\n3,4\n7,8\n"):
        new = log.with_name("new")
        new.write_text(f"x,y\n{rows}")
        new.replace(log)
        assert_as_read_anew(reader, tmp_path)


def test_what_changes_beside_the_log_is_read_without_reading_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a", "x,y\n1,2\n")
    reader = Reader(tmp_path)
    reader.read()
    monkeypatch.setattr(csv_text, "read_new", lambda *_: pytest.fail("the log did not change"))
    (tmp_path / "a" / "variant.json").write_text('{"lr": 1}')
    results = reader.read()
    assert results.runs.select("lr", "final/x", "rows").rows() == [(1, 1.0, 1)]


def test_runs_that_come_and_go(tmp_path: Path) -> None:
    write(tmp_path, "a", "x\n1\n")
    reader = Reader(tmp_path)
    first = reader.read()
    write(tmp_path, "b", "x\n2\n")
    assert_as_read_anew(reader, tmp_path)
    (tmp_path / "a" / "progress.csv").unlink()
    assert_as_read_anew(reader, tmp_path)
    assert first.progress["x"].to_list() == [1.0]


def test_earlier_results_stay_as_they_were_while_segments_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_MANY_SEGMENTS", 3)
    reader = Reader(tmp_path)
    seen = []
    for i in range(12):
        write(tmp_path, "a", f"{'' if i else 'x' + chr(10)}{i}\n")
        write(tmp_path, "b", f"{'' if i else 'y' + chr(10)}{i}\n")
        seen.append(reader.read())
    for i, results in enumerate(seen):
        assert results.progress["x"].drop_nulls().to_list() == [float(n) for n in range(i + 1)]
    assert len(reader._state.segments) <= 6
    assert_as_read_anew(reader, tmp_path)


class TestOnDisk:
    @pytest.fixture(autouse=True)
    def keep_also_small_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "WORTH_KEEPING_BYTES", 0)

    def test_another_process_continues(
        self, tmp_path: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, "a", "x,t\n1,hello\n3,oops,4\n")
        write(tmp_path, "b", "y\n1\n")
        first = load(tmp_path)
        assert list(cache_home.rglob("*.arrow"))
        monkeypatch.setattr(csv_text, "read_new", lambda *_: pytest.fail("nothing changed"))
        again = load(tmp_path)
        assert_frame_equal(again.progress, first.progress)
        assert_frame_equal(again.runs, first.runs)
        assert again.problems == first.problems != ()
        monkeypatch.undo()
        monkeypatch.setattr(store, "WORTH_KEEPING_BYTES", 0)
        write(tmp_path, "a", "5,6\n")
        assert_as_read_anew(Reader(tmp_path), tmp_path)

    @pytest.mark.parametrize("harm", ["index", "rows", "torn rows", "missing rows", "other format"])
    def test_a_broken_cache_is_no_cache(self, tmp_path: Path, cache_home: Path, harm: str) -> None:
        write(tmp_path, "a", "x\n1\n")
        first = load(tmp_path)
        (index,) = cache_home.rglob("index.json")
        (rows,) = cache_home.rglob("*.arrow")
        if harm == "index":
            index.write_text('{"format": 1, "entries": [')
        elif harm == "other format":
            index.write_text(index.read_text().replace('"format": 1', '"format": 0'))
        elif harm == "rows":
            rows.write_bytes(b"nonsense")
        elif harm == "torn rows":
            rows.write_bytes(rows.read_bytes()[:100])
        else:
            rows.unlink()
        again = load(tmp_path)
        assert_frame_equal(again.progress, first.progress)

    def test_rows_that_are_not_used_any_more_are_removed(
        self, tmp_path: Path, cache_home: Path
    ) -> None:
        write(tmp_path, "a", "x\n1\n")
        load(tmp_path)
        write(tmp_path, "a", "y\n1\n2\n", mode="w")
        load(tmp_path)
        assert len(list(cache_home.rglob("*.arrow"))) == 1

    def test_a_cache_that_cannot_be_written_is_named(
        self, tmp_path: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, "a", "x\n1\n")
        (cache_home / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home / "file"))
        results = load(tmp_path)
        assert results.progress.height == 1
        assert "cannot be kept for the next time" in str(results.problems[0])


step = st.one_of(
    st.tuples(st.just("row"), st.integers(0, 2), st.integers(0, 9)),
    st.tuples(st.just("torn"), st.integers(0, 2), st.integers(0, 9)),
    st.tuples(st.just("widen"), st.integers(0, 2), st.integers(0, 9)),
    st.tuples(st.just("new process"), st.integers(0, 2), st.just(0)),
)


@settings(max_examples=60)
@given(st.lists(step, max_size=12))
def test_any_growth_reads_as_if_anew(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", f"{name}/cache")
        patch.setattr(store, "WORTH_KEEPING_BYTES", 0)
        patch.setattr(store, "_MANY_SEGMENTS", 3)
        root = Path(name, "runs")
        root.mkdir()
        columns = [2, 2, 2]
        ends = ["\n"] * 3
        for run in range(3):
            write(root, f"r{run}", "c0,c1\n")
        reader = Reader(root)
        reader.read()
        for kind, run, value in steps:
            if kind == "row":
                cells = ",".join([str(value)] * columns[run])
                write(root, f"r{run}", f"{'' if ends[run].endswith(chr(10)) else chr(10)}{cells}\n")
                ends[run] = "\n"
            elif kind == "torn":
                write(root, f"r{run}", str(value))
                ends[run] = "torn"
            elif kind == "widen":
                columns[run] += 1
                header = ",".join(f"c{i}" for i in range(columns[run]))
                write(root, f"r{run}", f"{header}\n", mode="w")
                ends[run] = "\n"
            else:
                reader = Reader(root)
            assert_as_read_anew(reader, root)
