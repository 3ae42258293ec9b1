"""The language of `where`: what it means, what it refuses, and that nothing else can be said in
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runslot.errors import InvalidInput
from runslot.results import load
from runslot.results.where import MOST_CHARACTERS, condition

NAN = math.nan
RUNS = pl.DataFrame(
    {
        "n": [1, 2, 3, 4],
        "lr": [0.1, 0.01, NAN, None],
        "env": ["pong", "Qbert's", "", None],
        "flag": [True, False, None, True],
        "final/loss": [1.0, math.inf, NAN, -2.0],
        "final/test loss": [1.0, 2.0, 3.0, 4.0],
        "algo.lr": [3, 2, 1, 0],
        "final": [8.0, 8.0, 8.0, 8.0],
        "loss": [2.0, 2.0, 2.0, 2.0],
        "started": [datetime(2025, 1, day, tzinfo=timezone.utc) for day in (1, 2, 3, 4)],
        "words": ["a%b", "a_b", "a.b", "1.5"],
    }
)


def numbers(text: str) -> list[int]:
    return RUNS.filter(condition(text, RUNS.schema))["n"].to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr > 0.05", [1]),
        ("lr < 0.05", [2]),
        ("NOT lr < 0.05", [1]),
        ("lr <> 0.1", [2]),
        ("lr IS NULL", [4]),
        ("lr IS NAN", [3]),
        ("lr IS NOT NAN", [1, 2, 4]),
        ("isnan(lr) OR lr IS NULL", [3, 4]),
        ("final/loss > 0", [1, 2]),
        ("final/loss >= -2 AND NOT final/loss > 0", [4]),
        ("final / loss = 4", [1, 2, 3, 4]),
        ('"final/loss" BETWEEN -3 AND 1', [1, 4]),
        ("final/test loss NOT BETWEEN 2 AND 3", [1, 4]),
        ("algo.lr IN (3, 2.0)", [1, 2]),
        ("n NOT IN (1, 2)", [3, 4]),
        ("n IN (1 + 1, algo.lr)", [2]),
        ("lr IN (0.1, 5)", [1]),
        ("env IN ('pong', 'x''y')", [1]),
        ("env NOT IN ('pong')", [2, 3]),
        ("env = 'Qbert''s'", [2]),
        ("env LIKE '%o%'", [1]),
        ("env ILIKE 'q%'", [2]),
        ("env NOT LIKE 'p%'", [2, 3]),
        ("words LIKE 'a_b'", [1, 2, 3]),
        ("words LIKE 'a.b'", [3]),
        ("words REGEXP '^a[%.]b$'", [1, 3]),
        ("env ~ 'b' OR env !~ '.'", [2, 3]),
        ("flag", [1, 4]),
        ("NOT flag", [2]),
        ("flag IS NOT TRUE", [2, 3]),
        ("flag = 1", [1, 4]),
        ("n = 1 OR n = 2 AND lr > 1", [1]),
        ("(n = 1 OR n = 2) AND lr < 0.05", [2]),
        ("1 + 2 * 3 = 7 AND 7 // 2 = 3 AND 7 / 2 = 3.5 AND 7 % 4 = 3 AND -n = -1", [1]),
        ("n * 2 - 1 > 4", [3, 4]),
        ("log(lr) <= -1.5", [2]),
        ("abs(final/loss) = 2", [4]),
        ("lower(env) = 'pong' or length(env) = 0", [1, 3]),
        ("starts_with(env, 'Q')", [2]),
        ("n = max(n)", [4]),
        ("lr = MAX(lr)", [1]),
        ("coalesce(lr, 7) = 7", [4]),
        ("CASE WHEN n > 2 THEN 'big' ELSE 'small' END = 'big'", [3, 4]),
        ("CAST(words AS FLOAT) > 1", [4]),
        ("words::float > 1", [4]),
        ("started >= '2025-01-03'", [3, 4]),
        ("started < '2025-01-02T00:00:00Z'", [1]),
        ("lr <=> NULL", [3, 4]),
        ("n IS DISTINCT FROM 1", [2, 3, 4]),
        ("n = 1 -- the first", [1]),
        ("`n` == 1", [1]),
        ("NULL", []),
        ("n > NULL", []),
        ("TRUE", [1, 2, 3, 4]),
    ],
)
def test_a_condition_chooses_as_it_reads(text: str, expected: list[int]) -> None:
    assert numbers(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "n > 1 AND n < 4",
        "n BETWEEN 2 AND 3 OR env = 'pong'",
        "env LIKE 'p%' OR env ILIKE 'q%'",
        "n IN (1, 3) AND flag IS NOT NULL",
        '"algo.lr" + n = 4 AND NOT n % 2 = 0',
        "COALESCE(flag, true) AND ABS(n - 3) <= 1",
        "UPPER(env) = 'PONG' OR STARTS_WITH(env, 'Q')",
        "n <> 2 AND env IS NOT NULL",
        "CASE WHEN n > 2 THEN true ELSE false END",
        "n = MAX(n) OR n = MIN(n)",
        "ROUND(n / 1.5, 1) > 1.5 AND SQRT(n) < 2",
    ],
)
def test_conditions_without_nan_mean_what_sql_means(text: str) -> None:
    assert RUNS.filter(condition(text, RUNS.schema)).equals(RUNS.filter(pl.sql_expr(text)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr IN (SELECT x FROM read_csv('{file}'))", "no subqueries"),
        ("EXISTS (SELECT 1)", "cannot be understood"),
        ("lr > (SELECT 1)", "cannot be understood"),
        ("read_csv('{file}')", "no function read_csv"),
        ("n = 1; DROP TABLE runs", "means nothing"),
        ("repeat(env, 1000000000) = 'a'", "no function repeat"),
        ("env || env = 'a'", "means nothing"),
        ("n = 1 UNION SELECT 1", "cannot be understood"),
        ('env = "pong"', "no run has a column 'pong'"),
        ("accuracy > 1", "no run has a column"),
        ("test loss > 1", "no run has a column 'test'"),
        ("lr > 'a'", "cannot be compared"),
        ("env > 3", "cannot be compared"),
        ("env + 1 = 2", "not a number"),
        ("lr = nan", "IS NAN"),
        ("lr", "not a condition"),
        ("lr AND n = 1", "not a condition"),
        ("lr > ", "cannot be understood"),
        ("lr > 1)", "nothing more was expected"),
        ("(lr > 1", "was expected"),
        ("env = 'pong", "never closed"),
        ("lr NOT 3", "cannot be understood"),
        ("lower(lr) = 'a'", "takes"),
        ("started > 'soon'", "no time"),
        ("n > 1e999", "larger"),
        ("env = '\ud800'", "no characters"),
        ("env ~ '('", "cannot be understood"),
        ("", "cannot be understood"),
        ("(" * 200 + "n" + ")" * 200, "nested"),
        ("NOT " * 200 + "flag", "nested"),
        ("n > " + "1 + " * 500 + "1", "operators"),
        ("n = 1 " * MOST_CHARACTERS, "characters"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("secret\n")
    with pytest.raises(InvalidInput, match=words) as refused:
        condition(text.replace("{file}", str(file)), RUNS.schema)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_very_long_chains_and_lists_are_read() -> None:
    assert numbers(" OR ".join(f"n = {i}" for i in range(250))) == [1, 2, 3, 4]
    assert numbers(f"n IN ({', '.join(map(str, range(1500)))})") == [1, 2, 3, 4]
    assert numbers(f"env LIKE '{'%a' * 2000}'") == []


SIGNS = list("()<>=+-*/%,'\"`~!;.")
NAMES = [
    "nan",
    "n",
    "lr",
    "env",
    "flag",
    "final/loss",
    "algo.lr",
    "words",
    "started",
    "'a'",
    "1",
    "2.5",
    "1e5",
]
JOINS = [
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "BETWEEN",
    "IS",
    "NULL",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "CAST",
    "AS",
]
WORDS = [*SIGNS, *NAMES, *JOINS, "FLOAT", "SELECT", "lower", "abs", "substr", "left"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=20))
def test_whatever_is_written_is_a_choice_or_a_sentence(text: str) -> None:
    try:
        RUNS.filter(condition(text, RUNS.schema))
    except InvalidInput as error:
        sentence = str(error)
        assert "\n" not in sentence  # a choice is as good an end
    except pl.exceptions.PolarsError:
        pass  # of which `Results.where` makes a sentence


def test_whole_numbers_are_found_among_numbers(
    tmp_path: Path, write_log: Callable[..., Path]
) -> None:
    for place, lr in enumerate((1.0, 0.5, 2.0, 2**53 + 2.0)):
        write_log(
            str(place),
            **{
                "progress.csv": "step,loss\n0,1\n",
                "variant.json": {"lr": lr, "big": 2**60 + place},
            },
        )
    results = load(tmp_path)
    assert results.where("lr IN (1, 2, 3)").runs["run"].to_list() == ["0", "2"]
    assert results.where("lr NOT IN (1, 2)").runs["run"].to_list() == ["1", "3"]
    assert results.where(f"lr IN (1, {2**53 + 2})").runs["run"].to_list() == ["0", "3"]
    assert results.where(f"big IN ({2**60}, {2**60 + 3})").runs["run"].to_list() == ["0", "3"]
