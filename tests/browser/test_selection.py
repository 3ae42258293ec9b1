"""What a reader does on the first view: columns, sizes, a cursor, metrics, cells, notes, runs over each other, a search."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .test_answer import DRAWN, LINES, click, labels
from .test_page import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

ADDRESS = "return new URLSearchParams(window.location.search)"


@pytest.fixture(scope="module")
def swept(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the experiment that tests may write words into."""
    place = tmp_path_factory.mktemp("swept") / "runs"
    return Path(shutil.copytree(experiment, place, symlinks=True))


@pytest.fixture(scope="module")
def served(chromium: Any, swept: Path) -> Iterator[str]:
    from .conftest import serving

    with serving(swept) as address:
        yield address
        chromium.get("about:blank")


@pytest.fixture
def page(chromium: Any, served: str) -> Page:
    page = Page(chromium, served, "/")
    page.until(DRAWN)
    return page


def press(page: Page, focus: str) -> None:
    page.run(
        "[...document.querySelectorAll('[data-focus]')].find((e) => e.dataset.focus === arguments[0]).click()",
        focus,
    )


def test_columns_are_chosen_and_back_undoes_it(page: Page, swept: Path) -> None:
    page.run("document.querySelector('#columns summary').click()")
    press(page, "column also loss")
    cell = '[data-variant="lr=0.1, hidden=32"] td:nth-last-child(2)'
    text = page.until(
        f"return document.querySelector('{cell}').textContent.includes('±') || (document.querySelectorAll('[data-column=\"also loss\"]').length && document.querySelector('{cell}').textContent)"
    )
    logs = [
        d for d in swept.glob("*/*/lr=0.1,hidden=32/run_*/progress.csv") if "latest" not in d.parts
    ]
    rows = [log.read_text().splitlines() for log in logs]
    losses = [float(lines[-1].split(",")[lines[0].split(",").index("loss")]) for lines in rows]
    assert float(
        page.run(f"return document.querySelector('{cell}').textContent").split()[0]
    ) == pytest.approx(statistics.mean(losses), rel=1e-4), text
    press(page, "column chance")
    page.until("return document.querySelector('td.chance') === null")
    assert page.run(f"{ADDRESS}.getAll('less').join()") == "chance"
    page.back()
    page.until("return document.querySelector('td.chance') !== null")
    page.back()
    page.until("return document.querySelector('[data-column=\"also loss\"]') === null")
    assert page.complaints() == []


def test_the_divider_goes_by_keyboard_and_drag(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    width = "return document.querySelector('#curves').clientWidth"
    half = page.run(width)
    page.driver.find_element(By.ID, "divider").send_keys(Keys.ARROW_LEFT)
    page.until("return document.querySelector('.both').dataset.size === 'curves'")
    assert page.run(width) > 1.3 * half
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT + Keys.ARROW_RIGHT)
    page.until("return document.querySelector('.both').dataset.size === 'table'")
    assert page.run(width) < half
    handle = page.driver.find_element(By.ID, "divider")
    ActionChains(page.driver).click_and_hold(handle).move_by_offset(-250, 0).release().perform()
    page.until("return document.querySelector('.both').dataset.size === 'half'")
    assert page.complaints() == []


def test_the_cursor_shows_the_values_at_a_step_and_a_click_keeps_them(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    value = (
        "return document.querySelector('[data-variant=\"lr=0.1, hidden=128\"] .value').textContent"
    )
    final = page.run(value)
    chart = page.driver.find_element(By.CSS_SELECTOR, "#curves svg")
    ActionChains(page.driver).move_to_element_with_offset(chart, -150, 0).perform()
    head = page.until("return document.getElementById('at').textContent")
    step = int(head.split()[-1])
    own = statistics.mean((1 - 0.7**step) + seed / 50 for seed in (0, 1))
    assert float(page.run(value)) == pytest.approx(own, rel=1e-3)
    ActionChains(page.driver).click().perform()
    page.until(f"return {ADDRESS.removeprefix('return ')}.get('at') === '{step}'")
    page.run("document.querySelector('#find').focus()")
    assert page.run("return document.getElementById('unfix').textContent") == f"epoch {step} ×"
    page.keep("answer-cursor")
    press(page, "unfix")
    page.until(f"{value} === {json.dumps(final)}".replace("return ", "return (", 1) + ")")
    assert page.complaints() == []


def test_all_metrics_stand_beside_each_other_and_one_is_enlarged(page: Page) -> None:
    page.run(
        "[...document.querySelectorAll('nav button')].find((b) => b.textContent === 'Metrics').click()"
    )
    page.until("return document.querySelectorAll('#multiples .tile svg').length === 2")
    assert (
        page.run(
            "return [...document.querySelectorAll('.tile')].map((t) => t.dataset.metric).sort().join()"
        )
        == "accuracy,loss"
    )
    press(page, "big loss")
    page.until("return document.querySelector('.tile.big svg text.name') !== null")
    page.keep("answer-metrics")
    page.run(
        "const f = document.getElementById('find'); f.value = 'acc'; f.dispatchEvent(new Event('input'))"
    )
    page.until("return document.querySelectorAll('.tile').length === 2")
    page.back()
    page.until("return document.querySelector('.tile.big') === null")
    assert page.complaints() == []


def test_a_cell_of_the_heat_map_selects_its_variants(page: Page) -> None:
    cells = "return [...document.querySelectorAll('#heat .cell')].map((c) => [c.dataset.cell, c.textContent])"
    own = {}
    for label in labels(page):
        lr, hidden = (part.partition("=")[2] for part in label.split(", "))
        own[f"{lr}|{hidden}"] = page.run(
            'return document.querySelector(`[data-variant="${arguments[0]}"] .value`).textContent',
            label,
        ).split()[0]
    for cell, text in page.run(cells):
        assert float(text) == pytest.approx(float(own[cell]), rel=0.01, abs=0.02)
    press(page, "cell 0.1|32")
    assert page.until(LINES) == ["lr=0.1, hidden=32"]
    press(page, "cell 0.01|32")
    page.until("return document.querySelectorAll('#comparison thead th').length === 3")
    click(page, ".eye", "lr=0.1, hidden=32")
    page.until(
        "return [...document.querySelectorAll('#heat .cell')].every((c) => c.dataset.cell !== '0.1|32')"
    )
    for lines in (2, 1):
        page.back()
        page.until(f"return ((() => {{ {LINES} }})()).length === {lines}")
    assert page.complaints() == []


def test_a_cell_says_what_it_pools_and_has_no_mean_where_a_run_diverged(
    chromium: Any, tmp_path: Path
) -> None:
    from .conftest import serving

    for lr, hidden, act in itertools.product((0.1, 0.2), (32, 64), ("relu", "tanh")):
        for seed in range(2):
            run = tmp_path / "runs" / f"{lr}_{hidden}_{act}" / f"s_{seed}"
            run.mkdir(parents=True)
            variant = {"lr": lr, "hidden": hidden, "act": act, "seed": seed}
            (run / "variant.json").write_text(json.dumps(variant))
            end = "nan" if (lr, hidden, act, seed) == (0.1, 32, "tanh", 0) else str(lr)
            (run / "progress.csv").write_text(f"epoch,accuracy\n0,0.5\n1,{end}\n2,{end}\n")
    with serving(tmp_path / "runs") as address:
        page = Page(chromium, address, "/")
        page.until(DRAWN)
        page.open("/?hx=lr&hy=hidden")
        page.until(DRAWN)
        cells = dict(
            page.run(
                "return [...document.querySelectorAll('#heat .cell')].map((c) => [c.dataset.cell, c.textContent])"
            )
        )
        assert cells["0.1|32"] == "×"
        assert float(cells["0.1|64"]) == pytest.approx(0.1)
        heading = page.run("return document.querySelector('#heat h2 small').textContent")
        assert heading == " pooled over: act"
        assert page.complaints() == []
        chromium.get("about:blank")


HOSTILE = "<img src=x onerror='window.pwned=1'>"


def test_tags_and_notes_are_written_where_they_are_shown(page: Page, swept: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    label = "lr=0.01, hidden=128"
    press(page, f"pen {label}")
    page.until("return document.activeElement.dataset.focus === 'edit tags'")
    page.driver.switch_to.active_element.send_keys("<b>")
    page.run("document.querySelector('.edit button[type=submit]').click()")
    page.until(
        "return document.querySelector('.edit [role=alert]').textContent.includes('is no tag')"
    )
    page.driver.switch_to.active_element.send_keys(Keys.BACKSPACE)
    page.run(
        "const f = document.querySelector('[data-focus=\"edit tags\"]'); f.value = 'keep paper'"
    )
    page.run("document.querySelector('[data-focus=\"edit note\"]').value = arguments[0]", HOSTILE)
    page.run("document.querySelector('.edit button[type=submit]').click()")
    tags = f"return [...document.querySelectorAll('[data-variant=\"{label}\"] .tag')].map((t) => t.textContent).join()"
    page.until(tags.replace("return ", "return (") + ") === 'keep,paper'")
    assert page.run("return document.querySelector('.note').title") == HOSTILE
    (file,) = (f for f in swept.rglob("annotations.jsonl") if "latest" not in f.parts)
    assert json.loads(file.read_text().splitlines()[-1])["place"] == "lr=0.01,hidden=128"
    page.run(
        "const f = document.getElementById('find'); f.value = 'keep'; f.dispatchEvent(new Event('input'))"
    )
    page.until("return document.querySelectorAll('tr[data-variant]').length === 1")
    assert page.run("return window.pwned") is None
    page.keep("answer-tags")
    assert all("400" in words for words in page.complaints())  # the refused tag


def test_picked_runs_are_laid_over_each_other(page: Page) -> None:
    page.open("/?view=runs")
    page.until("return document.querySelectorAll('#all-runs tbody tr').length === 8")
    page.run(
        "[0, 3, 5].forEach((i) => document.querySelectorAll('#all-runs tbody input')[i].click())"
    )
    page.until("return document.querySelectorAll('#overlay svg g[data-line]').length === 3")
    text = page.run("return document.querySelector('#overlay table').innerText")
    assert "lr" in text
    assert "seed" in text
    page.keep("answer-overlay")
    page.back()
    page.until("return document.querySelector('#overlay a[href^=\"/compare\"]') !== null")
    assert page.complaints() == []


def test_the_page_of_plots_is_light_and_its_table_comes_when_it_is_opened(page: Page) -> None:
    page.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    page.open("/plots?kind=heat&across=lr&down=hidden")
    page.plots()
    sizes = dict(
        page.run(
            "return performance.getEntriesByType('resource').map((e) => [e.name, e.transferSize])"
        )
    )
    assert sum(sizes.values()) < 1_500_000
    assert not any("ag_grid" in name for name in sizes)
    assert page.run("return document.querySelectorAll('#panels .barlayer .point').length") == 4
    page.table(8)
    assert page.complaints() == []


SEARCHED = """
import time
from runslot import logger

def train(variant):
    for step in range(1, 4):
        time.sleep(0.1)
        logger.record_dict({"step": step, "loss": abs(variant["lr"] - 0.3) + 1 / step})
        logger.dump_tabular()
"""


def test_a_search_shows_its_trials_its_rungs_and_what_mattered(
    chromium: Any, tmp_path: Path, serve: Callable[[Path], Any]
) -> None:
    (tmp_path / "fit.py").write_text(SEARCHED)
    words = (
        "--trials 8 --sampler random --metric loss --mode min --prune asha:first=1,eta=2,last=3 -q"
    )
    space = ["--search", "lr=uniform(0,1)", "--search", "act=choice(relu,gelu)"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "runslot", "run", "fit.py:train", *space, *words.split()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with serve(tmp_path / "runs") as address:
        page = Page(chromium, address, "/")
        page.until("return document.querySelectorAll('#search-history [data-trial]').length === 8")
        assert (
            page.run("return document.querySelectorAll('#search-parallel path[data-trial]').length")
            == 8
        )
        assert page.run("return document.querySelectorAll('#search-rungs [data-fate]').length") > 8
        page.until(
            "return document.querySelector('#importance') || document.querySelector('#search-importance').innerText.includes('too few')"
        )
        assert "lowest loss" in page.run(DRAWN)
        page.run("document.getElementById('search').scrollIntoView()")
        page.keep("answer-search")
        page.run(
            "document.querySelector('#search-history circle').dispatchEvent(new Event('click'))"
        )
        page.until("return window.location.pathname === '/run'")
        assert page.complaints() == []


def test_a_text_is_offered_as_a_column_and_long_names_stay_in_their_place(
    chromium: Any, tmp_path: Path, serve: Callable[[Path], Any]
) -> None:
    for i in range(40):
        run = tmp_path / "runs" / f"v{i}" / "run_0"
        run.mkdir(parents=True)
        (run / "variant.json").write_text(
            json.dumps({"note": "long " * 40 + str(i), "flag": i % 2 == 0, "seed": 0})
        )
        score = ("nan", "inf", 0.5)[i] if i < 3 else i / 40
        (run / "progress.csv").write_text(
            f"epoch,score,end\n0,0.1,going\n1,{score},{'early' if i % 2 else HOSTILE}\n"
        )
    with serve(tmp_path / "runs") as address:
        page = Page(chromium, address, "/")
        page.open("/?y=end")
        assert "holds text" in page.until(
            "return (document.querySelector('#message') || {}).textContent"
        )
        page.run("document.querySelector('#message button').click()")
        page.until("return document.querySelector('[data-column=\"also end\"]') !== null")
        assert "early ×1" in page.run("return document.querySelector('#variants').innerText")
        for width in (390, 1280):
            page.open("/", width, 800)
            page.until(DRAWN)
            assert page.run("return document.documentElement.scrollWidth") <= width
        page.until("return document.querySelectorAll('tr[data-variant]').length === 20")
        page.run("document.getElementById('more').click()")
        page.until("return document.querySelectorAll('tr[data-variant]').length === 40")
        assert page.run("return window.pwned") is None
        assert page.complaints() == []


def test_an_open_answer_says_that_its_server_is_gone_and_goes_on_when_it_is_back(
    chromium: Any, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runslot.view.web.server import bind

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def start(port: int) -> tuple[Any, Callable[[], None]]:
        served = bind([copied], port=port)
        thread = threading.Thread(target=served.run)
        thread.start()
        return served, lambda: (served.server.shutdown(), thread.join())  # type: ignore[func-returns-value]

    served, stop = start(0)
    page = Page(chromium, served.address, "/")
    page.until(DRAWN)
    stop()
    page.until(
        "return (document.getElementById('gone') || {textContent: ''}).textContent.includes('does not answer')"
    )
    again, stop = start(served.server.port)
    assert again.address == served.address
    page.until("return document.getElementById('gone').hidden")
    shutil.rmtree(copied)
    page.until(
        "return (document.querySelector('#message') || {textContent: ''}).textContent.includes('No run can be read')"
    )
    chromium.get("about:blank")
    stop()
