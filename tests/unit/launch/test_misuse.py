"""What is asked wrongly is refused with a sentence before anything starts, or said; never a bare
TypeError.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from runslot import Experiment, InvalidInput, Resources, RunslotError, grid, sample, uniform
from runslot.engines.events import Said
from runslot.errors import said_of_system
from runslot.experiment.records import Function, Outcome
from runslot.launch.command import (
    note_operators,
    note_own_options,
    refuse_first,
    refuse_operators,
    refuse_shell,
)
from runslot.launch.function import mistakable, takes_items
from runslot.launch.printer import outcome_said


def work(variant: dict[str, Any]) -> None:
    del variant


def with_items(lr: float, hidden: int = 1, *, seed: int = 0) -> None:
    print("got", lr, hidden, seed)


CYCLE: dict[str, Any] = {}
CYCLE["a"] = CYCLE
DEEP: Any = 0
for _ in range(3000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "given",
    [
        *(
            {"work": value}
            for value in (
                None,
                3,
                b"ls",
                {1},
                [],
                [None],
                [[]],
                ["a\0b"],
                ["\ud800"],
                "",
                ":",
                "no.py:f",
            )
        ),
        *(
            {"variants": value}
            for value in (
                3,
                "lr",
                [3],
                [None],
                [CYCLE],
                CYCLE,
                {"a": DEEP},
                {"a": {}.keys()},
                {3: 1},
            )
        ),
        *({"seeds": value} for value in (0, -1, 1.5, "3", None, [0, 0], [True], 10**12, {"a": 1})),
        *(
            {"name": value}
            for value in (None, 3, "", "..", "a/../b", "a\0", "a\nb", "x" * 100_000, "x" * 256)
        ),
        *({"root": value} for value in (3, "", "a\0", "~nobody-of-that-name/x")),
        *({"resources": value} for value in (None, {"cpus": 1}, 2)),
        *(
            {name: value}
            for name in ("strict", "resumable", "snapshot_code")
            for value in (None, 1, "yes")
        ),
        *(
            {name: value}
            for name in ("retries", "snapshot_gap")
            for value in (None, -1, 1.5, True, "1", 10**30)
        ),
        *(
            {name: value}
            for name in ("backoff", "grace", "timeout")
            for value in (0, -1, "1", True, 1e30, float("nan"))
        ),
        *({"start": value} for value in (None, 1, "hot", [])),
        {"snapshot_mode": "first"},
        {"on": 3},
        {"container": 3},
        {"max_failures": 0},
        {"retires": 3},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_field_of_the_wrong_kind_is_refused_with_a_sentence(given, tmp_path):
    arguments = {
        "name": "a",
        "work": work,
        "variants": grid({"lr": [1]}),
        "root": tmp_path / "root",
        **given,
    }
    with pytest.raises(RunslotError) as refused:
        Experiment(**arguments).launch(print)
    assert 10 < len(str(refused.value)) < 1000
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("kind", "word", "near"), [(Experiment, "retires", "retries"), (Resources, "cpu", "cpus")]
)
def test_an_unknown_word_is_refused_by_the_nearest_one(kind, word, near):
    with pytest.raises(InvalidInput, match=f"has no '{word}'.*did you mean '{near}'"):
        kind(**{word: 1})


class Listing(Sequence):
    def __init__(self, items):
        self._items = items

    def __getitem__(self, index):
        return self._items[index]

    def __len__(self):
        return len(self._items)


class Settings(Mapping):
    def __init__(self, items):
        self._items = items

    def __getitem__(self, key):
        return self._items[key]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)


def test_mappings_and_sequences_of_other_libraries_are_taken_for_what_they_are():
    foreign = Settings(
        {"lr": Listing([0.1, 0.01]), "net": Settings({"sizes": Listing([Listing([1, 2]), [3]])})}
    )
    variants = list(grid(foreign))
    assert [dict(each) for each in variants] == [
        {"lr": lr, "net": {"sizes": sizes}} for lr in (0.1, 0.01) for sizes in ([1, 2], [3])
    ]
    assert {type(each["net"]) for each in variants} == {dict}
    assert len(grid({"lr": np.array([0.1, 0.2])})) == 2
    assert len(Experiment("a", work, seeds=np.int64(3)).plan().runs) == 3


@pytest.mark.parametrize(
    "space",
    [
        lambda: sample({"a": uniform(0, 1)}, 10**20),
        lambda: sample({"a": uniform(1, 1 + 4e-16)}, 50),
        lambda: uniform(0, 10**400),
        lambda: Experiment(
            "a", work, variants={str(key): [*range(10)] for key in range(30)}
        ).plan(),
    ],
)
def test_impossible_numbers_are_refused_at_once(space):
    with pytest.raises(InvalidInput):
        space()


def test_a_function_of_items_gets_them_and_its_runs_are_told_so():
    outcomes = Experiment("items", with_items, variants=grid({"lr": [0.5]})).launch(print)
    assert (outcomes.directory / "lr=0.5" / "run_0" / "console.log").read_text() == "got 0.5 1 0\n"


SOURCES = {
    "def f(variant): ...": False,
    "def f(**settings): ...": True,
    "def f(*given): ...": False,
    "def f(lr, hidden): ...": True,
    "def f(variant, verbose=False): ...": False,
    "def f(*, lr, hidden, seed): ...": True,
    "def f(lr, /, hidden): ...": "positional",
    "def f(lr): ...": False,
    "def f(lr, hidden=1, other=2): ...": True,
    "def f(lr, verbose=False): ...": False,
    "def f(lr, hidden, depth): ...": "missing a required argument: 'depth'",
    "def f(lr, *, hiden): ...": "missing a required",
    "def f(): ...": "too many|unexpected|got an",
    "async def f(variant): ...": "async def",
    "def f(variant):\n    yield 1": "yields",
    "def f(variant):\n    def g():\n        yield\n    return g": False,
    "@decorated\ndef f(a, b, c): ...": False,
    "from other import f": False,
    "from other import *": False,
    "globals()['f'] = print": False,
    "def train(variant): ...": "no function 'f'",
    "def f(": "line 1",
    "f = lambda variant: 3": False,
}


@pytest.mark.parametrize("source", SOURCES)
def test_how_a_function_takes_its_variant_is_read_from_its_file_without_importing_it(
    source, tmp_path
):
    file = tmp_path / "m.py"
    file.write_text(source + "\nraise SystemExit('imported')\n" if source != "def f(" else source)
    function, wanted = Function("f", file=str(file)), SOURCES[source]
    if isinstance(wanted, bool):
        assert takes_items(function, f"{file}:f", [("lr", "hidden")]) is wanted
    else:
        with pytest.raises(InvalidInput, match=wanted):
            takes_items(function, f"{file}:f", [("lr", "hidden")])


def test_the_signature_from_the_source_is_that_of_the_function():
    def f(a, b=1, /, c=2, *d, e, g=3, **h): ...

    import ast

    from runslot.launch.function import _signature

    (tree,) = ast.parse(inspect.getsource(f).strip()).body
    ours, theirs = _signature(tree.args), inspect.signature(f)
    assert [(p.name, p.kind) for p in ours.parameters.values()] == [
        (p.name, p.kind) for p in theirs.parameters.values()
    ]
    assert [p.default is p.empty for p in ours.parameters.values()] == [
        p.default is p.empty for p in theirs.parameters.values()
    ]


def test_a_parameter_named_as_a_key_is_said_to_get_the_whole_variant(tmp_path):
    (tmp_path / "m.py").write_text("def f(lr): ...\n")
    function = Function("f", file=str(tmp_path / "m.py"))
    assert "the whole variant, a dict, as lr" in (mistakable(function, "m.py:f", {"lr", "b"}) or "")
    assert mistakable(function, "m.py:f", {"b"}) is None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("python s.py {lr} | tee log.txt", "bash -c"),
        ("python s.py > log 2>&1", "bash -c"),
        ("cd sub && python s.py", "bash -c"),
        ("python s.py $HOME", "`\\$HOME`"),
        ('python s.py "${X:-1}"', "bash -c"),
        ("python s.py `date`", "bash -c"),
        ("python s.py; echo done", "bash -c"),
        ("python s.py &", "bash -c"),
        ("python s.py 'a|b' \"c>d\" '$x' \\| {a|b} {lr}", None),
        ("python s.py --url http://x/?a=1 --cost 5$", None),
    ],
)
def test_what_is_for_a_shell_is_refused_in_a_text_and_what_is_quoted_is_not(text, hint):
    said = refuse_shell(text)
    assert said is None if hint is None else said is not None and hint.replace("\\", "") in said


def test_what_a_shell_would_do_with_the_first_word_is_refused_with_what_does_it():
    assert "env MODE=off python s.py" in (refuse_first(["MODE=off", "python", "s.py"]) or "")
    assert "bash -c" in (refuse_first(["cd", "sub"]) or "")
    assert refuse_first(["python", "A=1"]) is None
    assert note_operators(["grep", "a|b", ">x"]) is None


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (
            ["python", "s.py", "--lr", "{lr}", "|", "tee", "log"],
            "bash -c 'python s.py --lr {lr} | tee log'",
        ),
        (["python", "s.py", ">", "out.txt"], "bash -c 'python s.py > out.txt'"),
        (["python", "s.py", ">{run_dir}/out.txt"], "bash -c 'python s.py >{run_dir}/out.txt'"),
        (["python", "s.py", "2>err.log"], "`2>err.log`"),
        (["python", "s.py", ">>", "log", "2>&1"], "bash -c"),
        (
            ["python", "a.py", "&&", "python", "b.py", "two words"],
            "python a.py && python b.py '\"'\"'two words",
        ),
        (["python", "s.py", ";", "echo", "done"], "`;`"),
        (["python", "s.py", "&"], "`&`"),
        (["python", "s.py", "--sep", "|", "-d", ";"], None),
        (["expr", "5", ">", "3"], None),
        (["find", ".", "-name", "x", "-exec", "rm", "{{}}", ";"], None),
        (["bash", "-c", "a | b", ">"], None),
        (["srun", "bash", "-c", "python s.py", "|"], None),
        (["python", "s.py", "a|b", "->", "=>", "<start>", ">>> x", "x > 3"], None),
    ],
)
def test_operators_of_a_shell_as_arguments_are_refused_where_they_cannot_be_meant(argv, hint):
    problem = refuse_operators(argv)
    assert problem is None if hint is None else problem is not None and hint in problem


@pytest.mark.parametrize("word", ["$HOME/data", "${SCRATCH}/x", "$(date)", "~/data", "|"])
def test_an_argument_that_a_shell_would_have_read_is_said_to_be_passed_on(word):
    assert repr(word) in (note_operators(["python", "s.py", "--out", word]) or "")
    assert note_operators(["bash", "-c", f"python s.py {word}"]) is None


@pytest.mark.parametrize("word", ["$", "5$", "a$b", "$lr", "~", "~x", "^a$"])
def test_nothing_is_said_of_what_only_resembles_it(word):
    assert note_operators(["python", "s.py", "--out", word]) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lr", "1", "--seeds", "3"], "the command is given --seeds: "),
        (["--dry-run", "--seeds=3"], "the command is given --dry-run and --seeds: "),
        (["--depth", "3", "--seed", "3"], None),
        (["--retries", "3"], None),
        (["--", "runslot", "run", "--seeds", "3"], None),
    ],
)
def test_options_of_runslot_behind_the_dashes_are_said_to_be_the_commands(
    words, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.py").write_text("class Options:\n    retries: int = 3\n")
    note = note_own_options(["python", "s.py", *words])
    assert note is None if said is None else note is not None and note.startswith(said)


def test_keys_that_no_argument_uses_are_said(tmp_path):
    def notes(*argv: str, **given: Any) -> str:
        said: list[str] = []
        experiment = Experiment(
            "c", ["true", *argv], variants=grid({"lr": [1, 2], "net.size": [1]}), **given
        )
        experiment.prepare(
            lambda event: said.append(event.text) if isinstance(event, Said) else None
        )
        return " ".join(said)

    assert "no argument of the command uses lr and net.size and seed:" in notes(seeds=2)
    assert "no argument of the command uses net.size:" in notes("{lr}")
    assert notes("{lr}", "{net.size}", "--seed={seed}", seeds=2) == ""
    assert notes("{variant_file}", seeds=2) == ""


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["python3", "trian.py"], "no script 'trian.py'.*did you mean 'train.py'"),
        (["train.py"], r"write \./train.py"),
        (["./train.py"], "chmod"),
        (["no-such-program"], "no program 'no-such-program'"),
        (["python3", "train.py", "{LR}"], "did you mean 'lr'"),
    ],
)
def test_a_command_that_cannot_start_is_refused_with_what_to_write(
    argv, hint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("")
    with pytest.raises(InvalidInput, match=hint):
        Experiment("c", argv, variants=grid({"lr": [1]})).plan()


def test_python_is_refused_with_the_name_that_is_there(tmp_path, monkeypatch):
    (tmp_path / "python3").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="no program 'python' on PATH; write python3"):
        Experiment("c", ["python", "-c", "pass"]).plan()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "/x/y"), OSError("odd"), OSError(9999, "new")]
)
def test_what_the_system_refuses_is_one_line(error):
    said = said_of_system(error)
    assert said
    assert "\n" not in said
    assert not error.filename or said.startswith("/x/y: No space left on device; free some room")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("ValueError: wrong", "ValueError: wrong"),
        (
            "KeyError: no key 'lr'\n    full_key: a.lr\n    object_type=dict",
            "KeyError: no key 'lr'",
        ),
        (
            '  File "x.py", line 1\n    f(\n     ^\nSyntaxError: never closed',
            "SyntaxError: never closed",
        ),
        ("no start:\nTraceback (most recent call last):\n  File x\nE: 1\nmore", "E: 1"),
        ("\n", ""),
        ("", ""),
    ],
)
def test_of_a_long_message_the_line_is_said_that_names_the_error(message: str, line: str) -> None:
    assert outcome_said(Outcome(kind="failed", attempt=1, message=message)) == line
