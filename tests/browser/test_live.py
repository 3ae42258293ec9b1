"""An open page while runs grow, answers come late and out of order, and the server goes away and
comes back.
"""

from __future__ import annotations

import http.client
import json
import math
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from .test_page import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LOADED_S = 60
RATES = (0.01, 0.002)
CURVES = """
    const plot = document.querySelector('#panels .js-plotly-plot');
    return plot && JSON.stringify(plot.data.filter((t) => t.hovertemplate && t.name.includes('=')).map((t) => ({
        name: t.name, y: [...t.y], x: t.x ? [...t.x] : [...t.y].map((_, i) => t.x0 + i * t.dx) })))"""


@contextmanager
def busy() -> Iterator[None]:
    """Keep a core busy, where other tests leave one idle."""
    program = "import os; os.nice(19)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def growing(directory: Path) -> Iterator[Callable[[], None]]:
    """Append to two runs, whose values are known at each x; yields what ends that."""

    over = threading.Event()
    runs = {rate: directory / f"lr={rate}" / "run_0" for rate in RATES}
    for run in runs.values():
        run.mkdir(parents=True)

    def grow(rate: float) -> None:
        run = runs[rate]
        (run / "variant.json").write_text(json.dumps({"lr": rate, "seed": 0}))
        with (run / "progress.csv").open("w") as file:
            file.write("epoch,accuracy\n")
            for i in range(100_000):
                file.write(f"{i},{1 - math.exp(-i * rate)}\n")
                file.flush()
                if i > 10 and over.wait(0.1):
                    return

    def end() -> None:
        over.set()
        for thread in threads:
            thread.join()

    threads = [threading.Thread(target=grow, args=(rate,)) for rate in RATES]
    for thread in threads:
        thread.start()
    try:
        yield end
    finally:
        end()


@contextmanager
def slow_line(address: str) -> Iterator[str]:
    """Hand every request on, and keep answers to updates back for up to 1.5 s, so that they
    overtake each other.
    """
    there = urlsplit(address)
    chance = random.Random(0)

    class Line(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connection = http.client.HTTPConnection(there.hostname or "", there.port)
            size = int(self.headers.get("Content-Length") or 0)
            connection.request(
                self.command, self.path, self.rfile.read(size) if size else None, dict(self.headers)
            )
            answer = connection.getresponse()
            body = answer.read()
            if "update-component" in self.path:
                time.sleep(chance.uniform(0, 1.5))
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {
                    "transfer-encoding",
                    "connection",
                    "content-length",
                    "date",
                    "server",
                }:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    line = ThreadingHTTPServer(("127.0.0.1", 0), Line)
    thread = threading.Thread(target=line.serve_forever)
    thread.start()
    try:
        yield address.replace(f":{there.port}/", f":{line.server_port}/")
    finally:
        line.shutdown()
        thread.join()
        line.server_close()


def logged(directory: Path) -> dict[str, dict[float, float]]:
    """Return what the files hold by now: by the name of its curve, each run's value at each x."""
    logs: dict[str, dict[float, float]] = {}
    for rate in RATES:
        lines = (directory / f"lr={rate}" / "run_0" / "progress.csv").read_text().splitlines()[1:]
        rows = [line.split(",") for line in lines]
        logs[f"lr={rate}"] = {
            float(x): float(y) for x, y in (row for row in rows if len(row) == 2 and row[1])
        }
    return logs


def is_of(y: float | None, logged_y: float) -> bool:
    """Tell whether a drawn value is the logged one, as exactly as it is sent: finer than a screen
    shows.
    """
    return y is not None and abs(y - logged_y) < 1e-5


@pytest.mark.timeout(400)
def test_every_point_that_is_drawn_was_logged_whatever_overtakes_what(
    chromium: Any, tmp_path: Path, serve: Callable[[Path], Any]
) -> None:
    runs = tmp_path / "runs"
    with busy(), growing(runs) as end_growth, serve(runs) as address, slow_line(address) as slow:
        page = Page(chromium, slow)
        page.plots()
        end = time.monotonic() + LOADED_S
        points, lengths, choices = 0, set(), 0
        # on a busy machine an answer may take so long that there are few
        while time.monotonic() < end or points <= 100 or len(lengths) <= 2:
            choices += 1  # draws and ticks are under way together
            page.choose("top", 3 + choices % 5)
            time.sleep(random.Random(choices).uniform(0.2, 2.5))
            curves = json.loads(page.run(CURVES) or "[]")
            files = logged(runs)  # read later than what is drawn
            for curve in curves:
                file = files[curve["name"]]
                pairs = zip(curve["x"], curve["y"], strict=True)
                assert [(x, y) for x, y in pairs if x not in file or not is_of(y, file[x])] == []
                assert curve["x"] == sorted(set(curve["x"]))
                points += len(curve["y"])
                lengths.add(len(curve["y"]))
        end_growth()  # it did grow meanwhile: the lengths tell
        last = {name: max(file) for name, file in logged(runs).items()}
        curves_now = f"JSON.parse((() => {{{CURVES}}})() || '[]')"
        script = (
            f"const last = arguments[0]; return {curves_now}.filter((c) => c.x.at(-1) ==="
            " last[c.name]).length"
        )
        page.until(f"{script} === {len(RATES)}", last)  # all that the files hold in the end
        chromium.get("about:blank")


def test_the_page_says_that_the_server_is_gone_and_goes_on_when_it_is_back(
    chromium: Any, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runslot.view.web.server import bind

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    @contextmanager
    def serving(port: int) -> Iterator[Any]:
        served = bind([copied], port=port)
        thread = threading.Thread(target=served.run)
        thread.start()
        try:
            yield served
        finally:
            served.server.shutdown()
            thread.join()

    with serving(0) as served:
        port = served.server.port
        page = Page(chromium, served.address)
        page.plots()
        bookmark = page.driver.current_url
    said = "return (document.getElementById('gone') || {}).textContent || ''"
    page.until(f"return ({said.removeprefix('return ')}).includes('does not answer')")
    for log in copied.rglob("progress.csv"):
        with log.open("a") as file:
            file.write("30,0.999,0.01\n")
    with serving(port) as again:
        assert again.address == served.address
        page.until("return document.getElementById('gone').hidden")
        page.until("""return document.querySelector('.js-plotly-plot')._fullData
            .some((t) => t.name === 'lr=0.1, hidden=32' && t.y.length === 31)""")
        page.open(bookmark)
        page.plots()
        chromium.get("about:blank")
