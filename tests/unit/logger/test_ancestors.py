"""The loggers of RLKit and launchkit: adopted when loaded, and compared with ours on what both
document.
"""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.experiment.records import LoggerSettings
from runslot.logger import Logger

THEIR_LOGGER = '''
"""An executable stand-in for the logger of RLKit and launchkit: its names, arguments, files and rules."""
import csv, os, pickle


class Logger:
    def __init__(self):
        self._prefixes, self._tabular = [], []
        self._text_outputs, self._tabular_outputs = [], []
        self._text_fds, self._tabular_fds, self._tabular_keys = {}, {}, {}
        self._tabular_header_written = set()
        self._snapshot_dir, self._snapshot_mode, self._snapshot_gap, self._log_tabular_only = None, "all", 1, False

    def reset(self):
        self.__init__()

    def _add_output(self, file_name, arr, fds, mode="a"):
        if file_name not in arr:
            os.makedirs(os.path.dirname(file_name), exist_ok=True)
            arr.append(file_name)
            fds[file_name] = open(file_name, mode)

    def add_text_output(self, file_name):
        self._add_output(file_name, self._text_outputs, self._text_fds)

    def add_tabular_output(self, file_name, relative_to_snapshot_dir=False):
        if relative_to_snapshot_dir:
            file_name = os.path.join(self._snapshot_dir, file_name)
        self._add_output(file_name, self._tabular_outputs, self._tabular_fds, mode="w")
        self._tabular_keys[file_name] = None

    def push_prefix(self, prefix):
        self._prefixes.append(prefix)

    def set_snapshot_dir(self, dir_name):
        self._snapshot_dir = dir_name

    def set_snapshot_mode(self, mode):
        self._snapshot_mode = mode

    def set_snapshot_gap(self, gap):
        self._snapshot_gap = gap

    def set_log_tabular_only(self, only):
        self._log_tabular_only = only

    def log(self, s):
        for fd in self._text_fds.values():
            fd.write("".join(self._prefixes) + s + "\\n")
            fd.flush()

    def record_tabular(self, key, val):
        self._tabular.append((str(key), str(val)))

    def dump_tabular(self):
        row = dict(self._tabular)
        for name, fd in self._tabular_fds.items():
            keys = self._tabular_keys.get(name)
            if keys is None:
                keys = self._tabular_keys[name] = sorted(row)
            writer = csv.DictWriter(fd, fieldnames=keys, extrasaction="ignore")
            if fd not in self._tabular_header_written:
                writer.writeheader()
                self._tabular_header_written.add(fd)
            writer.writerow(row)
            fd.flush()
        self._tabular.clear()

    def save_itr_params(self, itr, params):
        def keep(name):
            with open(os.path.join(self._snapshot_dir, name), "wb") as file:
                pickle.dump(params, file)

        gap = self._snapshot_mode in ("gap", "gap_and_last") and itr % self._snapshot_gap == 0
        if self._snapshot_mode not in ("all", "last", "gap", "gap_and_last", "none"):
            raise NotImplementedError
        if self._snapshot_mode == "all" or gap:
            keep("itr_%d.pkl" % itr)
        if self._snapshot_mode in ("last", "gap_and_last"):
            keep("params.pkl")


logger = Logger()
'''


@pytest.fixture(params=["rlkit.core", "launchkit.logging"])
def package(request, tmp_path, monkeypatch, logger) -> Iterator[str]:
    """The name of an importable package with such a logger, not imported yet."""
    name: str = request.param
    directory = tmp_path / "site" / name.replace(".", "/")
    directory.mkdir(parents=True)
    (directory.parent / "__init__.py").touch()
    (directory / "__init__.py").write_text(f"from {name}.logging import logger\n")
    (directory / "logging.py").write_text(THEIR_LOGGER)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield name
    logger.release_ancestor_loggers()
    for module in [
        module for module in sys.modules if module.partition(".")[0] == name.partition(".")[0]
    ]:
        del sys.modules[module]


def train(theirs) -> None:
    """What a library's algorithm does."""
    for epoch in range(3):
        theirs.log(f"epoch {epoch}")
        theirs.record_tabular("epoch", epoch)
        theirs.dump_tabular()
        theirs.save_itr_params(epoch, epoch)


@pytest.mark.parametrize("when", ["before", "later"])
def test_their_rows_words_and_snapshots_land_in_the_run_directory(
    package, logger, tmp_path, rows, when
):
    run = tmp_path / "run"
    run.mkdir()
    if when == "before":
        importlib.import_module(package)
    logger.adopt_ancestor_loggers(run, LoggerSettings(snapshot_mode="last+gap", snapshot_gap=2))
    theirs = importlib.import_module(package).logger
    train(theirs)
    assert [row["epoch"] for row in rows(run / "progress.csv")] == ["0", "1", "2"]
    assert (run / "debug.log").read_text() == "[run] epoch 0\n[run] epoch 1\n[run] epoch 2\n"
    assert {path.name for path in run.glob("*.pkl")} == {"itr_0.pkl", "itr_2.pkl", "params.pkl"}


def test_a_resumed_run_keeps_their_rows(package, logger, tmp_path, rows):
    run = tmp_path / "run"
    run.mkdir()
    (run / "progress.csv").write_text("epoch\n7\n8\n9", newline="")
    logger.adopt_ancestor_loggers(run)
    train(importlib.import_module(package).logger)
    assert [row["epoch"] for row in rows(run / "progress.csv")] == ["7", "8", "0", "1", "2"]


def test_a_second_run_in_the_process_takes_them_over_and_release_lets_go(
    package, logger, tmp_path, rows
):
    for name in ("run_0", "run_1"):
        (tmp_path / name).mkdir()
        logger.adopt_ancestor_loggers(tmp_path / name)
        theirs = importlib.import_module(package).logger
        train(theirs)
    logger.release_ancestor_loggers()
    theirs.record_tabular("epoch", 100)
    theirs.dump_tabular()
    for name in ("run_0", "run_1"):
        assert [row["epoch"] for row in rows(tmp_path / name / "progress.csv")] == ["0", "1", "2"]
    assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("runslot")]


def test_a_logger_of_another_make_is_told_and_left(package, logger, tmp_path, capsys):
    module = importlib.import_module(package)
    module.logger = object()
    logger.adopt_ancestor_loggers(tmp_path)
    assert f"{package}.logger could not be pointed" in capsys.readouterr().err


RLPYTS_LOGGER = '''
"""An executable stand-in for rlpyt's module of functions: its names, state, files and rules."""
import csv, os, pickle

_prefixes, _row, _text_outputs, _tabular_outputs, _text_fds, _tabular_fds = [], [], [], [], {}, {}
_tabular_headers, _tabular_header_written = {}, set()
_snapshot_dir, _snapshot_mode, _snapshot_gap = None, "all", 1


def _add_output(file_name, arr, fds, mode="a"):
    if file_name not in arr:
        os.makedirs(os.path.dirname(file_name), exist_ok=True)
        arr.append(file_name)
        fds[file_name] = open(file_name, mode)


def _remove_output(file_name, arr, fds):
    if file_name in arr:
        fds.pop(file_name).close()
        arr.remove(file_name)


def add_text_output(file_name): _add_output(file_name, _text_outputs, _text_fds)
def remove_text_output(file_name): _remove_output(file_name, _text_outputs, _text_fds)
def add_tabular_output(file_name): _add_output(file_name, _tabular_outputs, _tabular_fds, mode="w")
def push_prefix(prefix): _prefixes.append(prefix)
def pop_prefix(): del _prefixes[-1]


def remove_tabular_output(file_name):
    _tabular_header_written.discard(file_name)
    _remove_output(file_name, _tabular_outputs, _tabular_fds)


def set_snapshot_dir(dir_name):
    global _snapshot_dir
    _snapshot_dir = dir_name


def set_snapshot_mode(mode):
    global _snapshot_mode
    _snapshot_mode = mode


def set_snapshot_gap(gap):
    global _snapshot_gap
    _snapshot_gap = gap


def set_log_tabular_only(only): pass


def log(s):
    for fd in _text_fds.values():
        fd.write("".join(_prefixes) + s + "\\n")
        fd.flush()


def record_tabular(key, val): _row.append((str(key), str(val)))


def dump_tabular():
    row = dict(_row)
    for name, fd in _tabular_fds.items():
        writer = csv.DictWriter(fd, _tabular_headers.setdefault(name, list(row)))
        if name not in _tabular_header_written:
            writer.writeheader()
            _tabular_header_written.add(name)
        writer.writerow(row)
        fd.flush()
    del _row[:]


def save_itr_params(itr, params):
    names = []
    if _snapshot_mode in ("gap", "last+gap") and (itr == 0 or (itr + 1) % _snapshot_gap == 0):
        names.append("itr_%d.pkl" % itr)
    if _snapshot_mode in ("last", "last+gap"):
        names.append("params.pkl")
    if _snapshot_mode not in ("gap", "last", "last+gap", "none"):
        raise NotImplementedError
    for name in names:
        with open(os.path.join(_snapshot_dir, name), "wb") as file:
            pickle.dump(params, file)
'''


@pytest.fixture
def rlpyt(tmp_path, monkeypatch, logger) -> Iterator[str]:
    """The name of rlpyt's logger, importable and not imported yet."""
    directory = tmp_path / "site" / "rlpyt" / "utils" / "logging"
    directory.mkdir(parents=True)
    for part in (directory, directory.parent, directory.parent.parent):
        (part / "__init__.py").touch()
    (directory / "logger.py").write_text(RLPYTS_LOGGER)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield "rlpyt.utils.logging.logger"
    logger.reset()
    for module in [module for module in sys.modules if module.partition(".")[0] == "rlpyt"]:
        del sys.modules[module]


@pytest.mark.parametrize("when", ["before", "later"])
def test_setup_logger_points_their_loggers_at_the_directory_that_it_makes(
    package, logger, tmp_path, rows, when
):
    if when == "before":
        importlib.import_module(package)
    files = {"text_log_file": "words.txt", "tabular_log_file": "rows.csv"}
    run = Path(logger.setup_logger("name", variant={"a": 1}, base_log_dir=tmp_path, **files))
    train(importlib.import_module(package).logger)
    assert [row["epoch"] for row in rows(run / "rows.csv")] == ["0", "1", "2"]
    assert (run / "words.txt").read_text().endswith(f"[{run.name}] epoch 2\n")
    assert {path.name for path in run.glob("*.pkl")} == {"params.pkl"}
    logger.reset()
    assert not (run / "progress.csv").exists()


@pytest.mark.parametrize("when", ["before", "later"])
def test_logger_context_has_rlpyts_rows_for_the_length_of_a_with(
    rlpyt, logger, tmp_path, rows, when
):
    run = tmp_path / "run_3"
    run.mkdir()
    (run / "progress.csv").write_text("of an earlier run\n1\n")
    if when == "before":
        importlib.import_module(rlpyt)
    logger.set_snapshot_gap(2)
    with logger.logger_context(tmp_path, 3, "dqn", {}, snapshot_mode="last+gap"):
        theirs = importlib.import_module(rlpyt)
        train(theirs)
    theirs.log("after it")
    theirs.record_tabular("epoch", 100)
    theirs.dump_tabular()
    assert [row["epoch"] for row in rows(run / "progress.csv")] == ["0", "1", "2"]
    assert (run / "debug.log").read_text() == "dqn_3 epoch 0\ndqn_3 epoch 1\ndqn_3 epoch 2\n"
    assert {path.name for path in run.glob("*.pkl")} == {"itr_0.pkl", "itr_1.pkl", "params.pkl"}
    assert theirs._prefixes == []


def test_rlpyts_rows_of_a_resumed_run_are_kept(rlpyt, logger, tmp_path, rows):
    (tmp_path / "progress.csv").write_text("epoch\n7\n8\n9", newline="")
    logger.adopt_ancestor_loggers(tmp_path)
    train(importlib.import_module(rlpyt))
    assert [row["epoch"] for row in rows(tmp_path / "progress.csv")] == ["7", "8", "0", "1", "2"]


def test_a_logger_with_the_documented_methods_alone_is_adopted(package, logger, tmp_path):
    class Small:
        def __init__(self):
            self.files = []

        def add_text_output(self, name):
            self.files.append(name)

        add_tabular_output = set_snapshot_dir = push_prefix = add_text_output

    small = importlib.import_module(package).logger = Small()
    run = logger.setup_logger(log_dir=tmp_path / "given")
    assert small.files == [f"{run}/debug.log", run, f"{run}/progress.csv", "[given] "]


KEYS = st.sampled_from(["loss", "return/avg", "x y", 'a,"b'])
VALUES = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(allow_nan=False), st.text("ab,\"'\n", max_size=4)
)


@given(st.lists(KEYS, min_size=1, unique=True), st.data())
def test_rows_and_snapshots_are_those_that_their_logger_writes(tmp_path_factory, keys, data):
    """With the keys of the first row in every row, as their file needs, both files hold the same
    text.
    """
    mode = data.draw(st.sampled_from(["all", "last", "gap", "gap_and_last", "none"]))
    gap = data.draw(st.integers(1, 4))
    drawn = data.draw(
        st.lists(st.fixed_dictionaries(dict.fromkeys(keys, VALUES)), min_size=1, max_size=6)
    )
    namespace: dict = {}
    exec(THEIR_LOGGER, namespace)
    theirs, ours = namespace["Logger"](), Logger()
    directories = [tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("ours")]
    theirs.add_tabular_output(str(directories[0] / "progress.csv"))
    theirs.set_snapshot_dir(str(directories[0]))
    theirs.set_snapshot_mode(mode)
    theirs.set_snapshot_gap(gap)
    ours.configure(console="silent")
    ours.bind_run(directories[1], LoggerSettings(snapshot_mode=mode, snapshot_gap=gap))
    ours.remove_text_output(directories[1] / "debug.log")
    for itr, row in enumerate(drawn):
        for log in (theirs, ours):
            for key, value in row.items():
                log.record_tabular(key, value)
            log.dump_tabular()
            log.save_itr_params(itr, row)
    for fd in theirs._tabular_fds.values():
        fd.close()
    ours.close()

    def content(directory: Path) -> list[dict[str, str]]:
        with (directory / "progress.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    first, second = directories
    assert content(first) == content(second)
    assert {path.name for path in first.iterdir()} == {path.name for path in second.iterdir()}
