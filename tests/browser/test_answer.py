"""The page that opens first, in a real browser: the answer, what selection does to it, and the file that travels."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runslot.view.data.choices import Choices
from runslot.view.web.export import export_page

from .test_page import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

DRAWN = "return document.querySelector('#verdict') !== null && document.querySelector('#verdict').textContent"
ROWS = """return JSON.stringify([...document.querySelectorAll('#variants tbody tr[data-variant]')].map((row) => ({
    label: row.dataset.variant, mean: row.querySelector('.mean').textContent, chance: row.querySelector('.chance').textContent,
    delta: row.querySelector('.delta').textContent, off: row.className.includes('off') })))"""
LINES = """return [...document.querySelectorAll('#curves svg g[data-line]')].map((line) => line.dataset.line)"""
T_975_1 = 12.706204736
"""Of Student's t with one degree of freedom: two seeds a variant."""


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Page]:
    page = Page(chromium, address, "/")
    page.until(DRAWN)
    yield page
    chromium.get("about:blank")


def rows(page: Page) -> list[dict[str, Any]]:
    return list(json.loads(page.run(ROWS)))


def labels(page: Page) -> list[str]:
    return [row["label"] for row in rows(page)]


def click(page: Page, hand: str, label: str) -> None:
    """Click the box, pin or eye of a variant."""
    page.run(
        'document.querySelector(`[data-variant="${arguments[1]}"] ${arguments[0]}`).click()',
        hand,
        label,
    )


def finals(experiment: Path) -> dict[str, list[float]]:
    """Compute of each variant the final values from its files alone."""
    values: dict[str, list[float]] = {}
    for log in sorted(experiment.glob("*/*/*/run_*/progress.csv")):
        if "latest" in log.parts:
            continue
        variant = json.loads((log.parent / "variant.json").read_text())
        names = log.read_text().splitlines()
        value = float(names[-1].split(",")[names[0].split(",").index("accuracy")])
        label = f"lr={variant['lr']}, hidden={variant['hidden']}"
        values.setdefault(label, []).append(value)
    return values


def test_it_opens_with_the_answer_whose_numbers_are_an_own_computations(
    page: Page, experiment: Path
) -> None:
    own = finals(experiment)
    order = sorted(own, key=lambda label: -statistics.mean(own[label]))
    assert labels(page) == order
    for row in rows(page):
        values = own[row["label"]]
        mean, width = (float(part) for part in row["mean"].split(" ± "))
        half = T_975_1 * statistics.stdev(values) / math.sqrt(2)
        assert width == pytest.approx(half, rel=0.06)
        assert mean == float(
            f"{statistics.mean(values):.{len(row['mean'].split(' ')[0].partition('.')[2])}f}"
        )
    sentence = page.run(DRAWN)
    assert sentence.startswith(f"{order[0]} leads with ")
    assert sorted(page.run(LINES)) == sorted(order)
    assert page.run("return document.getElementById('states').textContent") == "8 succeeded"
    assert "token" not in page.driver.current_url
    page.keep("answer")
    assert page.complaints() == []


def test_the_first_view_is_small_and_all_of_it_comes_from_this_server(page: Page) -> None:
    sizes = page.run(
        "return performance.getEntriesByType('resource').map((e) => [e.name, e.transferSize])"
    )
    host = page.driver.current_url.split("/")[2]
    assert [name for name, _ in sizes if not name.startswith((f"http://{host}/", "data:"))] == []
    assert sum(size for _, size in sizes) < 150_000


def test_ticking_pinning_and_hiding_drive_curves_and_comparison_and_back_undoes_them(
    page: Page,
) -> None:
    first, second, third, _ = labels(page)
    click(page, "input", first)
    click(page, "input", third)
    assert sorted(page.until(f"{LINES}")) == sorted([first, third])
    compared = page.run("return document.getElementById('comparison').innerText")
    assert "2 variants side by side" in compared
    click(page, ".pin", second)
    page.until("return document.querySelector('tr.pinned') !== null")
    assert labels(page)[0] == second
    assert rows(page)[0]["delta"] == ""
    assert rows(page)[1]["delta"].startswith("+")
    assert sorted(page.run(LINES)) == sorted([first, second, third])
    click(page, ".eye", third)
    assert sorted(page.run(LINES)) == sorted([first, second])
    assert [row["off"] for row in rows(page) if row["label"] == third] == [True]
    query = page.query()
    page.open("/" + query)
    page.until(DRAWN)
    assert sorted(page.run(LINES)) == sorted([first, second])
    page.back()
    page.until(f"return ((() => {{ {LINES} }})()).length === 3")
    page.back()
    page.until("return document.querySelector('tr.pinned') === null")
    page.back()
    page.until("return document.getElementById('comparison') === null")
    assert page.complaints() == []


def test_the_selection_goes_with_the_reader_to_the_plots(page: Page) -> None:
    first, second, *_ = labels(page)
    click(page, "input", first)
    click(page, "input", second)
    href = page.run(
        "return [...document.querySelectorAll('#comparison a')].find((a) => a.textContent === 'scores')"
        ".getAttribute('href')"
    )
    page.open(href)
    page.plots()
    page.until("return document.getElementById('counted').textContent === '4 runs of 8'")


def test_variants_are_searched_sorted_and_unfolded_by_keyboard(page: Page) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    field = page.driver.find_element(By.ID, "find")
    field.send_keys("lr=0.1")
    page.until("return document.querySelectorAll('tr[data-variant]').length === 2")
    assert page.run("return document.activeElement.id") == "find"
    page.driver.switch_to.active_element.send_keys(Keys.BACKSPACE * 6)
    page.until("return document.querySelectorAll('tr[data-variant]').length === 4")
    head = page.driver.find_element(By.CSS_SELECTOR, "[data-focus='order hidden']")
    head.send_keys(Keys.ENTER)
    page.until("return document.querySelector('[aria-sort=ascending]') !== null")
    assert [label.partition("hidden=")[2] for label in labels(page)] == ["32", "32", "128", "128"]
    label = labels(page)[0]
    fold = page.driver.find_element(By.CSS_SELECTOR, f"[data-focus='fold {label}']")
    fold.send_keys(Keys.ENTER)
    page.until("return document.querySelectorAll('tr.runs li').length === 2")
    assert page.run("return document.activeElement.dataset.focus") == f"fold {label}"
    href = page.run("return document.querySelector('tr.runs a').getAttribute('href')")
    page.open(href)
    page.until("return document.body.innerText.includes('Outcome')")


def test_every_control_of_the_answer_has_a_name(page: Page) -> None:
    nameless = page.run("""return [...document.querySelectorAll('button, a, input, select')].filter((e) =>
        !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels[0] && e.labels[0].textContent)))
        .map((e) => e.outerHTML)""")
    assert nameless == []


def test_all_runs_stand_one_click_deeper(page: Page) -> None:
    page.run(
        "[...document.querySelectorAll('nav button')].find((b) => b.textContent === 'Runs').click()"
    )
    page.until("return document.querySelectorAll('#all-runs tbody tr').length === 8")
    assert page.query() == "?view=runs"
    assert page.run("return document.getElementById('counted').textContent") == "8 of 8 runs"
    page.keep("answer-runs")
    page.back()
    page.until(DRAWN)


def test_another_metric_is_another_answer_and_an_unknown_one_is_said(page: Page) -> None:
    page.run("""const select = document.getElementById('metric'); select.value = 'loss';
        select.dispatchEvent(new Event('change'))""")
    page.until("return document.querySelector('#verdict').textContent.includes('the same loss')")
    assert page.query() == "?y=loss"
    page.open("/?y=nothing")
    assert "no run has a metric" in page.until(
        "return (document.querySelector('#message') || {}).textContent"
    )
    page.open("/?where=lr+%3E+5")
    assert "No run passes the filters" in page.until(
        "return (document.querySelector('#message') || {}).textContent"
    )


def test_an_address_of_the_plots_leads_to_the_plots(page: Page) -> None:
    page.open("/?kind=bars&series=lr")
    page.plots()
    assert page.run("return window.location.pathname") == "/plots"
    assert sorted(page.query()[1:].split("&")) == ["kind=bars", "series=lr"]


def test_a_sweep_that_begins_and_goes_on_shows_without_a_reload(
    chromium: Any, tmp_path: Path, serve: Callable[[Path], Any]
) -> None:
    root = tmp_path / "early"
    root.mkdir()
    with serve(root) as address:
        page = Page(chromium, address, "/")
        page.until(
            "return (document.querySelector('#message') || {textContent: ''}).textContent.includes('no runs yet')"
        )
        for seed in (0, 1):
            run = root / f"lr=1,seed={seed}" / "run_0"
            run.mkdir(parents=True)
            (run / "variant.json").write_text(json.dumps({"lr": 1.0, "seed": seed}))
            (run / "progress.csv").write_text(f"epoch,accuracy\n0,0.1\n1,0.{seed + 2}\n")
        page.until(
            "return (document.querySelector('#verdict') || {textContent: ''}).textContent.includes('nothing to compare')"
        )
        assert rows(page)[0]["mean"].startswith("0.2")
        with (root / "lr=1,seed=0" / "run_0" / "progress.csv").open("a") as file:
            file.write("2,0.9\n")
        page.until("return document.querySelector('.mean').textContent.startsWith('0.6')")
        assert page.complaints() == []


def test_progress_and_what_failed_stand_on_the_first_view(
    chromium: Any, copied: Path, serve: Callable[[Path], Any]
) -> None:
    directory = next(
        d for d in copied.glob("*/*/lr=0.1,hidden=32/run_0") if "latest" not in d.parts
    )
    outcome = json.loads((directory / "outcome.json").read_text())
    (directory / "outcome.json").write_text(
        json.dumps({**outcome, "kind": "failed", "exit_code": 1, "message": "exit code 1"})
    )
    with (directory / "console.log").open("a") as file:
        file.write("ValueError: <b>no such thing</b>\n")
    with serve(copied) as address:
        page = Page(chromium, address, "/")
        live = page.until("return (document.getElementById('live') || {}).innerText")
        assert "8 of 8 done" in live
        assert "exit code 1 · ValueError: <b>no such thing</b>" in live
        assert "1 failed" in page.run(
            "return document.querySelector('[data-variant=\"lr=0.1, hidden=32\"]').innerText"
        )
        page.keep("answer-failed")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800), (1920, 1080)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_answer_fits_its_window(page: Page, width: int, height: int, scheme: str) -> None:
    page.open("/", width, height, scheme)
    page.until(DRAWN)
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert (
        page.run("return document.querySelector('#variants').getBoundingClientRect().top")
        < height / 2
    )
    assert (
        page.run(
            "return document.querySelector('.scroll').scrollWidth - document.querySelector('.scroll').clientWidth"
        )
        <= 1
    )
    page.keep(f"answer-{width}-{scheme}")
    page.open("/")


def test_a_file_that_travels_has_the_same_views_and_asks_nothing_of_anybody(
    chromium: Any, copied: Path, tmp_path: Path
) -> None:
    hostile = copied / "hostile" / "run_0"
    hostile.mkdir(parents=True)
    name = '</script><img src=x onerror="window.pwned=1">'
    (hostile / "variant.json").write_text(json.dumps({"lr": name, "hidden": 1, "seed": 0}))
    (hostile / "progress.csv").write_text("epoch,accuracy\n0,0.1\n1,0.2\n")
    file = tmp_path / "out.html"
    assert export_page(file, [copied], Choices()) == file.stat().st_size < 4e6
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get(file.as_uri())
    page = Page.__new__(Page)
    page.driver, page.base = chromium, file.as_uri()
    page.until(DRAWN)
    shown = labels(page)
    assert len(shown) == 5
    click(page, "input", shown[0])
    click(page, "input", shown[1])
    page.until("return document.getElementById('comparison') !== null")
    click(page, ".pin", shown[1])
    page.until("return document.querySelector('tr.pinned') !== null")
    assert rows(page)[1]["delta"].startswith("+")
    page.run("document.querySelector('[aria-expanded]').click()")
    page.until("return document.querySelectorAll('tr.runs li').length === 2")
    page.back()
    page.until("return document.querySelector('tr.pinned') === null")
    page.run(
        "[...document.querySelectorAll('nav button')].find((b) => b.textContent === 'Plots').click()"
    )
    page.until("return document.querySelectorAll('#figures-shown .main-svg').length > 0")
    names = page.run(
        "return [...document.querySelectorAll('nav.bar button')].map((b) => b.textContent)"
    )
    assert {"Curves", "Scores", "Heat map", "Parallel", "Slots"} <= set(names)
    assert page.run("return window.pwned") is None
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    assert [words for words in page.complaints() if "favicon" not in words] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_hundreds_of_settings_and_long_values_are_shown_by_what_tells_them_apart(
    chromium: Any, tmp_path: Path, serve: Callable[[Path], Any], width: int
) -> None:
    for number in range(5):
        settings = {
            f"model.block{i}.width_{i}": number if i > 9 else number // 2 for i in range(120)
        }
        settings["name"] = f"facebook/a-very-long-name-{'x' * 40}{number}{'y' * 40}"
        for seed in range(2):
            run = tmp_path / str(number) / f"run_{seed}"
            run.mkdir(parents=True)
            (run / "variant.json").write_text(json.dumps({**settings, "seed": seed}))
            name = "score" if number < 4 else "other"
            (run / "progress.csv").write_text(f"step,{name}\n0,0\n1,{number + seed / 10}\n")
    with serve(tmp_path) as address:
        page = Page(chromium, address, "/")
        chromium.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        try:
            assert page.until(DRAWN).startswith("width_10=3 and 120 more settings leads with 3.05")
            texts = page.until(
                "return [...document.querySelectorAll('#variants tbody tr[data-variant]')].map((row) => row.innerText)"
            )
            heights = page.run(
                "return [...document.querySelectorAll('#variants tbody tr[data-variant]')].map((row) => row.offsetHeight)"
            )
            beyond = page.run(
                "return document.querySelector('.scroll').scrollWidth - document.querySelector('.scroll').clientWidth"
            )
        finally:
            chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            chromium.get("about:blank")
    assert all("and 120 more" in " ".join(text.split()) for text in texts), texts
    assert max(heights) < 100
    assert beyond <= 1
