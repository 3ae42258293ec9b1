"""Sweep files: what they say runs, and every mistake is named with its line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from runslot.cli.arguments import words_of_target
from runslot.cli.build import experiment_of
from runslot.cli.schema import SCHEMA_FILE, schema_text, sweep_schema
from runslot.cli.sweep_file import read_sweep_file
from runslot.errors import InvalidInput, NotFound

SWEEP = """\
# digits, twice
function: train.py:train
grid:
  lr: [1e-1, 1e-3]
  net.hidden: [32]
  act: tanh
seeds: 2
resources:
  cpus: 1
  memory: 512MiB
timeout: 10m
retries: 1
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("def train(variant): print(variant)\n")
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return tmp_path / "sweep.yaml"


def asked(path: Path, *settings: str):
    return experiment_of(words_of_target(str(path), None, settings))


def test_a_sweep_file_is_an_experiment_in_the_words_of_the_python_api(sweep):
    experiment = asked(sweep)

    assert experiment.name == "train"
    assert [dict(variant) for variant in experiment.variants] == [
        {"lr": 0.1, "net": {"hidden": 32}, "act": "tanh"},
        {"lr": 0.001, "net": {"hidden": 32}, "act": "tanh"},
    ]
    assert experiment.seeds == 2
    assert (experiment.resources.cpus, experiment.resources.memory) == (1, 512 * 2**20)
    assert (experiment.timeout, experiment.retries) == (600.0, 1)


def test_a_sweep_file_runs_and_set_and_options_go_before_it(runslot):
    (runslot.directory / "sweep.yaml").write_text(SWEEP)

    runs = runslot.events("run", "sweep.yaml", "--dry-run")
    assert [run["variant"]["lr"] for run in runs] == [0.1, 0.001, 0.1, 0.001]

    runs = runslot.events(
        "run", "sweep.yaml", "--set", "grid.lr=0.5,0.25", "--set", "seeds=1", "--dry-run"
    )
    assert [run["variant"]["lr"] for run in runs] == [0.5, 0.25]

    runs = runslot.events("run", "sweep.yaml", "--grid", "lr=3", "--seeds", "7,", "--dry-run")
    assert [(run["variant"]["lr"], run["seed"]) for run in runs] == [(3, 7)]

    runslot(
        "run", "sweep.yaml", "--name", "other/name", "--set", "grid.lr=[0.5]", "--set", "seeds=1"
    )
    assert len(list((runslot.root / "other" / "name").glob("2*/*/run_0/outcome.json"))) == 1


def test_a_key_that_set_adds_beside_one_of_nearly_its_name_is_said(runslot):
    (runslot.directory / "sweep.yaml").write_text(SWEEP)
    dry = ("run", "sweep.yaml", "--seeds", "1", "--dry-run", "--set")
    noted = runslot(*dry, "grid.lrr=0.1")
    assert "the file's grid has no 'lrr' (did you mean 'lr'?); added" in noted.stdout
    assert "note:" not in runslot(*dry, "grid.width=8").stdout


def test_paths_in_the_file_are_relative_to_it_and_the_working_directory_is_the_callers(runslot):
    folder = runslot.directory / "sweeps"
    folder.mkdir()
    (folder / "where.py").write_text("import os\ndef where(variant): print(os.getcwd())\n")
    (folder / "sweep.yaml").write_text("function: where.py:where\nroot: out\n")

    runslot("run", "sweeps/sweep.yaml")

    (console,) = (folder / "out" / "where").glob("2*/run_0/console.log")
    assert console.read_text() == f"{runslot.directory}\n"


def test_a_command_in_a_file_is_split_like_a_shell_does_and_no_shell_sees_it(tmp_path):
    (tmp_path / "a.yaml").write_text("command: python train.py --lr {lr} --text 'a b' '>' x\n")
    (tmp_path / "b.yaml").write_text("command: [python, train.py, --lr, '{lr}', 3]\n")

    assert asked(tmp_path / "a.yaml").work == [
        "python",
        "train.py",
        "--lr",
        "{lr}",
        "--text",
        "a b",
        ">",
        "x",
    ]
    assert asked(tmp_path / "b.yaml").work == ["python", "train.py", "--lr", "{lr}", "3"]


def test_zip_sample_and_variants_are_crossed(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "function: a.b:c\nzip: {x: [1, 2], y: [3, 4]}\nsample: {z: 'uniform(0, 1)', w: [a,"
        " b]}\nsamples: 3\nvariants: [{q: 1}, {q: 2}]\n"
    )

    variants = [dict(variant) for variant in asked(path).variants]

    assert len(variants) == 2 * 2 * 3
    assert {(v["x"], v["y"]) for v in variants} == {(1, 3), (2, 4)}
    assert all(0 <= v["z"] <= 1 and v["w"] in "ab" and v["q"] in (1, 2) for v in variants)


def test_json_says_the_same_and_its_mistakes_have_lines(sweep):
    as_json = {
        "function": "train.py:train",
        "grid": {"lr": [0.1, 1e-3], "net.hidden": [32], "act": "tanh"},
        "seeds": 2,
    }
    path = sweep.with_suffix(".json")
    path.write_text(json.dumps(as_json, indent="\t"))
    assert list(asked(path).variants) == list(asked(sweep).variants)

    path.write_text('{\n\t"function": "train.py:train",\n\t"sedes": 2\n}')
    with pytest.raises(
        InvalidInput, match=r"sweep.json, line 3: unknown key 'sedes' \(did you mean 'seeds'\?\)"
    ):
        asked(path)
    path.write_text('{\n\t"seeds": 2,\n\t"seeds": 2\n}')
    with pytest.raises(InvalidInput, match="line 3: 'seeds' stands there twice, first in line 2"):
        asked(path)
    path.write_text('{\n\t"seeds": 2\n\t"retries": 1\n}')
    with pytest.raises(InvalidInput, match="line 3: not JSON"):
        asked(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("timeout", "timeuot", "line 11: unknown key 'timeuot' (did you mean 'timeout'?)"),
        ("timeout", "xyz", "line 11: unknown key 'xyz'; known are name, function, command"),
        ("cpus", "cpu", "line 9: unknown key 'cpu' (did you mean 'cpus'?)"),
        ("seeds: 2", "grid: 2", "line 7: 'grid' stands there twice, first in line 3"),
        ("  act: tanh", "  lr: [1]", "line 6: 'lr' stands there twice, first in line 4"),
        (
            "512MiB",
            "512M",
            (
                "line 10: resources.memory: must be an amount of memory, such as 8GB or 512MiB, not"
                " '512M'"
            ),
        ),
        ("cpus: 1", "cpus: 0", "line 9: resources.cpus: must be a whole number, 1 or more, not 0"),
        (
            "cpus: 1",
            "cpus: '1'",
            "line 9: resources.cpus: must be a whole number, 1 or more, not '1'",
        ),
        ("10m", "soon", "line 11: timeout: must be a length of time"),
        ("10m", "0", "line 11: timeout: must be a length of time above 0"),
        ("retries: 1", "retries: yes", "line 12: retries: must be a whole number"),
        ("[1e-1, 1e-3]", "[1e-1, 0.1]", "line 3: the choice lr=0.1 stands there twice"),
        ("[1e-1, 1e-3]", "[]", "line 3: lr has no choices"),
        ("tanh", "2024-01-01", "line 6: grid.act is a date to YAML; put it in quotes"),
        ("seeds: 2", "seeds: [2", "line 8: not YAML"),
        ("  cpus", "\tcpus", "line 9: not YAML: found character '\\t'"),
        ("seeds: 2", "seeds: []", "line 7: seeds: must be a number of seeds"),
        ("function: train.py:train", "", "sweep.yaml: nothing says what to run"),
        ("retries: 1", "command: ls", "line 12: both a function and a command are given"),
        ("retries: 1", "samples: 3", "line 12: samples needs sample"),
        (
            "retries: 1",
            "sample: {x: 1}",
            "line 12: sample: must draw x from a list or a distribution",
        ),
        ("retries: 1", "sample: {x: 'norm(1)'}", "line 12: sample: 'x=norm(1)'"),
        ("retries: 1", "variants: [3]", "line 12: variants: item 1: must be settings by key"),
        (
            "retries: 1",
            "snapshot_mode: lsat",
            "must be one of all, last, gap, gap_and_last, last+gap, none",
        ),
        ("function:", "- function:", "sweep.yaml"),
    ],
)
def test_a_mistake_is_refused_with_its_line(sweep, old, new, said):
    assert old in SWEEP
    sweep.write_text(SWEEP.replace(old, new, 1))

    with pytest.raises(InvalidInput) as refused:
        asked(sweep)

    assert said in str(refused.value)
    assert str(refused.value).startswith(str(sweep))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sedes=1", "--set sedes=1: unknown key 'sedes' (did you mean 'seeds'?)"),
        ("resources.cpu=1", "unknown key 'cpu' (did you mean 'cpus'?)"),
        ("seeds.x=1", "seeds has no keys"),
        ("seeds", "write KEY=VALUE"),
        ("seeds=many", "--set seeds=many: seeds: 'many' is not a seed; write how many"),
        ("timeout=soon", "--set timeout=soon: timeout: must be a length of time"),
    ],
)
def test_a_setting_that_is_none_is_refused(sweep, setting, said):
    with pytest.raises(InvalidInput) as refused:
        asked(sweep, setting)
    assert said in str(refused.value)


def test_set_replaces_a_key_however_it_is_nested(sweep):
    sweep.write_text("function: train.py:train\ngrid:\n  net: {hidden: [1, 2], deep: 3}\n")

    assert [dict(v) for v in asked(sweep, "grid.net.hidden=[7]").variants] == [
        {"net": {"deep": 3, "hidden": 7}}
    ]
    assert [dict(v) for v in asked(sweep, "grid.net.deep=8").variants] == [
        {"net": {"hidden": 1, "deep": 8}},
        {"net": {"hidden": 2, "deep": 8}},
    ]


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(NotFound, match="no sweep file"):
        read_sweep_file(tmp_path / "no.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_sweep_file(tmp_path / "bytes.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(InvalidInput, match="is no sweep file"):
        read_sweep_file(tmp_path / "empty.yaml")


# ---- the schema ----------------------------------------------------------------------------------


def test_the_shipped_schema_is_current_and_is_a_schema(runslot):
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run python -m runslot.cli.schema"
    )
    jsonschema.Draft202012Validator.check_schema(sweep_schema())
    assert runslot("schema").stdout == schema_text()


def values_of(path: Path) -> dict:
    return read_sweep_file(path).values


def fences(page: Path) -> list[str]:
    """Return the YAML blocks of a page that are sweep files."""
    blocks = page.read_text(encoding="utf-8").split("```")[1::2]
    return [block.removeprefix("yaml\n") for block in blocks if block.startswith("yaml\n")]


DOCS = Path(__file__).parents[2] / "docs" / "sweep-files.md"


@pytest.mark.parametrize("text", [SWEEP, *fences(DOCS)])
def test_the_examples_are_valid_to_the_schema_and_to_the_reader(tmp_path, text):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)

    jsonschema.validate(values_of(path), sweep_schema())
    experiment_of(read_sweep_file(path))


@pytest.mark.parametrize(
    "line",
    [
        "sedes: 2", "seeds: 0", "seeds: many", "seeds: []", "timeout: soon", "timeout: 0", "timeout: 5 x",
        "retries: -1", "retries: 1.5", "resumable: 1", "start: hot", "resources: {cpu: 1}", "resources: {cpus: 0}",
        "resources: {memory: 8G}", "resources: {memory: 0}", "snapshot_gap: 0", "grid: 3", "variants: {}",
        "variants: [1]", "sample: {x: 1}\nsamples: 1", "samples: 2", "command: ls", "name: 3", "root: ''",
    ],
)  # fmt: skip
def test_what_the_reader_refuses_the_schema_refuses_too(tmp_path, line):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"function: a.b:c\n{line}\n")

    with pytest.raises(InvalidInput):
        experiment_of(read_sweep_file(path))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values_of(path), sweep_schema())


@pytest.mark.parametrize(
    "line",
    [
        "seeds: 0-9", "seeds: [1, 5]", "seeds: 7, 8", "seeds: '7,'", "timeout: 90", "timeout: 1h 30m", "timeout: 2.5h",
        "resources: {memory: 1.5 GiB, gpus: 0}", "resources: {threads: cores, avoid_busy: all}",
        "sample: {x: 'choice(a, b)', y: [1, 2]}\nsamples: 2", "snapshot_mode: last+gap", "start: cold",
    ],
)  # fmt: skip
def test_what_the_reader_takes_the_schema_takes_too(tmp_path, line):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"function: a.b:c\n{line}\n")

    experiment_of(read_sweep_file(path))
    jsonschema.validate(values_of(path), sweep_schema())
