"""What the command line says of variants."""

import json
import math
import re
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from runslot.errors import InvalidInput
from runslot.variants import (
    choice,
    integers,
    loguniform,
    parse_grid,
    parse_sample,
    parse_seeds,
    parse_setting,
    parse_value,
    uniform,
)
from runslot.variants.parse import doubts_of


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("lr=0.1,0.01,1e-3", "lr", [0.1, 0.01, 0.001]),
        ("hidden=32", "hidden", [32]),
        ("env.id = pong , qbert ", "env.id", ["pong", "qbert"]),
        ("flag=true,false,null,~", "flag", [True, False, None, None]),
        ("x='1',\"2\",'',3", "x", ["1", "2", "", 3]),
        ("x='a,b',\"c,\\\"d\\n\",'it''s'", "x", ["a,b", 'c,"d\n', "it's"]),
        ("hidden=[64,64],[32],[]", "hidden", [[64, 64], [32], []]),
        ("opt={lr: 0.1, name: adam},{}", "opt", [{"lr": 0.1, "name": "adam"}, {}]),
        (
            'opt={"a": [1, {"b,c": null}], \'d:e\': "f]"}',
            "opt",
            [{"a": [1, {"b,c": None}], "d:e": "f]"}],
        ),
        ("x=[a, 'b,]', [c]]", "x", [["a", "b,]", ["c"]]]),
        ("shape=(3,4),f(x[1,2])", "shape", ["(3,4)", "f(x[1,2])"]),
        ("env=ALE/Pong-v5,a=b,don't", "env", ["ALE/Pong-v5", "a=b", "don't"]),
        ("url={u: http://x:1/y}", "url", [{"u": "http://x:1/y"}]),
        ("n=0x1F,0o17,0b101,-0x10,007,+3,-4,1_000", "n", [31, 15, 5, -16, 7, 3, -4, 1000]),
        ("n=0b12,0o8,1__0,_1,1_,x1", "n", ["0b12", "0o8", "1__0", "_1", "1_", "x1"]),
        ("n=.5,5.,-1.5E+3,.inf,-.INF,inf", "n", [0.5, 5.0, -1500.0, math.inf, -math.inf, "inf"]),
    ],
)
def test_a_grid(text, key, values):
    assert parse_grid(text) == (key, values)
    assert [type(value) for value in parse_grid(text)[1]] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "'lr' is not KEY=VALUE; write, for example, lr=0.1,0.01"),
        ("=1", "'=1' is not KEY=VALUE"),
        ("lr=", "'lr=' has no value after the ="),
        ("lr=1,,2", "'lr=1,,2': a value is missing between commas"),
        ("lr=1,", "a value is missing between commas; write '' for empty text, or drop the comma"),
        ("lr=[1,]", "a value is missing between commas"),
        ("a..b=1", "'a..b' is not a key"),
        ("x=[1", "'x=[1': ] is missing"),
        ("x=[1}", "] is missing"),
        ("x={a: 1", "} is missing"),
        ("x=f(1", ") is missing"),
        ("x={a}", "a dict reads {key: value, key: value}"),
        ("x={a:}", "a value is missing"),
        ("x={: 1}", "a dict reads {key: value, key: value}"),
        ("x='a", "the quote ' is not closed"),
        ('x="a\\"', 'the quote " is not closed'),
        ('x="\\q"', "is no quoted text"),
        ("x='a'b", "'b' follows a value that was complete"),
        ("x=[1]2", "'2' follows a value that was complete"),
        ("x=" + "9" * 5000, "is too long for a number"),
    ],
)
def test_what_is_no_grid_is_refused_with_its_text(text, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        parse_grid(text)


def test_one_setting_keeps_the_commas_of_bare_text():
    assert parse_setting("note=a, b]") == ("note", "a, b]")
    assert parse_setting("hidden=[1, 2]") == ("hidden", [1, 2])
    assert parse_setting("lr=1e-3") == ("lr", 0.001)


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("lr=loguniform(1e-5,1e-1)", loguniform(1e-5, 1e-1)),
        ("lr= uniform ( -1 , 2.5 ) ", uniform(-1, 2.5)),
        ("lr=integers(1,8)", integers(1, 8)),
    ],
)
def test_a_sample(text, distribution):
    assert parse_sample(text) == ("lr", distribution)


def test_a_sample_of_choices():
    key, distribution = parse_sample("opt.act=choice(relu, [1,2], 'a)b')")
    assert key == "opt.act"
    assert distribution.options == choice(["relu", [1, 2], "a)b"]).options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=0.1", "'lr=0.1' does not name a distribution; write lr=loguniform(1e-5,1e-1)"),
        ("lr=loguniorm(1,2)", "loguniorm is not a distribution (did you mean 'loguniform'?)"),
        ("lr=uniform(1)", "uniform takes two numbers"),
        ("lr=uniform()", "a value is missing"),
        ("lr=uniform(2,1)", "'lr=uniform(2,1)': uniform(2, 1) is empty"),
        ("lr=uniform(a,b)", "'a' is not a finite number"),
        ("uniform(1,2)", "is not KEY=VALUE"),
    ],
)
def test_what_is_no_sample_is_refused_with_its_text(text, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        parse_sample(text)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", [0, 1, 2]),
        (" 1 ", [0]),
        ("7,8", [7, 8]),
        ("8, 7", [8, 7]),
        ("7,", [7]),
        ("0-3", [0, 1, 2, 3]),
        ("0-2,9", [0, 1, 2, 9]),
        ("4294967295,", [2**32 - 1]),
    ],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "it asks for 0 seeds"),
        ("1000001", "it asks for 1000001 seeds"),
        ("-1", "'-1' is not a seed"),
        ("1.5", "'1.5' is not a seed"),
        ("a", "write how many, as 3 (which are 0, 1, 2), or which, as 7,8 or 0-9"),
        ("", "'' is not a seed"),
        (",", "'' is not a seed"),
        ("1,,2", "'' is not a seed"),
        ("7,7", "7 stands in it twice"),
        ("0-3,2", "2 stands in it twice"),
        ("5-2", "5-2 goes backwards"),
        ("4294967296,", "4294967296 is above 4294967295"),
        ("0-1000000", "more than 1,000,000 seeds"),
        ("9" * 5000, "is not a seed"),
        ("²", "'²' is not a seed"),
    ],
)
def test_what_is_no_seeds_is_refused_with_its_text(text, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        parse_seeds(text)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(json_values, min_size=1, max_size=4), st.booleans())
def test_json_comes_back_as_it_was(values, ascii_only):
    text = ",".join(json.dumps(value, ensure_ascii=ascii_only) for value in values)
    key, again = parse_grid(f"a.b={text}")
    assert key == "a.b"
    assert repr(again) == repr(values)


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_single_quotes_take_any_text(texts):
    quoted = ",".join("'" + text.replace("'", "''") + "'" for text in texts)
    assert parse_grid(f"k={quoted}") == ("k", texts)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    for read in (parse_grid, parse_sample, parse_setting, parse_seeds, parse_value):
        try:
            read(text)
        except InvalidInput as error:
            assert str(error)  # noqa: PT017 - any other exception fails the test


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1e-3",
            "1E5",
            "1.",
            ".5",
            "+.5",
            "-1",
            "+1",
            "0",
            "00",
            "0x1F",
            "0XFF",
            "0o17",
            "0b1",
            "1_0",
            "1e",
            "e1",
        ),
        *(
            "true",
            "True",
            "TRUE",
            "tRue",
            "yes",
            "no",
            "on",
            "off",
            "y",
            "null",
            "Null",
            "NULL",
            "nil",
            "~",
        ),
        *(
            ".inf",
            "-.inf",
            "+.Inf",
            "inf",
            ".INF",
            "1:30",
            "12:30:45",
            "2020-01-01x",
            "[1, a, 1e-3]",
            "{a: 1e-3}",
        ),
    ],
)
def test_values_are_those_of_a_sweep_file(text):
    ours, theirs = parse_value(text), YAML(typ="safe", pure=True).load(text)
    assert (ours, type(ours)) == (theirs, type(theirs))


@given(st.text(string.digits + "+-.eExo", min_size=1, max_size=6))
def test_numbers_are_those_of_a_sweep_file(text):
    try:
        theirs = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):
        assume(False)
    assume(isinstance(theirs, (int, float, str)))
    assume(
        not isinstance(theirs, float) or math.isfinite(theirs)
    )  # refused: larger than a float holds
    assume(not re.fullmatch(r"[-+]?\.\d+[eE]\d+", text))  # text to ruamel.yaml, against YAML 1.2
    ours = parse_value(text)
    assert (repr(ours), type(ours)) == (repr(theirs), type(theirs))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr=0.1 0.01", "write 0.1,0.01"),
        ("lr=0.1 bs=32", "holds a second KEY=VALUE"),
        ("lr==0.1", "begins with a further =: write 0.1"),
        ("lr=1e-400", "smaller than any number"),
        ("lr=5e1234", "larger than any number"),
        ("lr=range(0,10)", "write 0,1,2"),
        ("lr=tune.choice([1, 2])", "--sample KEY=choice(1, 2) --samples N"),
        ("lr=tune.loguniform(1e-5,1e-1)", "--sample KEY=loguniform(1e-5,1e-1) --samples N"),
        ("lr=\uff11", "typography: write 1"),
    ],
)
def test_what_reads_almost_like_something_else_is_refused_with_what_to_write(
    text: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=re.escape(words)):
        parse_grid(text)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("007", "is the number 7"),
        ("nan", "the number is written .nan"),
        ("yes", "the truth value is true"),
        ("1/3", "it is not worked out"),
        ("10%", "write the number"),
        ("0.1f", "the number is written 0.1"),
        ("1e", "the number is written 1"),
        ("1e-3..1e-5", "with commas"),
        ("1e-5:1e-1", "with commas"),
        ("$LR", "no shell has put a value in its place"),
    ],
)
def test_what_may_be_meant_otherwise_is_said(value: str, words: str) -> None:
    (doubt,) = doubts_of(f"lr={value}")
    assert words in doubt


@pytest.mark.parametrize(
    "value", ["0.0", "0e5", "a b=1", "v1.0f", "adam", "$", "x$y", "16x", "3d", "resnet-50", "=x"]
)
def test_nothing_is_said_of_plain_text_and_numbers(value: str) -> None:
    assert doubts_of(f"lr={value}") == []
