"""The page that puts two runs side by side: what differs in their settings, files and code.

`runslot.view.web.app` shows it at `/compare`.
"""

from __future__ import annotations

from typing import Any

from dash import html

from runslot.errors import InvalidInput
from runslot.results.results import Results
from runslot.results.text.difference import difference
from runslot.results.text.labels import text_of_value
from runslot.view.web.run_page import badge, parameter_of, row_of, run_address
from runslot.view.web.texts import Texts

_MOST_CHARACTERS = 20_000


def comparison_page(results: Results, query: str, texts: Texts) -> list[Any]:
    """Return the content of the page that compares the runs `a` and `b` of an address."""
    first, second = (row_of(results, parameter_of(query, side)) for side in "ab")
    for row in (first, second):
        foreign = texts.foreign(texts.directory(row["path"]))
        if foreign:
            raise InvalidInput(
                f"{row['run']} has links out of the directories that are shown"
                f" ({', '.join(foreign)})"
            )
    differences = difference(first["path"], second["path"])
    parts: list[Any] = [
        html.Nav(
            html.A("← All runs", href="/", className="rs-export"), style={"marginBottom": "0.8rem"}
        ),
        html.H1("Two runs", style={"fontSize": "1.2rem"}),
    ]
    heads = [
        html.Td([html.A(row["run"], href=run_address(row["run"])), html.Br(), badge(row["state"])])
        for row in (first, second)
    ]
    for part, values in differences.parts.items():
        if not values:
            continue
        rows = [
            html.Tr([html.Th(key, scope="row"), html.Td(_cell(a, b)), html.Td(_cell(b, a))])
            for key, (a, b) in values.items()
        ]
        table = html.Table(
            [html.Thead(html.Tr([html.Td(), *heads])), html.Tbody(rows)],
            className="rs-pairs rs-two",
        )
        parts.append(
            html.Section(
                [html.H2(part.capitalize()), html.Div(table, style={"overflowX": "auto"})],
                className="rs-card",
                style={"marginTop": "0.9rem"},
            )
        )
    same = [part for part, values in differences.parts.items() if not values]
    if same:
        parts.append(html.P(f"No difference in: {', '.join(same)}.", className="rs-notes"))
    return parts


def _cell(value: Any, other: Any) -> str:
    """Return a value; of a text of several lines only the lines that the other one does not
    have."""
    text = text_of_value(value).strip("\n")
    lines = text.splitlines()
    if len(lines) <= 1 or other is None:
        return text[:_MOST_CHARACTERS]
    other_lines = set(str(other).splitlines())
    return (
        "\n".join(line for line in lines if line not in other_lines)[:_MOST_CHARACTERS]
        or "(the same lines, and fewer)"
    )
