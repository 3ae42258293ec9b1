"""The small language of `where`: a condition on runs in SQL's words, read into a polars expression.
Pure.

Its own parser, since a condition may come from an address that somebody else wrote: there are
columns, values, operators and functions, and nothing that could open a file, ask a network, or grow
without end. `Results.where` calls it. What must stay true: nan is no number, so no comparison with
it is true (nor false).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import NoReturn

import polars as pl

from runslot.errors import InvalidInput, nearest
from runslot.results.columns import ANNOTATION_COLUMNS
from runslot.results.where.functions import FUNCTIONS, Kind, kind_of, without_nan
from runslot.results.where.tokens import Token, refuse, short, tokens_of
from runslot.results.where.values import ARITHMETIC, CASTS, CONSTANTS, Value, compared, number_of

MOST_CHARACTERS = 10_000
MOST_OPERATORS = 300
"""Of one condition, AND, OR and the items of a list apart."""
_EXACT_INTEGERS = 2**53
"""Floats hold every whole number up to it."""
MOST_NESTED = 50
_JOINS = ("AND", "OR", "NOT", "IS", "IN", "BETWEEN", "LIKE", "ILIKE", "REGEXP", "RLIKE")
_RESERVED = frozenset({*_JOINS, "SELECT", "FROM", "WHEN", "THEN", "ELSE", "END"})
_COMPARED = ("=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>")


def condition(text: str, schema: Mapping[str, pl.DataType]) -> pl.Expr:
    """Return the condition over columns of these types. Raises `InvalidInput` with what is wrong
    and where."""
    if len(text) > MOST_CHARACTERS:
        raise InvalidInput(
            f"the condition has {len(text)} characters; {MOST_CHARACTERS} are the most"
        )
    if not text.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InvalidInput(f"the condition {short(text)} has signs that are no characters")
    value = _Parser(text, tokens_of(text, schema), schema).read()
    if value.kind not in {"truth", "null"}:
        raise InvalidInput(
            f"the runs cannot be chosen so: {short(text)} is a {value.kind}, not a condition;"
            " compare it, as in lr > 0.01"
        )
    return value.expr.cast(pl.Boolean)


class _Parser:
    """Recursive descent, from OR down to a column: each method reads one level of precedence."""

    def __init__(
        self, text: str, tokens: Sequence[Token], schema: Mapping[str, pl.DataType]
    ) -> None:
        self._text, self._tokens, self._schema = text, tokens, schema
        self._place = self._nested = self._operators = 0

    def read(self) -> Value:
        """Read all of it."""
        value = self._or()
        if self._next.kind != "end":
            self._wrong("nothing more was expected")
        return value

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _wrong(self, fault: str) -> NoReturn:
        refuse(self._text, self._next.at, fault)

    def _is(self, *words: str) -> bool:
        """Tell whether these words, or one sign, come next."""
        following = self._tokens[self._place : self._place + len(words)]
        return len(following) == len(words) and all(
            token.kind in {"word", "sign"} and token.text.upper() == word
            for token, word in zip(following, words, strict=True)
        )

    def _take(self, *words: str) -> bool:
        if not self._is(*words):
            return False
        self._place += len(words)
        return True

    def _need(self, word: str) -> None:
        if not self._take(word):
            self._wrong(f"{word} was expected")

    def _counted(self, expr: pl.Expr, kind: Kind, start: int) -> Value:
        """Return a value made by an operator; more of them than a stack holds are refused."""
        self._operators += 1
        if self._operators > MOST_OPERATORS:
            raise InvalidInput(
                f"the condition has more than {MOST_OPERATORS} operators; use IN, or two filters"
            )
        return Value(expr, kind, self._text[start : self._tokens[self._place - 1].end])

    def _or(self) -> Value:
        return self._chain(
            "OR", lambda: self._chain("AND", self._not, pl.Expr.__and__), pl.Expr.__or__
        )

    def _chain(
        self, word: str, part: Callable[[], Value], join: Callable[[pl.Expr, pl.Expr], pl.Expr]
    ) -> Value:
        first = part()
        if not self._is(word):
            return first
        parts = [self._truth(first)]
        while self._take(word):
            parts.append(self._truth(part()))
        while len(parts) > 1:  # balanced: polars walks expressions on the stack
            rest = parts[len(parts) & ~1 :]
            parts = [join(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)] + rest
        return Value(parts[0], "truth", word)

    def _truth(self, value: Value) -> pl.Expr:
        if value.kind not in {"truth", "null"}:
            self._wrong(f"{short(value.source)} is a {value.kind}, not a condition")
        return value.expr.cast(pl.Boolean)

    def _not(self) -> Value:
        start = self._next.at
        if self._take("NOT"):
            return self._counted(~self._truth(self._deeper(self._not)), "truth", start)
        return self._comparison()

    def _deeper(self, part: Callable[[], Value]) -> Value:
        self._nested += 1
        if self._nested > MOST_NESTED:
            raise InvalidInput(f"the condition is nested more than {MOST_NESTED} deep")
        value = part()
        self._nested -= 1
        return value

    def _comparison(self) -> Value:
        start = self._next.at
        operand = self._sum()
        while True:
            if self._next.text in _COMPARED and self._next.kind == "sign":
                sign = self._next.text
                self._place += 1
                operand = self._counted(compared(operand, sign, self._sum()), "truth", start)
            elif self._take("IS"):
                operand = self._counted(self._state(operand), "truth", start)
            elif self._is("NOT") or self._is_test():
                negated = self._take("NOT")
                expr = self._test(operand)
                operand = self._counted(~expr if negated else expr, "truth", start)
            else:
                return operand

    def _is_test(self) -> bool:
        return any(map(self._is, ("IN", "BETWEEN", "LIKE", "ILIKE", "REGEXP", "RLIKE", "~", "!~")))

    def _state(self, value: Value) -> pl.Expr:
        """Return what comes after IS."""
        negated = self._take("NOT")
        if self._take("NULL"):
            expr = value.expr.is_null()
        elif self._take("NAN"):
            expr = value.expr.cast(pl.Float64, strict=False).is_nan().fill_null(value=False)
        elif self._is("TRUE") or self._is("FALSE"):
            expr = self._truth(value).eq_missing(
                pl.lit(self._take("TRUE") or not self._take("FALSE"))
            )
        elif self._take("DISTINCT", "FROM"):
            expr = ~compared(value, "<=>", self._sum())
        else:
            self._wrong("NULL, NAN, TRUE or FALSE was expected")
        return ~expr if negated else expr

    def _test(self, operand: Value) -> pl.Expr:
        """Return what comes after a value and before NOT is turned around."""
        if self._take("BETWEEN"):
            low = self._sum()
            self._need("AND")
            return compared(operand, ">=", low) & compared(operand, "<=", self._sum())
        if self._take("IN"):
            return self._among(operand)
        if self._is("LIKE") or self._is("ILIKE"):
            return self._like(operand, ignoring_case=self._next.text.upper() == "ILIKE")
        if any(map(self._is, ("REGEXP", "RLIKE", "~", "!~"))):
            negated = self._is("!~")
            self._place += 1
            matches = self._text_of(operand).str.contains(self._expression())
            return ~matches if negated else matches
        return self._wrong("IN, BETWEEN or LIKE was expected after NOT")

    def _among(self, operand: Value) -> pl.Expr:
        self._need("(")
        if self._is("SELECT"):
            self._wrong("there are no subqueries; write the values")
        values = [self._sum()]
        while self._take(","):
            values.append(self._sum())
        self._need(")")
        constants = [value.constant for value in values]
        if operand.kind == "text" and all(isinstance(constant, str) for constant in constants):
            return operand.expr.is_in(constants)
        if operand.kind == "number" and all(
            isinstance(constant, int | float) for constant in constants
        ):
            numbers = without_nan(operand.expr, "number")
            if any(
                isinstance(constant, int) and abs(constant) > _EXACT_INTEGERS
                for constant in constants
            ):
                return pl.any_horizontal(numbers == constant for constant in constants)
            return numbers.cast(pl.Float64).is_in([*map(float, constants)])
        if len(values) > MOST_NESTED:
            raise InvalidInput(
                f"IN takes at most {MOST_NESTED} values that are no plain numbers or texts"
            )
        return pl.any_horizontal(compared(operand, "=", value) for value in values)

    def _like(self, operand: Value, *, ignoring_case: bool) -> pl.Expr:
        self._place += 1
        signs = {"%": ".*", "_": "."}
        pattern = "".join(signs.get(sign) or re.escape(sign) for sign in self._pattern())
        return self._text_of(operand).str.contains(f"(?s{'i' if ignoring_case else ''})^{pattern}$")

    def _pattern(self) -> str:
        value = self._sum()
        if not isinstance(value.constant, str):
            self._wrong("a pattern in single quotes was expected")
        return value.constant

    def _expression(self) -> str:
        at, pattern = self._next.at, self._pattern()
        try:
            pl.select(pl.lit("").str.contains(pattern))
        except pl.exceptions.PolarsError:
            refuse(self._text, at, f"{short(pattern)} is no regular expression that can be matched")
        return pattern

    def _text_of(self, value: Value) -> pl.Expr:
        if value.kind not in {"text", "null"}:
            self._wrong(f"{short(value.source)} is a {value.kind}, not text")
        return value.expr.cast(pl.String)

    def _sum(self) -> Value:
        return self._arithmetic(
            ("+", "-"), lambda: self._arithmetic(("*", "//", "/", "%"), self._unary)
        )

    def _arithmetic(self, signs: Sequence[str], part: Callable[[], Value]) -> Value:
        start = self._next.at
        operand = part()
        while self._next.kind == "sign" and self._next.text in signs:
            sign = self._next.text
            self._place += 1
            right = part()
            a, b = (self._number(value) for value in (operand, right))
            operand = self._counted(ARITHMETIC[sign](a, b), "number", start)
        return operand

    def _number(self, value: Value) -> pl.Expr:
        if value.kind not in {"number", "truth", "null"}:
            self._wrong(f"{short(value.source)} is a {value.kind}, not a number")
        return value.expr.cast(pl.Int64) if value.kind != "number" else value.expr

    def _unary(self) -> Value:
        start = self._next.at
        if self._take("-"):
            value = self._deeper(self._unary)
            return self._counted(-self._number(value), "number", start)
        if self._take("+"):
            return self._deeper(self._unary)
        value = self._primary()
        while self._take("::"):
            value = self._cast(value, start)
        return value

    def _cast(self, value: Value, start: int) -> Value:
        kind, dtype = CASTS.get(self._next.text.upper(), ("null", None))
        if dtype is None:
            self._wrong("a type was expected: INT, FLOAT, TEXT or BOOL")
        self._place += 1
        return self._counted(value.expr.cast(dtype, strict=False), kind, start)

    def _primary(self) -> Value:
        token = self._next
        self._place += 1
        if token.kind == "number":
            return number_of(token.text)
        if token.kind == "text":
            text = token.text[1:-1].replace("''", "'")
            return Value(pl.lit(text), "text", token.text, text)
        if token.kind == "name":
            quoted = token.text[:1] in {'"', "`"}
            return self._column(token.text[1:-1].replace('""', '"') if quoted else token.text)
        if token.kind == "word":
            return self._word(token)
        if token.text != "(":
            self._place -= 1
            self._wrong("a column or a value was expected")
        value = self._deeper(self._or)
        self._need(")")
        return value

    def _word(self, token: Token) -> Value:
        """Return what a word stands for: a function, a constant, CASE, or a column."""
        word = token.text.upper()
        if self._is("("):
            return self._call(token)
        if token.text in self._schema:
            return self._column(token.text)
        if word in CONSTANTS:
            return Value(*CONSTANTS[word], token.text)
        if word == "CASE":
            return self._deeper(self._case)
        if word in _RESERVED:
            self._place -= 1
            self._wrong("a column or a value was expected")
        return self._column(token.text)

    def _case(self) -> Value:
        start = self._next.at
        cases: list[tuple[pl.Expr, Value]] = []
        while self._take("WHEN"):
            when = self._truth(self._or())
            self._need("THEN")
            cases.append((when, self._or()))
        otherwise = self._or() if self._take("ELSE") else Value(pl.lit(None), "null", "NULL")
        self._need("END")
        kinds = {value.kind for value in (*(value for _, value in cases), otherwise)} - {"null"}
        if not cases or len(kinds) > 1:
            self._wrong("CASE needs WHEN … THEN, and values of one kind")
        expr = reduce(
            lambda rest, case: pl.when(case[0]).then(case[1].expr).otherwise(rest),
            cases[::-1],
            otherwise.expr,
        )
        return self._counted(expr, next(iter(kinds), "null"), start)

    def _call(self, token: Token) -> Value:
        name = token.text.upper()
        self._place += 1
        if name == "CAST":
            value = self._deeper(self._or)
            self._need("AS")
            value = self._cast(value, token.at)
            self._need(")")
            return value
        function = FUNCTIONS.get(name)
        if function is None:
            refuse(
                self._text, token.at, f"there is no function {token.text}{nearest(name, FUNCTIONS)}"
            )
        values: list[Value] = []
        while not self._take(")"):
            if values:
                self._need(",")
            values.append(self._deeper(self._or))
        kinds = [value.kind for value in values]
        if not function.takes(kinds):
            refuse(self._text, token.at, f"{name} takes {function.arguments_words}")
        constants = [value.constant for value in values]
        expr, kind = function.apply([value.expr for value in values], kinds, constants)
        return self._counted(expr, kind, token.at)

    def _column(self, name: str) -> Value:
        if name not in self._schema:
            alike = [
                prefix + name for prefix in ("final/", "best/") if prefix + name in self._schema
            ]
            hint = (
                f" (a metric has {' and '.join(alike)})" if alike else nearest(name, self._schema)
            )
            hint = "; write IS NAN" if name.lower() == "nan" else hint
            if name in ANNOTATION_COLUMNS:
                hint = f"; `runslot {name.removesuffix('s')}` writes some"
            hint = hint or f"; a text stands in quotes: '{name}'"
            raise InvalidInput(f"no run has a column {name!r}{hint}")
        return Value(pl.col(name), kind_of(self._schema[name]), name)
