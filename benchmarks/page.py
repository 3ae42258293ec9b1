"""The page (`runslot view`): the first plot in a real browser, a change of grouping at the server,
bytes, and how long appended rows take to show, at 1,000 and 10,000 runs. Prints Markdown tables
with the aims beside what was measured.

    python benchmarks/page.py [--runs 1000 10000] [--rows 1000 100] [--repeat 5]
        [--out docs/performance-page.md]
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import platform
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

METRICS = 20
AIMS = {"first view": 1.5, "first plot": 2.5, "grouping": 0.4, "bytes": 200_000, "live": 2.0}
VIEWS = {
    "a curve a learning rate": "series=lr",
    "a curve a variant": "series=algo&series=env&series=lr",
    "one curve of all runs": "series=-",
    "figures by env, curves by algo": "series=algo&split=env",
    "median and quartiles": "series=lr&band=median-quartiles",
    "interquartile mean, bootstrap": "series=lr&band=iqm",
    "the same, one curve of all runs": "series=-&band=iqm",
    "the same, a curve a variant": "series=algo&series=env&series=lr&band=iqm",
    "each run by itself": "band=runs&series=lr",
    "four metrics": "series=lr&y=Return&y=loss&y=m4&y=m5",
    "scores": "kind=bars&series=lr",
    "scores, bootstrap": "kind=bars&series=lr&band=iqm",
    "performance profiles": "kind=profile&series=algo",
    "probability of improvement": "kind=improvement&series=algo",
    "hyperparameter importance": "kind=importance",
    "scatter": "kind=scatter&series=algo",
    "parallel coordinates": "kind=parallel",
    "heat map": "kind=heat&across=lr&down=env",
}
EVERY_SECOND_OWN = (
    5  # so many different bodies of rows a variant: writing them is not what is measured
)


def write_runs(root: Path, runs: int, rows: int) -> None:
    """Write launchkit's layout: algo × env × learning rate × seeds, with learning curves."""
    import numpy as np
    import polars as pl

    chance = np.random.default_rng(0)
    seeds = max(1, runs // 100)
    steps = np.arange(rows)
    variants = [(a, e, k) for a in range(2) for e in range(5) for k in range(10)]
    written = 0
    for a, e, k in variants:
        lr = round(10 ** (-4 + k / 3), 6)
        pace = rows * (0.08 + 0.05 * abs(k - 5 - a))
        best = (e + 1) * 20 * (1 + 0.3 * a) * math.exp(-((k - 5 - a) ** 2) / 18)
        bodies = []
        for _ in range(min(seeds, EVERY_SECOND_OWN)):
            level = best * (1 + 0.15 * chance.standard_normal())
            noise = np.cumsum(chance.standard_normal(rows)) * best * 0.3 / math.sqrt(rows)
            table: dict[str, Any] = {"step": (steps + 1) * 1000}
            table["Return"] = (
                level * (1 - np.exp(-steps / pace))
                + noise
                + chance.standard_normal(rows) * best * 0.02
            )
            table["loss"] = np.exp(-steps / pace) + 0.1 * chance.random(rows)
            table |= {f"m{i}": chance.standard_normal(rows) for i in range(3, METRICS)}
            bodies.append(pl.DataFrame(table).write_csv(float_precision=10))
        for seed in range(seeds):
            if written == runs:
                return
            directory = root / f"algo={'AB'[a]},env={e},lr={lr}" / f"run_{seed}"
            directory.mkdir(parents=True)
            (directory / "progress.csv").write_text(bodies[seed % len(bodies)])
            variant = {"algo": "AB"[a], "env": f"env{e}", "lr": lr, "seed": seed}
            (directory / "variant.json").write_text(json.dumps(variant))
            written += 1


def browser(profile: Path) -> Any:
    """Return a headless Chromium; its program and driver are Debian's."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--no-first-run",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    for what in ("gpu", "dev-shm-usage", "background-networking", "component-update", "sync"):
        options.add_argument(f"--disable-{what}")
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


@contextmanager
def serving(root: Path) -> Iterator[str]:
    from runslot.view.web.server import bind

    served = bind([root], port=0)
    thread = threading.Thread(target=served.run)
    thread.start()
    try:
        yield served.address
    finally:
        served.server.shutdown()
        thread.join()


def until(driver: Any, script: str, *arguments: Any, patience: float = 300) -> float:
    """Wait until a script gives true; returns when that was."""
    end = time.perf_counter() + patience
    while time.perf_counter() < end:
        if driver.execute_script(script, *arguments):
            return time.perf_counter()
        time.sleep(0.01)
    raise TimeoutError(script)


DRAWN = (
    "return document.querySelectorAll('#panels .js-plotly-plot .scatterlayer .trace').length > 0"
)


ANSWERED = "return document.querySelectorAll('#verdict, #curves svg g[data-line]').length > 1"
RECEIVED = "return performance.getEntriesByType('resource').reduce((s, e) => s + e.transferSize, 0)"


def first_views(
    driver: Any, address: str, repeat: int, path: str, drawn: str
) -> tuple[list[float], float]:
    """Return seconds from entering an address to what is drawn first, on a server that has read the
    runs, and the bytes received.
    """
    driver.get(address)
    driver.get(address.partition("?")[0].rstrip("/") + path)
    until(driver, drawn)
    seconds = []
    for _ in range(repeat):
        driver.get("about:blank")
        driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        driver.execute_cdp_cmd("Network.enable", {})
        began = time.perf_counter()
        driver.get(address.partition("?")[0].rstrip("/") + path)
        seconds.append(until(driver, drawn) - began)
    return seconds, float(driver.execute_script(RECEIVED))


def live_rows(driver: Any, address: str, root: Path, repeat: int) -> tuple[list[float], list[int]]:
    """Return seconds from appending a row to each run of one variant until the plot has it, and
    bytes received.
    """
    driver.get(f"{address.partition('?')[0]}?series=algo&only.algo=A&only.env=env0")
    until(driver, DRAWN)
    logs = sorted(root.glob("algo=A,env=0,*/run_*/progress.csv"))
    step = int(logs[0].read_text().rstrip().rpartition("\n")[2].partition(",")[0])
    newest = """const plot = document.querySelector('#panels .js-plotly-plot');
        return plot && (plot._fullData || []).some((t) => t.hovertemplate && t.y.length &&
            (t.x ? t.x[t.x.length - 1] : t.x0 + t.dx * (t.y.length - 1)) >= arguments[0])"""
    received = (
        "return performance.getEntriesByType('resource')"
        ".reduce((sum, e) => sum + e.transferSize, 0)"
    )
    seconds, sizes = [], []
    for _ in range(repeat):
        step += 1000
        time.sleep(random.Random(step).uniform(0.3, 1.5))
        before = driver.execute_script(received)
        began = time.perf_counter()
        for log in logs:
            with log.open("a") as file:
                file.write(f"{step}," + ",".join(["1.5"] * (METRICS - 1)) + "\n")
        seconds.append(until(driver, newest, step) - began)
        sizes.append(int(driver.execute_script(received) - before))
    return seconds, sizes


def groupings(root: Path, repeat: int) -> list[tuple[str, float, int, int]]:
    """Return for each view the seconds at the server after another view, bytes, and compressed
    bytes.
    """
    from plotly.utils import PlotlyJSONEncoder

    from runslot.errors import RunslotError
    from runslot.view.data.choices import Choices
    from runslot.view.web.content import show
    from runslot.view.web.grid import by_name
    from runslot.view.web.live_runs import LiveRuns

    moment = LiveRuns([root]).now()
    show(moment, Choices())
    found = []
    for name, query in VIEWS.items():
        choices = Choices.from_query(query)
        try:
            shown, seconds = None, []
            for _ in range(repeat):
                began = time.perf_counter()
                shown = show(moment, choices)
                body = json.dumps(
                    [shown.figures, by_name(shown.rows, shown.paint)], cls=PlotlyJSONEncoder
                )
                seconds.append(time.perf_counter() - began)
        except RunslotError as error:
            print(f"<!-- {name}: {error} -->")
            continue
        data = body.encode()
        found.append((name, statistics.median(seconds), len(data), len(gzip.compress(data, 4))))
    return found


def said(value: float, aim: float, unit: str = "s") -> str:
    return f"{value:.2f} {unit}{'' if value <= aim else ' (over)'}"


def measure(directory: Path, runs: int, rows: int, repeat: int) -> list[str]:
    root = directory / f"runs-{runs}"
    write_runs(root, runs, rows)
    lines = [f"## {runs:,} runs × {rows:,} rows × {METRICS} metrics", ""]
    views = groupings(root, repeat)
    with serving(root) as address:
        driver = browser(directory / f"profile-{runs}")
        try:
            answered, small = first_views(driver, address, repeat, "/", ANSWERED)
            opened, large = first_views(driver, address, repeat, "/plots", DRAWN)
            shows, sizes = live_rows(driver, address, root, repeat)
        finally:
            driver.quit()
    lines += [
        "| | aim | median | worst |",
        "|---|---|---|---|",
        (
            f"| the answer after the address is entered, warm server, empty browser cache | ≤"
            f" {AIMS['first view']} s | {said(statistics.median(answered), AIMS['first view'])} |"
            f" {max(answered):.2f} s |"
        ),
        f"| bytes of it | ≤ 1,500 KB | {small / 1e3:.0f} KB | |",
        f"| bytes of the page of plots | | {large / 1e3:.0f} KB | |",
        (
            "| first plot of the page of plots, in the same way | ≤"
            f" {AIMS['first plot']} s | {said(statistics.median(opened), AIMS['first plot'])} |"
            f" {max(opened):.2f} s |"
        ),
        (
            f"| rows appended to {max(1, runs // 10)} runs show in the plot | ≤ {AIMS['live']} s | "
            f"{said(statistics.median(shows), AIMS['live'])} | {max(shows):.2f} s |"
        ),
        (
            f"| bytes that these rows cost | | {statistics.median(sizes) / 1e3:.1f} KB |"
            f" {max(sizes) / 1e3:.1f} KB |"
        ),
        "",
        (
            f"A change of view, at the server (aim: a change of grouping ≤ {AIMS['grouping']} s, ≤"
            " 200 KB):"
        ),
        "",
        "| view | time | figures | compressed |",
        "|---|---|---|---|",
    ]
    for name, seconds, size, compressed in views:
        lines.append(
            f"| {name} | {said(seconds, AIMS['grouping'])} |"
            f" {said(size / 1e3, AIMS['bytes'] / 1e3, 'KB')} | {compressed / 1e3:.0f} KB |"
        )
    return [*lines, ""]


HEAD = """# How fast the page is

Written by `python benchmarks/page.py --out docs/performance-page.md`. The runs are synthetic
(launchkit's layout), the browser is headless Chromium on the same machine as the server. Figures
are sent as JSON, compressed by gzip; the table of runs is not sent again where only the grouping
changes. The time of a view is that of drawing it and writing its JSON, with the rows in memory and
nothing of the view cached. The aims are for 1,000 runs.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--rows", type=int, nargs="*", default=[1000, 100])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--note", default="", help="what to say of the machine besides")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if lacking:
        print(
            f"not measured: {', '.join(lacking)} is not installed (Debian: apt-get install chromium"
            " chromium-driver)"
        )
        return
    text = HEAD
    with tempfile.TemporaryDirectory(prefix="runslot-bench-") as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        text += (
            f"\n{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python"
            f" {platform.python_version()}; "
        )
        text += f"medians of {options.repeat}. {options.note}".rstrip() + "\n\n"
        for runs, rows in zip(options.runs, options.rows, strict=True):
            text += "\n".join(measure(Path(name), runs, rows, options.repeat)) + "\n"
    text = text.rstrip() + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
