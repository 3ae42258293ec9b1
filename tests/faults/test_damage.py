"""Damaged files of experiments: each costs itself, is named, and ends nothing in a traceback."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import random
import re
import shutil
import signal
import socket
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from runslot import Experiment, Search
from runslot.__main__ import main
from runslot.engines.batch.submissions import job_name, read_submission
from runslot.engines.events import LaunchEnded, LaunchEvent
from runslot.engines.open_experiment import OddRequest, OpenExperiment
from runslot.engines.sky.rental import Record, read_record, record_file
from runslot.errors import Damaged, NewerFormat, RunslotError
from runslot.experiment.files import read_lines, write_json
from runslot.experiment.journal import read_events
from runslot.experiment.lock import LauncherLock, leave_request
from runslot.experiment.processes import identify
from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status
from runslot.launch.attach import attach
from runslot.launch.create import create
from runslot.launch.launch import launch
from runslot.transport.bucket.inventory import DamagedObject, File, Inventory, StopRequest

pytestmark = pytest.mark.fault

PATIENCE_S = 60
"""A command that takes longer waits for the other end of something."""

SEED = 20261126
TRIALS = 40


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with two experiments of three runs, of which one has failed."""
    root = tmp_path_factory.mktemp("sound")
    program = "import os, sys; sys.exit(os.environ['RUNSLOT_RUN'].endswith('run_1'))"
    for name in ("good", "bad"):
        Experiment(name, [sys.executable, "-c", program], seeds=3, root=root).launch(lambda _: None)
    return root


def bad_of(root: Path) -> Path:
    return next((root / "bad").glob("2*"))


FILES = (
    "experiment.json",
    "runs.jsonl",
    "journal.jsonl",
    "launcher.lock",
    "requests/1-1.json",
    "provenance/environment.json",
)
FILES_OF_RUN = (
    "run.json",
    "outcome.json",
    "attempt.json",
    "variant.json",
    "logger_problems.json",
    "progress.csv",
    "console.log",
)


def empty(file: Path, _: random.Random) -> None:
    file.write_bytes(b"")


def torn(file: Path, chance: random.Random) -> None:
    data = file.read_bytes() if file.is_file() else b'{"format": 1, "a": '
    file.write_bytes(data[: chance.randrange(len(data) or 1)])


def zeros(file: Path, _: random.Random) -> None:
    file.write_bytes(bytes(4096))


def foreign(file: Path, chance: random.Random) -> None:
    file.write_bytes(
        chance.choice(
            [
                b"hello\n",
                b"[1, 2]\n",
                b"3\n",
                b"null\n",
                b"{}\n",
                b'{"id": "x"}\n',
                b"\xff\xfe\n",
                b"a\0b\n",
            ]
        )
    )


def nested(file: Path, chance: random.Random) -> None:
    deep = b"[" * 100_000 if chance.random() < 0.5 else b'{"a":' * 100_000
    file.write_bytes(deep + b"\n")


def newer(file: Path, chance: random.Random) -> None:
    number = chance.choice([2, 99, "1", None, 0, -1, 1.5])
    file.write_text(json.dumps({"format": number, "title": "x"}) + "\n")


def wrong_types(file: Path, chance: random.Random) -> None:
    """Give one value, in one line, another type or a number that cannot be."""
    lines = (
        file.read_text().splitlines()
        if file.is_file() and file.suffix == ".jsonl"
        else [_object(file)]
    )
    at = chance.randrange(len(lines)) if lines else 0
    value = json.loads(lines[at]) if lines else {}
    _spoil(value, chance)
    lines[at : at + 1] = [json.dumps(value)]
    file.write_text("\n".join(lines) + "\n")


def _object(file: Path) -> str:
    try:
        return file.read_text() or "{}"
    except OSError:
        return "{}"


ODD = (
    [],
    {},
    [[1]],
    "x",
    "",
    3,
    -1,
    10**30,
    float("nan"),
    float("inf"),
    -1e300,
    None,
    True,
    "\ud800",
    "../../..",
    "/",
    "a\0b",
    "x" * 100_000,
)


def _spoil(value: dict, chance: random.Random) -> None:
    if not value:
        value["a"] = 1
    key = chance.choice(sorted(value))
    if isinstance(value[key], dict) and value[key] and chance.random() < 0.5:
        _spoil(value[key], chance)
    elif chance.random() < 0.15:
        del value[key]
    else:
        value[key] = chance.choice(ODD)


def directory(file: Path, _: random.Random) -> None:
    _clear(file)
    file.mkdir()


def pipe(file: Path, _: random.Random) -> None:
    _clear(file)
    os.mkfifo(file)


def link(file: Path, chance: random.Random) -> None:
    _clear(file)
    file.symlink_to(chance.choice(["nowhere", file.name, "/dev/zero", "/etc/passwd"]))


def listener(file: Path, _: random.Random) -> None:
    _clear(file)
    end = socket.socket(socket.AF_UNIX)
    before = Path.cwd()
    os.chdir(file.parent)  # names of sockets are short
    try:
        end.bind(file.name)
    finally:
        os.chdir(before)
        end.close()


def huge(file: Path, _: random.Random) -> None:
    with file.open("wb") as opened:
        opened.truncate(3 << 30)


def gone(file: Path, _: random.Random) -> None:
    _clear(file)


def _clear(file: Path) -> None:
    file.unlink(missing_ok=True)


Damage = Callable[[Path, random.Random], None]
DAMAGES: tuple[Damage, ...] = (
    empty, torn, zeros, foreign, nested, newer, wrong_types, wrong_types, wrong_types,
    directory, pipe, link, listener, huge, gone,
)  # fmt: skip


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def waits(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"it waits, after {seconds} s")

    before = signal.signal(signal.SIGALRM, waits)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def carry_out(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Carry a command line out in this process, and return all that it printed."""
    with no_longer_than(PATIENCE_S):
        main(list(argv))
    printed = capsys.readouterr()
    return printed.out + printed.err


def damaged(root: Path, name: str, damage: Damage, chance: random.Random) -> Path:
    bad = bad_of(root)
    file = bad / name if name in FILES else bad / "run_1" / name
    file.parent.mkdir(exist_ok=True)
    damage(file, chance)
    return file


@pytest.mark.parametrize("name", FILES + FILES_OF_RUN)
def test_a_damaged_file_hides_no_other_experiment(
    name: str, sound: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    chance = random.Random(SEED)
    for number, damage in enumerate(dict.fromkeys(DAMAGES)):
        root = Path(shutil.copytree(sound, tmp_path / str(number), symlinks=True))
        damaged(root, name, damage, chance)
        command = ("ls", "status")[number % 2]
        said = carry_out(capsys, command, str(root))
        assert "good" in said, (name, damage.__name__, command, said)
        assert "1 failed" in said, (name, damage.__name__, command, said)


@pytest.mark.parametrize("part", range(4))
def test_damage_at_random_ends_in_sentences(
    part: int, sound: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    chance = random.Random(SEED + part)
    for number in range(TRIALS // 4):
        root = Path(shutil.copytree(sound, tmp_path / f"root{number}", symlinks=True))
        bad = bad_of(root)
        done = []
        for _ in range(chance.choice([1, 1, 1, 2])):
            name, damage = chance.choice(FILES + FILES_OF_RUN), chance.choice(DAMAGES)
            try:
                file = damaged(root, name, damage, chance)
            except (OSError, ValueError):  # two at the same place
                continue
            done.append(
                (
                    name,
                    damage.__name__,
                    _object(file)[:400] if file.is_file() and file.stat().st_size < 1e6 else "",
                )
            )
        command = chance.choice(
            [
                ("ls", str(root)),
                ("status", str(bad), "--all"),
                ("status", str(bad), "--json"),
                ("results", str(root)),
                ("queue",),
                ("stop", str(bad)),
                ("resume", str(bad), "-q"),
                ("resume", str(root), "-q", "--failed"),
                ("logs", f"{bad}/run_1"),
                ("export", str(root), "--csv", "--out", str(tmp_path / f"{number}")),
            ]
        )
        try:
            said = carry_out(capsys, *command)
        except BaseException as error:
            raise AssertionError(
                f"seed {SEED + part}, trial {number}: runslot {' '.join(command)} with {done}"
            ) from error
        assert "Traceback" not in said, (SEED + part, number, command, done, said)


def runslot(capsys, *argv: str) -> str:
    return carry_out(capsys, *argv)


@pytest.mark.parametrize("is_there", [True, False])
def test_an_empty_list_of_runs_is_rebuilt_by_a_resume(
    is_there: bool, sound: Path, tmp_path: Path, capsys
) -> None:
    bad = bad_of(Path(shutil.copytree(sound, tmp_path / "root", symlinks=True)))
    (bad / "runs.jsonl").unlink()
    if is_there:
        (bad / "runs.jsonl").write_bytes(b"")
    assert "lists no runs" in runslot(capsys, "status", str(bad))
    assert "rebuilt" in runslot(capsys, "resume", str(bad))
    assert "3 runs: 2 succeeded, 1 failed" in runslot(capsys, "status", str(bad))


def test_a_list_of_runs_that_cannot_be_rebuilt_is_refused(
    sound: Path, tmp_path: Path, capsys
) -> None:
    bad = bad_of(Path(shutil.copytree(sound, tmp_path / "root", symlinks=True)))
    (bad / "runs.jsonl").write_bytes(b"")
    shutil.rmtree(bad / "run_2")
    said = runslot(capsys, "resume", str(bad))
    assert "2 of its 3 runs can be rebuilt" in said
    assert "succeeded" not in said


@pytest.mark.parametrize("lost", ["journal.jsonl", "run_0/outcome.json", "run_0/run.json"])
def test_what_is_empty_after_a_power_cut_is_known_from_the_other_files(
    lost: str, sound: Path, tmp_path: Path, capsys
) -> None:
    bad = bad_of(Path(shutil.copytree(sound, tmp_path / "root", symlinks=True)))
    (bad / lost).write_bytes(b"")
    assert "3 runs: 2 succeeded, 1 failed" in runslot(capsys, "status", str(bad))
    assert "nothing to do: 3 runs" in runslot(capsys, "resume", str(bad))
    assert lost == "journal.jsonl" or (bad / lost).stat().st_size > 0
    assert "2 succeeded" in runslot(capsys, "status", str(bad))


def test_a_launcher_goes_on_beside_files_that_are_no_requests(tmp_path: Path, capsys) -> None:
    directory = Experiment("odd", [sys.executable, "-c", "pass"], seeds=2, root=tmp_path).prepare()
    requests = directory.requests
    requests.mkdir()
    (requests / "note.txt~").write_text("x")
    (requests / "1-2 (conflict).json").write_text("{}")
    (requests / "1-2.json").write_text('{"verb": "sto')
    (requests / "1-3.json").write_text('{"format": 1, "verb": "dance", "arguments": []}')
    (requests / "1-4.json").mkdir()
    os.mkfifo(requests / "1-5.json")
    said = runslot(capsys, "resume", str(directory.path))
    assert "2 runs succeeded" in said
    assert all(
        name in said for name in ("note.txt~", "1-2.json", "1-3.json", "1-4.json", "1-5.json")
    )
    assert sorted(path.name for path in requests.iterdir() if path.name[0] != ".") == [
        "1-2 (conflict).json",
        "note.txt~",
    ]


def test_a_journal_of_blank_lines_costs_little_memory(tmp_path: Path) -> None:
    directory = Experiment("blank", ["true"], root=tmp_path).prepare()
    directory.journal_file.write_bytes(b"\n" * (32 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Damaged, match="line 1,"):
            list(read_events(directory.journal_file))
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_lines_are_read_alike_whatever_their_lengths(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    lengths = [chance.choice((0, 1, 60, 400, 131_000, 131_072, 300_000)) for _ in range(60)] + [
        3
    ] * 9000
    objects = [{"number": number, "text": "x" * length} for number, length in enumerate(lengths)]
    file = tmp_path / "lines.jsonl"
    file.write_text("".join(f"{json.dumps(each)}\n" for each in objects) + '{"torn": ')
    assert list(read_lines(file)) == objects
    with file.open("a") as lines:
        lines.write("\n{}\n")
    with pytest.raises(Damaged, match=f"line {len(objects) + 1}, is not JSON"):
        list(read_lines(file))


def test_onlookers_pass_over_runs_that_the_list_does_not_have(tmp_path: Path) -> None:
    directory = Experiment("fewer", ["true"], seeds=2, root=tmp_path).prepare()
    assert launch(directory, lambda _: None).all_succeeded
    lines = directory.journal_file.read_text().splitlines(keepends=True)
    first = next(line for line in lines if '"start"' in line)
    odd = [
        re.sub(r'"run":"[^"]*"', '"run":"nobody"', first),
        first.replace('"slot":', '"slit":'),
        lines[-1],
    ]
    directory.journal_file.write_text(lines[0].replace('"slots":', '"slits":'))
    seen: list[LaunchEvent] = []
    lock = LauncherLock(directory)
    lock.acquire()
    try:
        with directory.journal_file.open("a") as journal:
            journal.writelines(odd)
        with no_longer_than(PATIENCE_S):
            attach(directory, seen.append, replay=True)
    finally:
        lock.release()
    assert isinstance(seen[-1], LaunchEnded)


def test_a_directory_that_holds_a_home_or_the_root_is_not_acted_on(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    home = tmp_path / "users" / "alice"
    root = tmp_path / "data" / "runs"
    shared = tmp_path / "shared"
    for place in (home, root, shared):
        place.mkdir(parents=True)
    shared.chmod(0o1777)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RUNSLOT_ROOT", str(root))
    near = [
        Experiment("near", ["true"], root=place).prepare()
        for place in (home, shared, tmp_path / "users")
    ]
    for command in ("stop", "resume", "pause", "continue"):
        for place in ("/", "~", str(home), str(home.parent), str(root.parent), str(shared)):
            assert "name an experiment, or a directory of some" in runslot(capsys, command, place)
    assert all(read_status(each).counts == {"queued": 1} for each in near)
    for place in (near[0].path, home / "near"):
        assert (
            "succeeded" in runslot(capsys, "resume", str(place))
            or "nothing" in capsys.readouterr().out
        )
    Experiment("here", ["true"], root=root).prepare()
    assert "succeeded" in runslot(capsys, "resume", str(root))


def test_one_experiment_that_is_refused_costs_no_other_its_command(
    sound: Path, tmp_path: Path, capsys
) -> None:
    bad = bad_of(Path(shutil.copytree(sound, tmp_path / "root", symlinks=True)))
    (bad / "launcher.lock").write_text("torn")
    Experiment("last", ["true"], root=tmp_path / "root").prepare()
    said = runslot(capsys, "resume", str(tmp_path / "root"))
    assert "launcher.lock" in said
    assert "the run succeeded" in said
    (bad / "runs.jsonl").write_text("torn\n")
    said = runslot(capsys, "pause", str(tmp_path / "root"))
    assert "launcher.lock" in said
    assert "no launcher is at work" in said
    said = runslot(capsys, "stop", str(tmp_path / "root"), "run_9")
    assert "runs.jsonl" in said
    assert "has no run 'run_9'" in said
    assert "launcher.lock" in runslot(capsys, "attach", str(tmp_path / "root"))


ODD_BATCHES = ("", "[", "{}", "[3]", "[[1]]", '[[["nobody", 1]]]', '[[["x", "y"]]]', "[" * 100_000)


def test_odd_words_to_what_engines_call_are_refused_in_a_sentence(
    sound: Path, tmp_path: Path, capsys
) -> None:
    bad = str(bad_of(Path(shutil.copytree(sound, tmp_path / "root", symlinks=True))))
    argvs = [["--share", "²/³"], ["--share", "1/9" * 50], ["--share", "2/1"], ["--task", "0"]]
    argvs += [["--name", name] for name in ("..", "../../x", "a\nb", "\x1b[31m", "x" * 100_000)]
    for text in (*ODD_BATCHES, None):
        batch = tmp_path / f"{len(argvs)}.json"
        if text is not None:
            batch.write_text(text)
        argvs.append(["--batch", str(batch), "--task", "0"])
    for argv in argvs:
        printed = carry_out(capsys, "work", bad, *argv)
        assert printed.startswith("runslot: "), (argv, printed)
        assert printed.count("\n") == 1, (argv, printed)
    assert "nothing to do" in carry_out(capsys, "work", f"{bad}/experiment.json")
    for option, value in (
        ("attempt", "0"),
        ("attempt", "9" * 30),
        ("inside", "3"),
        ("inside", "[]"),
        ("slot", "[1]"),
    ):
        printed = carry_out(capsys, "exec", f"{bad}/run_1", f"--{option}", value)
        assert printed.startswith(f"runslot: --{option}: ")
        assert printed.count("\n") == 1
    assert "RUN_DIR" in carry_out(capsys, "exec")


@pytest.mark.parametrize("name", ["outcome.json", "attempt.json"])
def test_a_number_that_no_file_of_runslots_holds_costs_its_run_alone(
    name: str, sound: Path, tmp_path: Path, capsys
) -> None:
    root = Path(shutil.copytree(sound, tmp_path / "root", symlinks=True))
    file = bad_of(root) / "run_2" / name
    value = {**json.loads(file.read_text()), "attempt": 10**30, "peak_memory": 2**63}
    file.unlink()
    file.write_text(json.dumps(value))
    for command in ("status", "results", "ls"):
        printed = carry_out(capsys, command, str(root))
        assert "good" in printed
        assert "Traceback" not in printed


_READERS = {
    "experiment.json": (
        "status",
        "ls",
        "logs",
        "stop",
        "resume",
        "results",
        "plot --out f.png",
        "export --csv",
    ),
    "runs.jsonl": (
        "status",
        "ls",
        "logs",
        "stop",
        "resume",
        "results",
        "plot --out f.png",
        "export --csv",
    ),
    "journal.jsonl": ("status", "ls", "stop", "resume"),
    "run_1/attempt.json": (
        "status",
        "resume --failed",
        "results",
        "plot --out f.png",
        "export --csv",
    ),
    "run_0/outcome.json": ("results", "plot --out f.png", "export --csv"),
    "run_0/run.json": ("results", "plot --out f.png", "export --csv"),
}
"""By file the commands that read it."""
_NEWER = "written by a newer runslot (format 99; this one reads 1): upgrade runslot"


@pytest.mark.parametrize("name", _READERS)
def test_what_a_newer_runslot_wrote_is_refused_by_name_of_its_format(
    name: str, sound: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in _READERS[name]:
        shutil.copytree(sound / "bad", tmp_path / "bad", symlinks=True)
        experiment = next((tmp_path / "bad").glob("2*"))
        (experiment / "run_2" / "progress.csv").write_text("loss\n2\n1\n")
        file = experiment / name
        text = re.sub(r'"format": ?1\b', '"format": 99', file.read_text())
        assert '"format": 99' in text
        file.unlink()  # one inode may have two names
        file.write_text(text)
        word, *options = command.split()
        status = main([word, *options, str(experiment / "run_0" if word == "logs" else experiment)])
        output = "".join(capsys.readouterr())
        assert _NEWER in " ".join(output.split()), (command, output)
        assert "Traceback" not in output
        assert status in {0, 1, 2}
        shutil.rmtree(tmp_path / "bad")


_NEWER_RECORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "annotations.jsonl": (
        '{"format": 99, "time": 1, "place": "run_0", "add": ["good"]}\n',
        ("results EXPERIMENT", "tag EXPERIMENT/run_0 better", "note EXPERIMENT/run_0 words"),
    ),
    "confirmation.json": (
        '{"format": 99, "variants": [""], "seeds": [7], "metric": "loss", "created": 1.0}',
        ("results EXPERIMENT", "confirm EXPERIMENT --top 1 --metric loss"),
    ),
    "cloud/rented.json": (
        '{"format": 99, "store": "s", "machines": []}',
        ("pull EXPERIMENT", "cloud down EXPERIMENT", "cloud clean EXPERIMENT"),
    ),
}
"""By file what a newer version may have written there, and the commands that read it."""


@pytest.mark.parametrize("name", _NEWER_RECORDS)
def test_a_newer_record_beside_the_runs_is_refused_by_name_and_stays_as_it_is(
    name: str, sound: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sound / "bad", tmp_path / "bad", symlinks=True)
    experiment = bad_of(tmp_path)
    (experiment / "run_2" / "progress.csv").write_text("loss\n2\n1\n")
    content, commands = _NEWER_RECORDS[name]
    file = experiment / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    for command in commands:
        printed = carry_out(capsys, *command.replace("EXPERIMENT", str(experiment)).split())
        assert f"{name}: {_NEWER}" in " ".join(printed.split()), (command, printed)
        assert "Traceback" not in printed
        assert file.read_text() == content


def test_a_newer_note_of_a_launcher_is_named_by_queue(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "runslot" / "launchers").mkdir(parents=True)
    file = tmp_path / "runslot" / "launchers" / "x.json"
    identity = dataclasses.asdict(identify())
    file.write_text(json.dumps({"format": 99, "experiment": str(tmp_path), **identity}))
    assert f"{file}: {_NEWER}" in " ".join(carry_out(capsys, "queue").split())
    assert file.exists()


def test_a_newer_request_is_set_aside_and_said(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound / "bad", tmp_path / "bad", symlinks=True)
    opened = OpenExperiment.open(ExperimentDir(bad_of(tmp_path)), {})
    try:
        file = leave_request(opened.directory, "stop")
        file.write_text('{"format": 99, "verb": "stop", "arguments": []}')
        (request,) = opened.requests()
    finally:
        opened.close()
    assert isinstance(request, OddRequest)
    assert _NEWER in request.why


def test_what_a_newer_runslot_left_in_a_bucket_or_a_submission_is_named(tmp_path: Path) -> None:
    listing = json.loads(gzip.decompress(Inventory(files={}).to_bytes()))
    with pytest.raises(NewerFormat, match="list in the bucket was written by a newer runslot"):
        Inventory.from_bytes(gzip.compress(json.dumps({**listing, "format": 99}).encode()))
    request = json.loads(StopRequest(everything=True).to_bytes())
    with pytest.raises(NewerFormat, match=r"asked of a machine .* was written by a newer runslot"):
        StopRequest.from_bytes(json.dumps({**request, "format": 99}).encode())
    sound = {"format": 1, "job_name": job_name("x", "0" * 8), "tasks": [[["r", 1]]]}
    write_json(tmp_path / "tasks.json", sound)
    write_json(tmp_path / "job.json", {"format": 99, "job": "7"})
    with pytest.raises(NewerFormat, match=r"job\.json: written by a newer runslot"):
        read_submission(tmp_path)


@contextmanager
def refused_at_most(name: str) -> Iterator[None]:
    """Let what is done inside end well, or in a sentence with this word."""
    try:
        yield
    except RunslotError as error:
        if name not in str(error):
            raise AssertionError(f"it does not name {name}: {error}") from error


MACHINE = {
    "name": "m", "share": ["b", 1, 1], "task": 0, "runs": [["r", 1]], "infra": "aws", "price": 1.0, "what": "x",
    "launched": [1.0], "ended": [2.0], "seconds": 3.0, "managed": False,
}  # fmt: skip


def test_an_odd_record_of_rented_machines_is_refused_by_its_name(tmp_path: Path) -> None:
    experiment = ExperimentDir(tmp_path)
    record_file(experiment).parent.mkdir()

    def read(**spoilt: object) -> Record | None:
        write_json(
            record_file(experiment),
            {"format": 1, "store": "s", "machines": [{**MACHINE, **spoilt}]},
        )
        return read_record(experiment)

    assert read() is not None
    odd = (*ODD, ["x"], [None], [[1, 2]], [1e300], [1, 2, 3], {"a": 1})
    for key in MACHINE:
        for value in odd:
            with refused_at_most("rented.json"):
                record = read(**{key: value})
                assert record is not None
                assert isinstance(record.spent(time.time()) + record.committed(0.0), float)
                assert {machine.name for machine in record.machines}.isdisjoint(
                    {"", ".", "..", "/"}
                )
    for value in (
        {"format": 99},
        {"store": 3, "machines": []},
        {"store": "s", "machines": 3},
        {"store": "s"},
    ):
        write_json(record_file(experiment), value)
        with pytest.raises(Damaged, match=r"rented\.json"):
            read_record(experiment)


def test_an_odd_submission_is_refused_by_its_name(tmp_path: Path) -> None:
    sound = {"format": 1, "job_name": job_name("x", "0" * 8), "tasks": [[["r", 1]]]}
    write_json(tmp_path / "tasks.json", sound)
    assert read_submission(tmp_path) is not None
    for key in sound:
        for value in ODD:
            write_json(tmp_path / "tasks.json", {**sound, key: value})
            with refused_at_most("tasks.json"):
                read_submission(tmp_path)
    write_json(tmp_path / "tasks.json", sound)
    write_json(tmp_path / "job.json", {"job": [1]})
    with pytest.raises(Damaged, match=r"job\.json"):
        read_submission(tmp_path)


def test_an_odd_inventory_of_a_bucket_is_refused(tmp_path: Path) -> None:
    sound = Inventory(files={"a": File(1, 2, ("x",))}).to_bytes()
    value = json.loads(gzip.decompress(sound))
    broken = [
        sound[:-9],
        sound[:10],
        sound[:15] + b"\0" * 9 + sound[24:],
        b"",
        b"x",
        gzip.compress(b"[" * 100_000),
    ]
    broken += [
        gzip.compress(json.dumps(odd).encode())
        for odd in (3, [], {**value, "files": 3}, {**value, "files": [1]})
    ]
    broken += [gzip.compress(json.dumps({**value, "files": {"a": odd}}).encode()) for odd in ODD]
    for data in broken:
        with pytest.raises(DamagedObject):
            Inventory.from_bytes(data)
    for key in value:
        for odd in ODD:
            with refused_at_most("format" if key == "format" else "damaged"):
                Inventory.from_bytes(
                    gzip.compress(
                        json.dumps({**value, key: odd}).encode("utf-8", "surrogateescape")
                    )
                )


def test_what_lies_in_the_place_of_a_search_s_best_ends_no_launch(tmp_path: Path) -> None:
    """The file that sweepers of Hydra leave, with the directories that its jobs have."""
    program = tmp_path / "p.py"
    program.write_text("import sys\nprint('loss:', float(sys.argv[1]))\n")
    search = Search("loss", "min", {"lr": [0.1, 0.2, 0.3]}, trials=2, sampler="random")
    work = [sys.executable, str(program), "{lr}"]
    plan = Experiment("m", work, search=search, root=tmp_path).plan()
    layout = dataclasses.replace(plan.file, search={**(plan.file.search or {}), "layout": "hydra"})
    runs = tuple(dataclasses.replace(run, directory=str(n)) for n, run in enumerate(plan.runs))
    directory = create(dataclasses.replace(plan, file=layout, runs=runs), tmp_path)
    directory.best_file.mkdir()
    said: list[str] = []
    assert launch(directory, lambda event: said.append(str(event))).all_succeeded
    assert f"{directory.best_file} cannot be written (Is a directory)" in "".join(said)
    directory.best_file.rmdir()
    launch(directory, lambda event: said.append(str(event)))
    assert "best_params" in directory.best_file.read_text()
