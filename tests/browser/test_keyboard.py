"""The first view by keyboard alone: every hand is reached, has a name and shows where the focus is, and does its work."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from .test_answer import DRAWN, LINES, labels
from .test_page import Page
from .test_selection import ADDRESS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

FOCUS = "return (document.activeElement.dataset || {}).focus || ''"
OUTLINE = """const style = getComputedStyle(document.activeElement);
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1 && document.activeElement.getClientRects().length > 0"""
MOST_STEPS = 120


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Page]:
    page = Page(chromium, address, "/")
    page.until(DRAWN)
    yield page
    chromium.get("about:blank")


def keys(page: Page, *strokes: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page.driver).send_keys(*strokes).perform()


def tab_to(page: Page, focus: str) -> None:
    """Go on by Tab until a hand has the focus."""
    from selenium.webdriver.common.keys import Keys

    for _ in range(MOST_STEPS):
        if page.run(FOCUS) == focus:
            return
        keys(page, Keys.TAB)
    raise AssertionError(f"Tab never comes to {focus}")


def test_tab_comes_to_every_hand_each_with_a_name_and_where_it_is_seen(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    every = page.run(
        """return [...document.querySelectorAll('[data-focus]')].filter((e) => e.getClientRects().length && !e.disabled && e.checkVisibility())
        .map((e) => e.dataset.focus)"""
    )
    assert len(every) > 30
    reached, nameless, unseen = [], [], []
    for _ in range(MOST_STEPS):
        keys(page, Keys.TAB)
        if page.run("return document.activeElement === document.body"):
            break
        html = page.run("return document.activeElement.outerHTML.slice(0, 160)")
        reached.append(page.run(FOCUS))
        if not page.driver.switch_to.active_element.accessible_name.strip():
            nameless.append(html)
        if not page.run(OUTLINE):
            unseen.append(html)
    assert [focus for focus in every if focus not in reached] == []
    assert nameless == []
    assert unseen == []


def test_keys_become_colour_dash_and_charts_without_a_pointer(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    tab_to(page, "grouping")
    keys(page, Keys.ENTER)
    page.until("return document.getElementById('grouping').open")
    tab_to(page, "way colour")
    keys(page, "l")
    page.until(f"return {ADDRESS.removeprefix('return ')}.get('colour') === 'lr'")
    assert page.run(FOCUS) == "way colour"
    tab_to(page, "way facet")
    keys(page, "h")
    page.until("return document.querySelectorAll('.facet h3').length === 2")
    assert page.run("return document.getElementById('grouping').open")
    keys(page, Keys.ESCAPE)
    assert page.run(FOCUS) == "grouping"
    assert not page.run("return document.getElementById('grouping').open")
    tab_to(page, "channel colour 0.1")
    assert page.run(
        "return [...document.querySelectorAll('.lit-line')].every((e) => e.dataset.line.includes('lr=0.1,'))"
    )
    keys(page, Keys.ENTER)
    page.until(f"return ((() => {{ {LINES} }})()).every((line) => line.includes('lr=0.1,'))")
    assert page.run(FOCUS) == "channel colour 0.1"
    assert page.complaints() == []


def test_columns_go_come_and_stay_at_the_left_without_a_pointer(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    tab_to(page, "columns")
    keys(page, Keys.ENTER)
    tab_to(page, "column chance")
    keys(page, Keys.SPACE)
    page.until("return document.querySelector('td.chance') === null")
    assert page.run(FOCUS) == "column chance"
    keys(page, Keys.SPACE)
    page.until("return document.querySelector('td.chance') !== null")
    tab_to(page, "left chance")
    keys(page, Keys.ENTER)
    page.until(f"return {ADDRESS.removeprefix('return ')}.getAll('left').join() === 'chance'")
    assert (
        page.run("return document.querySelectorAll('#variants thead th')[1].dataset.column")
        == "chance"
    )
    tab_to(page, "column also loss")
    keys(page, Keys.SPACE)
    page.until("return document.querySelector('[data-column=\"also loss\"]') !== null")
    tab_to(page, "columns reset")
    keys(page, Keys.ENTER)
    page.until(f"return {ADDRESS.removeprefix('return ')}.toString() === ''")
    keys(page, Keys.ESCAPE)
    assert not page.run("return document.getElementById('columns').open")
    assert page.complaints() == []


def test_rows_are_ticked_pinned_hidden_and_cleared_without_a_pointer(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    first, second, third, _ = labels(page)
    tab_to(page, f"tick {first}")
    keys(page, Keys.SPACE)
    page.until(f"return ((() => {{ {LINES} }})()).length === 1")
    assert page.run(FOCUS) == f"tick {first}"
    keys(page, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert page.run(FOCUS) == f"tick {third}"
    keys(page, Keys.SPACE)
    page.until("return document.getElementById('comparison') !== null")
    keys(page, Keys.ARROW_UP)
    tab_to(page, f"pin {second}")
    keys(page, Keys.ENTER)
    page.until("return document.querySelector('tr.pinned') !== null")
    assert page.run("return document.querySelector('tr.pinned').dataset.variant") == second
    assert page.run(FOCUS) == f"pin {second}"
    tab_to(page, f"off {third}")
    keys(page, Keys.ENTER)
    page.until("return document.querySelector('tr.off') !== null")
    assert sorted(page.run(LINES)) == sorted([first, second])
    tab_to(page, "clear")
    keys(page, Keys.ENTER)
    page.until(f"return {ADDRESS.removeprefix('return ')}.toString() === ''")
    assert page.complaints() == []


def test_the_cursor_of_the_curves_goes_along_the_steps_without_a_pointer(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    tab_to(page, "cursor ")
    keys(page, Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.run("return document.getElementById('at').textContent") == " at epoch 3"
    own = statistics.mean((1 - 0.7**3) + seed / 50 for seed in (0, 1))
    value = page.run(
        "return document.querySelector('[data-variant=\"lr=0.1, hidden=128\"] .value').textContent"
    )
    assert float(value) == pytest.approx(own, rel=1e-3)
    spoken = page.run("return document.activeElement.getAttribute('aria-valuetext')")
    assert spoken.startswith("epoch 3: ")
    assert "lr=0.1" in spoken
    keys(page, Keys.ENTER)
    page.until(f"return {ADDRESS.removeprefix('return ')}.get('at') === '3'")
    assert page.run(FOCUS) == "cursor "
    keys(page, Keys.ESCAPE)
    page.until(f"return {ADDRESS.removeprefix('return ')}.toString() === ''")
    assert (
        json.loads(page.run("return JSON.stringify(document.querySelectorAll('.fixed').length)"))
        == 0
    )
    assert page.complaints() == []
