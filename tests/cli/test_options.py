"""The table of options is the one place where an option is said: what is made of it agrees with
it.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from runslot.cli.app import load
from runslot.cli.build import Words, experiment_of
from runslot.cli.options import ALL_WORDS, GROUPS, OPTIONS, WORDS, options_of
from runslot.cli.reference import with_tables
from runslot.experiment.records import Container
from runslot.hardware.resources import Resources
from runslot.launch.experiment import Experiment

FIELDS = {field.name: field for field in dataclasses.fields(Experiment)}
BUILT = {"name", "work", "variants", "search", "resources", "container", "into", "python"}
"""Fields of `Experiment` that are made of several words, or of one in another form."""


def test_the_table_takes_every_field_of_an_experiment_once():
    taken = [word.field for word in ALL_WORDS.values() if word.field]
    taken += [option.field for option in OPTIONS if option.field]
    assert sorted(taken) == sorted(set(FIELDS) - BUILT)


@pytest.mark.parametrize(("group", "record"), [("resources", Resources), ("container", Container)])
def test_a_group_of_words_has_the_fields_of_its_record(group, record):
    assert set(GROUPS[group]) == {field.name for field in dataclasses.fields(record)}


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_command_has_the_options_of_the_table_in_its_order(command):
    parameters = [
        parameter for parameter in load(command).params if parameter.param_type_name == "option"
    ]
    assert [(tuple(p.opts), p.help) for p in parameters] == [
        (o.names, o.help) for o in options_of(command)
    ]


def test_an_option_means_one_thing_in_a_command():
    for command in {command for option in OPTIONS for command in option.commands}:
        names = [name for option in options_of(command) for name in option.names]
        assert len(names) == len(set(names)), command


def test_what_is_not_said_is_left_to_the_experiment():
    experiment = experiment_of(Words({"function": "m:f"}))
    for name, field in FIELDS.items():
        if name not in BUILT and field.default is not dataclasses.MISSING:
            assert getattr(experiment, name) == field.default, name


def test_every_flag_sets_a_value_that_its_word_takes():
    for option in OPTIONS:
        if option.type is bool and option.word is not None:
            option.word.kind.read(option.word.sets)


def test_a_key_inside_another_has_a_group():
    assert {key.partition(".")[0] for key in ALL_WORDS if "." in key} == set(GROUPS)
    assert set(GROUPS) <= set(WORDS)


def test_the_table_loads_neither_typer_nor_what_launches():
    program = "import sys, runslot.cli.options; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not [
        name
        for name in loaded
        if name.startswith(("typer", "rich", "runslot.launch", "runslot.engines"))
    ]


def test_the_page_of_the_command_line_has_the_tables_options():
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == with_tables(page), "run python -m runslot.cli.reference docs/cli.md"
    for command in ("run", "resume"):
        for option in options_of(command):
            assert f"`{option.names[-1]}" in page
