"""The page (`runslot view`): the answer and the first plot in a real browser, cold and warm, what a
tab costs that nobody touches, another tab or grouping at the server, bytes, and how long appended
rows take to show, at 1,000 and 10,000 runs. Prints Markdown tables with the aims beside what was
measured.

    python benchmarks/page.py [--runs 1000 10000] [--rows 1000 100] [--repeat 5] [--idle 60]
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
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

METRICS = 20
AIMS = {
    "answer": {1000: 1.5, 10_000: 2.0},
    "progress": 0.5,
    "first plot": 2.5,
    "tab": 0.15,
    "grouping": 0.4,
    "bytes": 200_000,
    "live": 2.0,
    "idle": 1.0,
}
TABS = {
    "curves": "",
    "scores": "kind=bars",
    "profiles": "kind=profile",
    "improvement": "kind=improvement",
    "importance": "kind=importance",
    "scatter": "kind=scatter",
    "parallel coordinates": "kind=parallel",
    "heat map": "kind=heat",
}
VIEWS = {
    "a curve a learning rate": "series=lr",
    "one curve of all runs": "series=-",
    "figures by env, curves by algo": "series=algo&split=env",
    "median and quartiles": "series=lr&band=median-quartiles",
    "interquartile mean, bootstrap": "series=lr&band=iqm",
    "the same, one curve of all runs": "series=-&band=iqm",
    "the same, a curve a variant": "series=algo&series=env&series=lr&band=iqm",
    "each run by itself": "band=runs&series=lr",
    "four metrics": "series=lr&y=Return&y=loss&y=m4&y=m5",
    "scores by algo": "kind=bars&series=algo",
    "scores, bootstrap": "kind=bars&series=lr&band=iqm",
    "profiles by algo": "kind=profile&series=algo",
    "improvement by algo": "kind=improvement&series=algo",
    "heat map of lr and env": "kind=heat&across=lr&down=env",
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
def serving(root: Path) -> Iterator[tuple[str, int]]:
    """Serve as a user does: yields the address with its token, and the process."""
    command = [sys.executable, "-m", "runslot", "view", str(root), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        addresses = (re.search(r"http://\S+", line) for line in process.stdout)
        yield next(address[0] for address in addresses if address), process.pid
    finally:
        process.terminate()
        process.wait()


def cores_used(pids: Iterable[int]) -> float:
    """Return the seconds of a core that these processes have used."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    members = [pid]
    for member in members:
        members += children.get(member, [])
    return members


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


COUNTED = """const wait = document.querySelector('.wait');
    return (wait && / s;/.test(wait.textContent)) || document.getElementById('verdict') !== null"""


def cold_views(directory: Path, root: Path, driver: Any, repeat: int) -> list[tuple[float, float]]:
    """Return seconds from entering the address of a server that has read nothing, without any
    cache, until the page says how far the reading is, and until the answer stands.
    """
    seconds = []
    for number in range(repeat):
        os.environ["XDG_CACHE_HOME"] = str(directory / f"cache-{root.name}-{number}")
        with serving(root) as (address, _):
            driver.get("about:blank")
            driver.execute_cdp_cmd("Network.clearBrowserCache", {})
            began = time.perf_counter()
            driver.get(address)
            counted = until(driver, COUNTED) - began
            seconds.append((counted, until(driver, ANSWERED) - began))
            driver.get("about:blank")
    return seconds


def idle_costs(
    driver: Any, server: int, address: str, path: str, idle_s: float
) -> tuple[float, float]:
    """Return the per cent of a core that an open tab costs at which nothing happens: the server,
    and all of the browser. Measured once the page has come to rest.
    """
    driver.get(address.partition("?")[0].rstrip("/") + path)
    time.sleep(idle_s / 2)
    browsers = family(driver.service.process.pid)
    before = cores_used([server]), cores_used(browsers)
    began = time.perf_counter()
    time.sleep(idle_s)
    passed = time.perf_counter() - began
    after = cores_used([server]), cores_used(browsers)
    driver.get("about:blank")
    return tuple(100 * (b - a) / passed for a, b in zip(before, after, strict=True))


def live_rows(driver: Any, address: str, root: Path, repeat: int) -> tuple[list[float], list[int]]:
    """Return seconds from appending a row to each run of one variant until the plot has it, and
    bytes received.
    """
    driver.get(f"{address.partition('?')[0]}plots?series=algo&only.algo=A&only.env=env0")
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


def drawings(root: Path, views: dict[str, str], repeat: int) -> list[Drawn]:
    """Return for each view the seconds at the server after another view, in the median and at
    worst, bytes, and compressed bytes.
    """
    from plotly.utils import PlotlyJSONEncoder

    from runslot.errors import RunslotError
    from runslot.results.statistics.forests import numeric_library
    from runslot.view.data.choices import Choices
    from runslot.view.web.content import show
    from runslot.view.web.grid import by_name
    from runslot.view.web.live_runs import LiveRuns

    numeric_library()  # as the server has it once the page of plots was opened
    moment = LiveRuns([root]).now()
    show(moment, Choices())
    drawn = []
    for name, query in views.items():
        choices = Choices.from_query(query)
        try:
            seconds, body = [], ""
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
        packed = len(gzip.compress(data, 4))
        drawn.append(Drawn(name, statistics.median(seconds), max(seconds), len(data), packed))
    return drawn


class Drawn(NamedTuple):
    """One view as the server drew it."""

    name: str
    median_s: float
    worst_s: float
    size: int
    packed: int


def words(value: float, aim: float, unit: str = "s") -> str:
    return f"{value:.2f} {unit}{'' if value <= aim else ' (over)'}"


def row(name: str, aim: float, values: Sequence[float], unit: str = "s") -> str:
    worst = f"{max(values):.2f} {unit}"
    return f"| {name} | ≤ {aim} {unit} | {words(statistics.median(values), aim, unit)} | {worst} |"


def table_of(drawn: Iterable[Drawn], aim: float) -> list[str]:
    """Return the lines of a table of views."""
    lines = ["| view | median | worst | figures | compressed |", "|---|---|---|---|---|"]
    most = AIMS["bytes"] / 1e3
    for view in drawn:
        lines.append(
            f"| {view.name} | {words(view.median_s, aim)} | {view.worst_s:.2f} s |"
            f" {words(view.size / 1e3, most, 'KB')} | {view.packed / 1e3:.0f} KB |"
        )
    return [*lines, ""]


def measure(directory: Path, runs: int, rows: int, options: argparse.Namespace) -> list[str]:
    root, repeat = directory / f"runs-{runs}", options.repeat
    write_runs(root, runs, rows)
    answer_aim = AIMS["answer"].get(runs, 2.0)
    driver = browser(directory / f"profile-{runs}")
    try:
        cold = cold_views(directory, root, driver, min(repeat, 3))
        with serving(root) as (address, server):
            answered, small = first_views(driver, address, repeat, "/", ANSWERED)
            opened, large = first_views(driver, address, repeat, "/plots", DRAWN)
            costs = [
                (name, idle_costs(driver, server, address, path, options.idle))
                for name, path in (("answer", "/"), ("page of plots", "/plots"))
            ]
            shows, sizes = live_rows(driver, address, root, repeat)
    finally:
        driver.quit()
    tabs, views = drawings(root, TABS, repeat), drawings(root, VIEWS, repeat)
    lines = [f"## {runs:,} runs × {rows:,} rows × {METRICS} metrics", ""]
    lines += [
        "| | aim | median | worst |",
        "|---|---|---|---|",
        row("the answer, warm server, empty browser cache", answer_aim, answered),
        f"| bytes of it | ≤ 1,500 KB | {small / 1e3:.0f} KB | |",
        row("nothing read before: how far it is is said", AIMS["progress"], [s for s, _ in cold]),
        f"| the answer then | | {statistics.median([s for _, s in cold]):.2f} s | |",
        row("first plot of the page of plots, as the answer", AIMS["first plot"], opened),
        f"| bytes of it | ≤ 1,500 KB | {large / 1e3:.0f} KB | |",
        row(f"rows appended to {max(1, runs // 10)} runs show in the plot", AIMS["live"], shows),
        f"| bytes that these cost | | {statistics.median(sizes) / 1e3:.1f} KB |"
        f" {max(sizes) / 1e3:.1f} KB |",
        *(
            f"| of a core, an open {name} at rest: server | ≤ {AIMS['idle']} % |"
            f" {words(share, AIMS['idle'], '%')} | all of the browser: {whole:.2f} % |"
            for name, (share, whole) in costs
        ),
    ]
    lines += ["", f"Another tab, at the server (aim: ≤ {AIMS['tab']} s):", ""]
    lines += table_of(tabs, AIMS["tab"])
    lines += [f"Another grouping, at the server (aim: ≤ {AIMS['grouping']} s, ≤ 200 KB):", ""]
    return lines + table_of(views, AIMS["grouping"])


HEAD = """# How fast the page is

Written by `python benchmarks/page.py --out docs/performance-page.md`. The runs are synthetic
(launchkit's layout), the browser is headless Chromium on the same machine as the server. Figures
are sent as JSON, compressed by gzip; the table of runs is not sent again where only the grouping
changes. The time of a view is that of drawing it and writing its JSON, with the rows in memory and
nothing of the view cached. The aims are for 1,000 runs; for 10,000 the answer's is 2 s.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--rows", type=int, nargs="*", default=[1000, 100])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--idle", type=float, default=60, help="seconds of a tab at rest")
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
            text += "\n".join(measure(Path(name), runs, rows, options)) + "\n"
    text = text.rstrip() + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
