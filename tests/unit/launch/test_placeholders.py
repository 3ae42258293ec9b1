"""What stands in braces in a command's arguments, and what it becomes in a run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runslot import Experiment
from runslot.errors import InvalidInput
from runslot.experiment.placeholders import fill, hydra_value, literal, names_used, with_seeds

VALUES: dict[str, Any] = {
    "lr": 1e-5, "n": 7, "amp": True, "off": False, "wd": None, "sizes": [1, 2], "none": [], "name": "a b",
    "algo.gamma": 0.9, "learning_rate": 3, "seed": 4, "run_dir": "/r/lr=0.1", "run_id": "abc",
    "variant_file": "/r/variant.json",
}  # fmt: skip

FILLED = [
    (["--lr={lr}", "x{n}y{n}"], ["--lr=1e-05", "x7y7"]),
    (
        ["{lr:.3g}", "{n:03d}", "{algo.gamma:.1e}", "{name:>5}"],
        ["1e-05", "007", "9.0e-01", "  a b"],
    ),
    (
        ["{{lr}}", '{"a": 1}', "{a:1}", "{}", "{ lr }"],
        ["{lr}", '{"a": 1}', "{a:1}", "{}", "{ lr }"],
    ),
    (["{--amp}", "{--off}", "{--wd}", "{-amp}"], ["--amp", "-amp"]),
    (
        ["{--lr=}", "{--wd=}", "{--name=}", "{--learning-rate=}"],
        ["--lr=1e-05", "--name=a b", "--learning-rate=3"],
    ),
    (
        ["--sizes", "{sizes...}", "--none", "{none...}", "end"],
        ["--sizes", "1", "2", "--none", "end"],
    ),
]


@pytest.mark.parametrize(("argv", "expected"), FILLED, ids=[" ".join(argv) for argv, _ in FILLED])
def test_an_argument_becomes(argv: list[str], expected: list[str]) -> None:
    assert fill(argv, VALUES) == expected


def test_all_keys_at_once() -> None:
    values = {
        key: VALUES[key] for key in ("lr", "wd", "sizes", "name", "algo.gamma", "seed", "run_dir")
    }
    assert fill(["{args}"], values) == [
        "--lr",
        "1e-05",
        "--sizes",
        "1",
        "2",
        "--name",
        "a b",
        "--algo.gamma",
        "0.9",
    ]
    assert fill(["{overrides}"], values) == [
        "lr=1e-05", "wd=null", "sizes=[1,2]", "name='a b'", "algo.gamma=0.9", "hydra.run.dir='/r/lr=0.1'",
    ]  # fmt: skip
    assert fill(["{overrides}", "hydra.run.dir=out"], values)[-2:] == [
        "algo.gamma=0.9",
        "hydra.run.dir=out",
    ]
    (text,) = fill(["{variant_json}"], values)
    nested = {"lr": 1e-5, "wd": None, "sizes": [1, 2], "name": "a b", "algo": {"gamma": 0.9}}
    assert json.loads(text) == nested
    assert fill(["{args}"], {**values, "args": 3}) == ["3"]  # a key of that name goes before


def test_a_literal_is_left_alone() -> None:
    odd = ["{lr}", "{--amp}", "{args}", "{sizes...}", "{{", "}", "{lr:.3g}"]
    assert fill([literal(text) for text in odd], VALUES) == odd
    assert names_used([literal(text) for text in odd], VALUES) == set()


ODD = [
    ("{lr:.3f}", "did you mean {lr:.3g}"),
    ("{lr:zz}", "no format of a value"),
    ("{name:d}", "but name is 'a b'"),
    ("{--lr}", "write {--lr=}"),
    ("{lr...}", "is for a list"),
    ("{sizes}", "write {sizes...}"),
    ("{wd}", "write {--wd=}"),
    ("{--sizes=}", "write {sizes...}"),
]


@pytest.mark.parametrize(("argument", "message"), ODD)
def test_a_value_of_the_wrong_kind_is_refused_with_what_to_write(
    argument: str, message: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        fill([argument], VALUES)
    assert message in str(refusal.value)


def test_seeds_go_along_with_all_keys_where_they_were_asked_for() -> None:
    assert with_seeds(["s", "{args}"], True, ["lr"]) == ["s", "{args}", "--seed", "{seed}"]
    assert with_seeds(["s", "{overrides}"], True, ["lr"]) == ["s", "{overrides}", "seed={seed}"]
    assert with_seeds(["s", "{args}"], False, ["lr"]) == ["s", "{args}"]
    assert with_seeds(["s", "{args}", "{seed}"], True, ["lr"]) == ["s", "{args}", "{seed}"]
    assert with_seeds(["s", "{args}"], True, ["args"]) == ["s", "{args}"]


def test_what_hydra_reads_as_it_stands_and_what_it_needs_in_quotes() -> None:
    # tests/adopters asks Hydra itself.
    assert [hydra_value(value) for value in (None, True, 1, 0.1, "resnet18", "a/b.c:d", [1, "x,y"], {"k": "v w"})] == [
        "null", "true", "1", "0.1", "resnet18", "a/b.c:d", "[1,'x,y']", "{k:'v w'}",
    ]  # fmt: skip
    assert [hydra_value(text) for text in ("", "true", "1e3", "it's", "a=b", "${x}", "a\\")] == [
        "''", "'true'", "'1e3'", "'it\\'s'", "'a=b'", "'\\${x}'", "'a\\\\'",
    ]  # fmt: skip


REFUSED = [
    (["{l}"], "did you mean 'lr'"),
    (["{lrr:.2g}"], "did you mean 'lr'"),
    (["x{args}"], "write it by itself"),
    (["{lr:.1g}"], "writes 0.12 and 0.11 alike"),
]


@pytest.mark.parametrize(("argv", "message"), REFUSED)
def test_a_command_is_refused_before_anything_starts(argv: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Experiment("x", ["true", *argv], variants={"lr": [0.12, 0.11]}).plan()


def test_directories_that_every_reader_takes_as_they_stand() -> None:
    variants = [{"a": "x=y", "b": 1}, {"a": "x-y", "b": 1}, {"a": "ü", "b": 2}]
    plan = Experiment(
        "x", ["true", "{a}", "{b}"], variants=variants, seeds=2, plain_names=True
    ).plan()
    directories = [run.directory for run in plan.runs]
    assert len(set(directories)) == 6
    assert all(
        set(directory) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-/")
        for directory in directories
    )
    assert directories[0].endswith("/run_0")
    (only,) = Experiment("x", ["true"], plain_names=True).plan().runs
    assert only.directory == "run_0"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"A B": "1"}, "cannot be the name"),
        ({"RUNSLOT_RUN": "x"}, "set by runslot"),
        ({"A": 1}, "must be text"),
        (["A"], "dict"),
    ],
)
def test_variables_that_can_be_none_are_refused(env: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Experiment("x", ["true"], env=env)
