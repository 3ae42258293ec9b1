"""The page in a real browser: it loads, it follows choices, it grows, and nothing in a run can take
it over.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PATIENCE = 60
"""Seconds until a page that does not come is a failure; not what it may take."""


class Page:
    """One tab: opens addresses, waits for what must appear, and looks at plots as the browser has
    them.
    """

    def __init__(self, driver: Any, base: str, first: str = "/plots") -> None:
        self.driver, self.base = driver, base
        # A tab of its own: the page of the test before would go on asking its server, which is gone,
        # and of a history of fifty entries the browser forgets the first. (The history of a tab
        # cannot be reset while a late navigation of that page is on its way.)
        tabs = driver.window_handles
        driver.switch_to.new_window("tab")
        tab = driver.current_window_handle
        for other in tabs:
            driver.switch_to.window(other)
            driver.close()
        driver.switch_to.window(tab)
        driver.get_log("browser")
        self.open(base.replace("/?", f"{first}?", 1) if "/?" in base else first)

    def open(
        self, address: str, width: int = 1280, height: int = 900, scheme: str = "light"
    ) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.get(
            address if address.startswith("http") else self.base.partition("/?")[0] + address
        )

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any) -> Any:
        """Wait until a script returns something true; returns it."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, PATIENCE, 0.1).until(
            lambda _: self.run(script, *arguments), script
        )

    def plots(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many drawn plots; returns the names and values of their lines."""
        script = """
            const plots = [...document.querySelectorAll('#panels .js-plotly-plot')].filter((p) => p._fullData);
            const drawn = document.querySelectorAll('#panels .js-plotly-plot .main-svg').length > 0;
            return plots.length === arguments[0] && drawn && JSON.stringify(plots.map((p) => ({
                title: p.closest('section').querySelector('h2').textContent,
                lines: p._fullData.filter((t) => t.hovertemplate).map((t) => ({ name: t.name, y: [...t.y] })),
            })))"""
        return list(json.loads(self.until(script, count)))

    def names(self, count: int = 1) -> list[str]:
        return [line["name"] for plot in self.plots(count) for line in plot["lines"]]

    def shows(self, names: list[str], count: int = 1) -> None:
        """Wait until these are the names of the drawn lines: a figure follows its controls."""
        end = time.monotonic() + PATIENCE
        while (drawn := self.names(count)) != names:
            assert time.monotonic() < end, drawn
            time.sleep(0.1)

    def table(self, rows: int = 1) -> None:
        """Open the table of runs, and wait for so many rows."""
        self.until("return document.querySelector('#open-table, #runs') !== null")
        self.run("(document.getElementById('open-table') || { click() {} }).click()")
        script = (
            "return document.querySelectorAll('#runs .ag-center-cols-container .ag-row').length"
        )
        self.until(f"{script} >= arguments[0]", rows)

    def choose(self, name: str, value: Any) -> None:
        """Give a control a value, as its component does when somebody has chosen it."""
        script = (
            "dash_clientside.set_props({ type: 'choice', name: arguments[0] }, { value:"
            " arguments[1] })"
        )
        self.run(script, name, value)

    def back(self) -> None:
        """Go one step back within the page, and wait until the browser has taken it: its process counts
        a step from the entry that it knows of, so that a second one, asked for when the page alone
        has taken the first, would lead nowhere.
        """
        from selenium.webdriver.support.ui import WebDriverWait

        def entry() -> int:
            return int(self.driver.execute_cdp_cmd("Page.getNavigationHistory", {})["currentIndex"])

        before = entry()
        self.run("history.back()")
        WebDriverWait(self.driver, PATIENCE, 0.05).until(
            lambda _: entry() == before - 1, "one back"
        )

    def query(self) -> str:
        return str(self.run("return window.location.search"))

    def keep(self, name: str) -> None:
        """Keep a picture of the view, where they are asked for."""
        directory = os.environ.get("RUNSLOT_SCREENSHOTS")
        if directory:
            Path(directory).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(directory, f"{name}.png")))

    def complaints(self) -> list[str]:
        """Return errors of the browser's console since the last call. What the page of a test before
        says late, of a server that is gone, is not this one's.
        """
        server = self.base.partition("/?")[0].rstrip("/")
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE"
            and (server in entry["message"] or "http://" not in entry["message"])
        ]


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Page]:
    yield Page(chromium, address)
    chromium.get("about:blank")


VARIANTS = [f"lr={lr}, hidden={hidden}" for lr in (0.01, 0.1) for hidden in (32, 128)]


def test_it_loads_with_curves_table_and_states_and_without_an_error(page: Page) -> None:
    (plot,) = page.plots()
    assert plot["title"] == "accuracy"
    assert [line["name"] for line in plot["lines"]] == VARIANTS
    assert all(len(line["y"]) == 30 for line in plot["lines"])
    page.table(8)
    assert page.until("return document.getElementById('status').textContent") == "8 succeeded"
    assert "token" not in page.driver.current_url
    page.keep("curves")
    assert page.complaints() == []


def test_everything_comes_from_this_server(page: Page) -> None:
    page.plots()
    loaded = page.run("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert loaded
    host = page.driver.current_url.split("/")[2]
    assert [name for name in loaded if not name.startswith((f"http://{host}/", "data:"))] == []


def test_choices_change_the_plots_and_the_address_brings_them_back(page: Page) -> None:
    page.plots()
    page.choose("series", ["lr"])
    page.choose("split", ["hidden"])
    page.choose("band", "iqm")
    page.shows(["lr=0.01", "lr=0.1"] * 2, 2)
    page.until("return window.location.search.includes('band=iqm')")
    query = page.query()
    assert query == "?series=lr&split=hidden&band=iqm"
    page.keep("split")
    page.open("/plots" + query)
    page.shows(["lr=0.01", "lr=0.1"] * 2, 2)
    page.choose("series", ["lr", "hidden"])
    page.choose("split", [])
    page.choose("band", "auto")
    page.until("return window.location.search === ''")
    assert page.complaints() == []


def test_other_curves_recolour_the_table_without_sending_it_again(page: Page) -> None:
    page.plots()
    colours = """return JSON.stringify([...document.querySelectorAll('#runs .ag-row')].map((row) => [
        (row.querySelector('a') || {}).title, (row.querySelector('.rs-stroke') || { style: {} }).style.borderTopColor,
    ]).filter((pair) => pair[0]).sort())"""
    page.table(8)
    before = dict(json.loads(page.run(colours)))
    assert len(set(before.values())) == 4
    page.run(
        """window.sent = []; const fetched = window.fetch; window.fetch = async (...asked) => {
        const answer = await fetched(...asked); window.sent.push(await answer.clone().text()); return answer; }"""
    )
    page.choose("series", ["hidden"])
    page.until("return document.querySelectorAll('.rs-series').length === 2")
    page.shows(["hidden=32", "hidden=128"])
    after = dict(
        json.loads(
            page.until(
                f"const now = (() => {{ {colours} }})(); return now !== arguments[0] && now",
                json.dumps(sorted(map(list, before.items())), separators=(",", ":")),
            )
        )
    )
    assert {run: colour for run, colour in after.items() if "hidden=128" in run} == dict.fromkeys(
        (run for run in after if "hidden=128" in run), "rgb(213, 94, 0)"
    )
    sent = "".join(page.run("return window.sent"))
    assert "paint" in sent
    assert "rowData" not in sent


def test_a_control_is_used_by_keyboard_alone(page: Page) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    page.plots()
    field = page.driver.find_element(By.XPATH, "//label[text()='Search']/following::input[1]")
    field.send_keys("lr=0.1, seed" + Keys.BACKSPACE * 6)
    page.until("return window.location.search.includes('text=')")
    page.until("return document.getElementById('counted').textContent === '4 runs of 8'")
    button = page.driver.find_element(By.CSS_SELECTOR, "[data-series='lr=0.1, hidden=32']")
    button.send_keys(Keys.ENTER)
    page.until("return document.querySelector('[aria-pressed=false]') !== null")
    page.shows(["lr=0.1, hidden=128"])


NAME = """const e = document.activeElement, label = e.labels && e.labels[0];
    const named = e.getAttribute('aria-label') || (label && label.textContent) || e.textContent || e.title
        || (e.getAttribute('aria-labelledby') || '').split(' ')
            .map((id) => (document.getElementById(id) || {}).textContent).join('');
    return (named || '').trim()"""


def test_every_control_is_reached_by_tab_and_has_a_name(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.plots()
    page.table()
    reached: dict[str, int] = {}
    nameless = []
    for _ in range(70):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        inside = page.run(
            "return document.activeElement.closest('#runs, .js-plotly-plot') !== null"
        )
        name = page.run(NAME)
        if not inside and not name and page.run("return document.activeElement !== document.body"):
            nameless.append(page.run("return document.activeElement.outerHTML.slice(0, 200)"))
        reached[name] = reached.get(name, 0) + 1
    wanted = {
        "Metrics",
        "Along",
        "Groups by",
        "Figures by",
        "Over seeds",
        "Search",
        "States",
        "Where",
        "Better is",
        "Light or dark",
        "PDF",
        "Columns",
        "judged by",
        "Only the best",
    }
    assert wanted - reached.keys() == set()
    assert nameless == []
    page.run("document.querySelector('.rs-kinds input:checked').focus()")
    ActionChains(page.driver).send_keys(Keys.ARROW_RIGHT).perform()
    page.until("return window.location.search === '?kind=bars'")
    page.until(
        "return document.querySelectorAll('#panels .js-plotly-plot .barlayer, #panels"
        " .scatterlayer').length > 0"
    )


def test_filters_choose_runs_and_faults_are_said(page: Page) -> None:
    page.plots()
    page.choose("where", "lr > 0.05 AND hidden = 32")
    page.until("return document.getElementById('counted').textContent === '2 runs of 8'")
    page.shows(["lr=0.1, hidden=32"])
    page.choose("where", "size > 3")
    said = page.until(
        "return (document.querySelector('#navbar .mantine-InputWrapper-error') || {}).textContent"
    )
    assert "no run has a column 'size'" in said
    assert page.names() == ["lr=0.1, hidden=32"]  # the last view stays
    page.choose("where", "lr > 5")
    page.until(
        "return document.getElementById('panels').textContent.includes('No run passes the filters')"
    )
    assert page.run("return document.querySelector('#navbar .mantine-InputWrapper-error')") is None


@pytest.mark.parametrize(
    "kind", ["bars", "profile", "improvement", "importance", "scatter", "parallel", "heat", "slots"]
)
def test_each_kind_of_plot_is_drawn(page: Page, kind: str) -> None:
    page.open(f"/?kind={kind}")
    page.plots()
    page.keep(kind)
    assert page.complaints() == []


def test_rows_that_are_appended_show_without_a_reload(
    chromium: Any, copied: Path, serve: Callable[[Path], Any]
) -> None:
    logs = sorted(copied.rglob("lr=0.1,hidden=32/run_*/progress.csv"))
    with serve(copied) as address:
        page = Page(chromium, address)
        page.plots()
        page.table()
        page.run("window.plot = document.querySelector('.js-plotly-plot')")
        for log in logs:
            with log.open("a") as file:
                file.write("30,0.999,0.01\n")
        page.until(
            """return document.querySelector('.js-plotly-plot') === window.plot
            && window.plot._fullData.some((t) => t.name === 'lr=0.1, hidden=32' && t.y.length === 31)"""
        )
        page.until(
            """return [...document.querySelectorAll('#runs [col-id]')].some((e) => e.textContent === '0.999')"""
        )
        page.keep("grown")
        assert page.complaints() == []


def test_a_run_that_appears_gets_its_curve(
    chromium: Any, copied: Path, serve: Callable[[Path], Any]
) -> None:
    with serve(copied) as address:
        page = Page(chromium, address)
        page.plots()
        new = copied / "other" / "run_0"
        new.mkdir(parents=True)
        (new / "variant.json").write_text(json.dumps({"lr": 1.0, "hidden": 8, "seed": 0}))
        (new / "progress.csv").write_text("epoch,accuracy\n0,0.1\n1,0.2\n")
        page.until("return document.getElementById('counted').textContent === '9 runs'")
        page.until(
            "return [...document.querySelectorAll('.rs-series')].some((e) =>"
            " e.textContent.includes('hidden=8'))"
        )


def test_a_page_opened_before_the_first_row_gets_its_plots_and_controls(
    chromium: Any, tmp_path: Path, serve: Callable[[Path], Any]
) -> None:
    run = tmp_path / "early" / "run_0"
    run.mkdir(parents=True)
    with serve(run.parent) as address:
        page = Page(chromium, address)
        page.until("return document.body.innerText.includes('no runs yet')")
        (run / "variant.json").write_text(json.dumps({"lr": 1.0, "seed": 0}))
        (run / "progress.csv").write_text("epoch,accuracy\n0,0.1\n1,0.2\n")
        page.shows(["all runs"])
        page.until(
            "return document.querySelector('#navbar .mantine-MultiSelect-pill').textContent ==="
            " 'accuracy'"
        )


HOSTILE = "<img src=x onerror=\"window.pwned='name'\">"


def test_nothing_in_a_run_becomes_part_of_the_page(
    chromium: Any, copied: Path, serve: Callable[[Path], Any]
) -> None:
    for i in range(2):
        run = copied / f"{HOSTILE.replace('/', '')}" / f"run_{i}"
        run.mkdir(parents=True)
        variant = {
            f"key {HOSTILE}": f"{i}{HOSTILE}",
            "lr": "<a href='javascript:window.pwned=1'>x</a>",
            "hidden": 1,
        }
        (run / "variant.json").write_text(json.dumps({**variant, "seed": i}))
        (run / "progress.csv").write_text(
            f"epoch,accuracy,return {HOSTILE.replace(chr(34), '')}\n0,0.5,1\n1,0.6,2\n"
        )
        (run / "console.log").write_text(
            f"{HOSTILE}</pre><script>window.pwned = 'console'</script>\n"
        )
        (run / "changes.patch").write_text(f"+{HOSTILE}\n")
    with serve(copied) as address:
        page = Page(chromium, address)
        page.plots()
        metric = f"return {HOSTILE.replace(chr(34), '')}"
        page.choose("y", ["accuracy", metric])
        page.choose("split", [f"key {HOSTILE}"])
        page.plots(6)
        for kind in ("bars", "scatter", "parallel", "heat"):
            page.choose("kind", kind)
            page.until("return document.querySelectorAll('#panels .js-plotly-plot').length >= 2")
        page.table()
        names = page.run(
            "return [...document.querySelectorAll('#runs a')].map((a) => a.getAttribute('href'))"
        )
        hostile = next(name for name in names if "onerror" in name)
        page.open(hostile)
        assert "<script>" in page.until(
            "return (document.getElementById('console') || {}).textContent"
        )
        assert page.run("return window.pwned") is None
        assert page.run("return document.querySelectorAll('img').length") == 0
        assert page.run("return document.querySelectorAll('a[href^=javascript]').length") == 0


def test_a_runs_own_page(page: Page) -> None:
    page.plots()
    page.table()
    href = page.until(
        "return (document.querySelector('#runs a') || {getAttribute() {}}).getAttribute('href')"
    )
    page.open(href)
    page.until("return document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    text = page.run("return document.body.innerText")
    for part in (
        "Variant",
        "Outcome",
        "succeeded",
        "Slot",
        "Snapshots",
        "params.pkl",
        "Console",
        "<script>",
    ):
        assert part in text
    assert page.run("return window.pwned") is None
    page.keep("run")
    assert page.complaints() == []


def test_a_runs_own_page_follows_the_run(
    chromium: Any, copied: Path, serve: Callable[[Path], Any]
) -> None:
    directory = next(
        d for d in copied.glob("*/*/lr=0.1,hidden=32/run_0") if "latest" not in d.parts
    )
    outcome = (directory / "outcome.json").read_text()
    (directory / "outcome.json").unlink()
    with serve(copied) as address:
        page = Page(chromium, address)
        page.open(f"/run?run={directory.relative_to(copied)}")
        page.until(
            """return [...document.querySelectorAll('.js-plotly-plot')].filter((p) => p._fullData).length === 2
            && (window.plot = document.querySelector('.js-plotly-plot'))"""
        )
        assert "lost" in page.until("return document.getElementById('run-heading').textContent")
        with (directory / "progress.csv").open("a") as file:
            file.write("30,0.999,0.01\n")
        page.until("""return document.querySelector('.js-plotly-plot') === window.plot
            && window.plot._fullData.some((t) => t.y.length === 31)""")
        page.until("return document.getElementById('run-cards').textContent.includes('0.999')")
        (directory / "outcome.json").write_text(outcome)
        page.until(
            "return document.getElementById('run-heading').textContent.includes('succeeded')"
        )
        (directory / "progress.csv").write_text("epoch,accuracy,loss,extra\n0,0.5,1,7\n1,0.6,1,8\n")
        page.until(
            "return [...document.querySelectorAll('#run-panels h2')].some((e) => e.textContent ==="
            " 'extra')"
        )
        assert page.complaints() == []


def test_dragging_along_an_axis_marks_its_range(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.open("/?kind=parallel")
    page.plots()
    box = page.run("""const layout = document.querySelector('.js-plotly-plot')._fullLayout;
        const frame = document.querySelector('.js-plotly-plot').getBoundingClientRect();
        const x = frame.x + layout.xaxis._offset + layout.xaxis.l2p(2), top = frame.y + layout.yaxis._offset;
        return [x, top + layout.yaxis.l2p(1.03), top + layout.yaxis.l2p(0.5)]""")
    x, top, middle = (round(value) for value in box)
    actions = ActionChains(page.driver)
    actions.w3c_actions.pointer_action.move_to_location(x - 15, top)
    actions.w3c_actions.pointer_action.pointer_down()
    actions.w3c_actions.pointer_action.move_to_location(x, (top + middle) // 2)
    actions.w3c_actions.pointer_action.move_to_location(x + 15, middle)
    actions.w3c_actions.pointer_action.pointer_up()
    actions.perform()
    page.until("return window.location.search.includes('brush=score+from+')")
    counted = page.until(
        "const t = document.getElementById('counted').textContent; return t.includes(' of 8') && t"
    )
    assert int(counted.split()[0]) < 8
    page.keep("marked")
    assert page.complaints() == []


def test_two_runs_are_compared(page: Page) -> None:
    page.plots()
    page.table(8)
    page.until("return document.querySelectorAll('#runs .ag-row .ag-checkbox-input').length >= 8")
    page.run(
        "[0, 7].forEach((i) => document.querySelectorAll('#runs .ag-row"
        " .ag-checkbox-input')[i].click())"
    )
    href = page.until(
        "return document.querySelector('#compare:not(.rs-off)') && "
        "document.getElementById('compare').getAttribute('href')"
    )
    page.open(href)
    page.until("return document.body.innerText.includes('Two runs')")
    text = page.run("return document.body.innerText")
    assert re.search(r"lr\s+0\.1\s+0\.01|lr\s+0\.01\s+0\.1", text)
    page.keep("compare")
    assert page.complaints() == []


def test_dark_and_narrow(page: Page) -> None:
    page.open("/plots", scheme="dark")
    page.plots()
    assert page.run("return document.documentElement.dataset.agThemeMode") == "dark"
    page.table()
    page.keep("dark")
    page.open("/?split=hidden&series=lr", width=390, height=844, scheme="dark")
    page.plots(2)
    assert page.run("return document.documentElement.scrollWidth") <= 390
    page.keep("narrow")
    page.run("document.getElementById('burger').click()")
    page.until("return document.getElementById('navbar').getBoundingClientRect().x >= 0")
    page.keep("narrow-controls")
    page.open("/plots", width=1280, scheme="light")
    page.plots()


def test_the_export_is_offered_for_what_is_shown(page: Page) -> None:
    page.plots()
    page.choose("series", ["lr"])
    href = page.until(
        "const a = document.getElementById('export-pdf').getAttribute('href');return"
        " a.includes('series=lr') && a"
    )
    kind = page.driver.execute_async_script(
        "const done = arguments[1]; fetch(arguments[0]).then((r) => r.blob()).then((b) =>"
        " done([b.type, b.size]))",
        href,
    )
    pytest.importorskip("matplotlib", reason="figures need runslot[plot]")
    assert kind[0] == "application/zip"
    assert kind[1] > 2000


def test_without_the_token_there_is_no_page(
    chromium: Any, experiment: Path, serve: Callable[[Path], Any]
) -> None:
    with serve(experiment) as address:
        chromium.delete_all_cookies()
        page = Page(chromium, address.partition("?")[0])
        assert "token" in page.run("return document.body.innerText")
        assert page.run("return document.querySelector('#panels')") is None


TABLE = """
    return [...document.querySelectorAll('#runs .ag-center-cols-container .ag-row')]
        .sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))
        .map((row) => row.querySelector('[col-id="lr"]').textContent).join(' ')"""


def test_sort_ticks_and_pins_stand_in_the_address_and_back_undoes_a_choice(page: Page) -> None:
    page.plots()
    page.table(8)
    page.choose("top", 2)
    page.until("return window.location.search === '?top=2'")
    page.until(  # the figure follows its address
        "return document.querySelector('#panels .js-plotly-plot')._fullData.filter((t) =>"
        " t.hovertemplate && !t.name.includes('run_')).length === 2"
    )
    page.until("return !!dash_ag_grid.getApi('runs')")
    state = {"state": [{"colId": "lr", "sort": "desc"}, {"colId": "seed", "pinned": "left"}]}
    page.run("dash_ag_grid.getApi('runs').applyColumnState(arguments[0])", state)
    page.until(
        "return window.location.search.includes('sort=lr+desc') &&"
        " window.location.search.includes('pin=seed')"
    )
    page.run(
        "dash_ag_grid.getApi('runs').forEachNode((node, i) => i < 2 && node.setSelected(true))"
    )
    page.until("return new URLSearchParams(window.location.search).getAll('tick').length === 2")
    page.open("/plots" + page.query())
    page.until(
        f"return ({TABLE.strip().removeprefix('return ')}) === '0.1 0.1 0.1 0.1 0.01 0.01 0.01"
        " 0.01'"
    )
    page.until(
        "return document.querySelectorAll('#runs .ag-center-cols-container"
        " .ag-row-selected').length === 2"
    )
    page.until("return !!document.querySelector('#runs .ag-pinned-left-header [col-id=\"seed\"]')")
    page.choose("top", 1)
    page.until("return window.location.search.includes('top=1')")
    page.until("return document.querySelectorAll('.rs-series').length === 1")
    page.back()
    page.until("return window.location.search.includes('top=2')")
    page.until("return document.querySelectorAll('.rs-series').length === 2")
    assert page.complaints() == []
