"""What makes a row, a colour, a dash and a chart of the first view, and which columns stay at its left."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runslot.view.data.choices import Choices
from runslot.view.web.export import export_page

from .test_answer import DRAWN, finals, labels
from .test_page import Page
from .test_selection import ADDRESS, press

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

STROKES = """return JSON.stringify([...document.querySelectorAll('#curves svg g[data-line]')].map((line) => {
    const path = [...line.querySelectorAll('path[stroke]')].pop();
    return [line.dataset.line, path.getAttribute('stroke'), path.getAttribute('stroke-dasharray'), line.closest('.facet').dataset.facet || ''] }))"""
HEADS = "return [...document.querySelectorAll('#variants thead th')].map((th) => th.dataset.column)"


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Page]:
    page = Page(chromium, address, "/")
    page.until(DRAWN)
    yield page
    chromium.get("about:blank")


def choose(page: Page, control: str, value: str) -> None:
    """Choose in a control as a reader does."""
    page.run(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('change'))",
        control,
        value,
    )


def strokes(page: Page) -> list[tuple[str, str, str | None, str]]:
    return [tuple(line) for line in json.loads(page.run(STROKES))]


def test_a_key_is_the_colour_another_the_dash_and_a_third_way_are_charts(page: Page) -> None:
    before = strokes(page)
    assert len({(colour, dash) for _, colour, dash, _ in before}) == 4
    choose(page, "way-colour", "lr")
    choose(page, "way-dash", "hidden")
    assert page.run(f"{ADDRESS}.toString()") == "colour=lr&dash=hidden"
    colours, dashes = {}, {}
    for label, colour, dash, _ in strokes(page):
        lr, hidden = (part.split("=")[1] for part in label.split(", "))
        colours.setdefault(lr, set()).add(colour)
        dashes.setdefault(hidden, set()).add(dash)
    for strokes_of in (colours, dashes):
        first, second = strokes_of.values()
        assert (len(first), len(second)) == (1, 1)
        assert first != second
    told = page.run(
        "return [...document.querySelectorAll('#legend .channel')].map((c) => c.innerText.replace(/\\s+/g, ' ')).join('; ')"
    )
    assert told == "lr 0.01 0.1; hidden 32 128"
    # The strokes say it, so no name stands at the ends.
    assert page.run("return document.querySelectorAll('#curves text.name').length") == 0
    page.keep("answer-channels")
    press(page, "channel colour 0.1")
    assert {label for label, *_ in strokes(page)} == {"lr=0.1, hidden=32", "lr=0.1, hidden=128"}
    page.back()
    page.until("return document.querySelectorAll('#curves svg g[data-line]').length === 4")
    choose(page, "way-colour", "")
    choose(page, "way-dash", "")
    choose(page, "way-facet", "lr")
    facets = {label: facet for label, _, _, facet in strokes(page)}
    assert facets == {label: label.split(", ")[0] for label in facets}
    ticks = page.run(
        "return [...document.querySelectorAll('.facet')].map((f) => [...f.querySelectorAll('text.tick')].map((t) => t.textContent).join())"
    )
    assert len(ticks) == 2
    assert ticks[0] == ticks[1]  # one scale for both
    page.keep("answer-facets")
    for _ in range(5):
        page.back()
    page.until(f"return {ADDRESS.removeprefix('return ')}.toString() === ''")
    page.until("return document.querySelectorAll('#curves text.name').length === 4")
    assert strokes(page) == before
    assert page.complaints() == []


def test_a_key_that_nobody_groups_by_is_mixed_and_tells_its_values(
    page: Page, experiment: Path
) -> None:
    press(page, "group hidden")
    page.until("return document.querySelectorAll('#variants tbody tr[data-variant]').length === 2")
    own: dict[str, list[float]] = {}
    for label, values in finals(experiment).items():
        own.setdefault(label.split(", ")[0], []).extend(values)
    assert labels(page) == sorted(own, key=lambda label: -statistics.mean(own[label]))
    for label in labels(page):
        cell = page.run(
            'return document.querySelector(`[data-variant="${arguments[0]}"] .mean`).textContent',
            label,
        )
        digits = len(cell.split(" ")[0].partition(".")[2])
        assert float(cell.split(" ")[0]) == round(statistics.mean(own[label]), digits)
    mixed = page.run(
        "return [...document.querySelectorAll('abbr.mixed')].map((a) => [a.textContent, a.title])"
    )
    assert mixed == [["mixed: 2 values", "32, 128"]] * 2
    assert "pooled over: hidden" in page.run("return document.getElementById('account').innerText")
    page.keep("answer-mixed")
    page.back()
    page.until("return document.querySelectorAll('#variants tbody tr[data-variant]').length === 4")
    assert page.run("return document.querySelector('abbr.mixed')") is None
    press(page, "column also seed")
    page.until("return document.querySelectorAll('abbr.mixed').length === 4")
    assert page.run("return document.querySelector('abbr.mixed').title") == "0, 1"
    page.open("/?group=nothing&colour=nothing&left=nothing")
    message = page.until("return (document.getElementById('message') || {}).innerText")
    assert "no run has a column 'nothing'" in message
    assert "Show all runs" in message
    assert page.complaints() == []


def test_columns_stay_at_the_left_by_button_and_by_drag(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    usual = page.run(HEADS)
    press(page, "left chance")
    assert page.run(HEADS)[1] == "chance"
    assert page.run(f"{ADDRESS}.getAll('left').join()") == "chance"
    stays = """const s = document.querySelector('.variants .scroll'), t = s.firstChild; t.style.width = '3000px'; s.scrollLeft = 400;
        const th = document.querySelector('th[data-column="chance"]'); const at = th.getBoundingClientRect().left - s.getBoundingClientRect().left;
        const own = document.querySelector('th.hands').getBoundingClientRect().width; t.style.width = ''; return Math.abs(at - own - 1) < 4"""
    assert page.run(stays)
    chart, hands = (
        page.driver.find_element(By.CSS_SELECTOR, selector)
        for selector in ("th[data-column='delta']", "th.hands")
    )
    ActionChains(page.driver).drag_and_drop(chart, hands).perform()
    page.until(f"return {ADDRESS.removeprefix('return ')}.getAll('left').join() === 'delta,chance'")
    assert page.run(HEADS)[1:3] == ["delta", "chance"]
    page.back()
    page.back()
    page.until(f"return {ADDRESS.removeprefix('return ')}.getAll('left').length === 0")
    assert page.run(HEADS) == usual
    assert page.complaints() == []


def test_the_eye_of_the_head_takes_all_or_none_into_the_plots(page: Page) -> None:
    lines = "return document.querySelectorAll('#curves svg g[data-line]').length"
    eyes = "const e = document.querySelector('.eyes'); e.value = arguments[0]; e.dispatchEvent(new Event('change'))"
    assert page.run(lines) == 4
    page.run(eyes, "none")
    assert page.run(lines) == 0
    page.run(eyes, "all")
    assert page.run(lines) == 4
    assert page.complaints() == []


def test_a_file_lays_picked_runs_over_each_other_with_their_curves(
    chromium: Any, experiment: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out.html"
    export_page(file, [experiment], Choices())
    page = Page.__new__(Page)
    page.driver, page.base = chromium, file.as_uri()
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get(f"{file.as_uri()}#view=runs")
    page.until("return document.querySelectorAll('#all-runs tbody tr').length === 8")
    boxes = "[...document.querySelectorAll('#all-runs tbody input')]"
    page.run(f"{boxes}[0].click(); {boxes}[5].click()")
    page.until("return document.querySelectorAll('#overlay svg g[data-line] path').length >= 2")
    page.keep("file-runs")
    assert [words for words in page.complaints() if "favicon" not in words] == []
