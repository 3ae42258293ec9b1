"""Tags and notes that are written on the page: where they land, and who may write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("dash", reason="the page needs runslot[view]")

from runslot.experiment.annotations import read_annotations
from runslot.experiment.records import Run
from runslot.view.web.app import make_app
from runslot.view.web.guard import Readers, guard_for
from runslot.view.web.live_runs import LiveRuns

BASE = "http://127.0.0.1:8050"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Write an experiment of two variants with two seeds each."""
    home = tmp_path / "runs" / "digits"
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            run = home / f"lr={lr}" / f"run_{seed}"
            run.mkdir(parents=True)
            variant = {"lr": lr, "seed": seed}
            asked = Run(f"{lr}-{seed}", f"lr={lr}", variant, f"lr={lr}/run_{seed}", seed=seed)
            record = {"format": 1, "run": asked.to_json(), "experiment": "digits", "home": "../.."}
            work = {"work": {"command": {"argv": ["true"]}}, "cwd": "/", "python": "python"}
            (run / "run.json").write_text(json.dumps({**record, **work}))
            (run / "variant.json").write_text(json.dumps(variant))
            (run / "progress.csv").write_text("epoch,score\n0,0.1\n1,0.5\n")
    (home / "experiment.json").write_text(json.dumps({"format": 1, "name": "digits"}))
    return home


def client(path: Path, token: str = "", *, guarded: bool = True) -> Any:
    guard = guard_for("127.0.0.1", 8050, (), token=guarded, roots=[str(path)])
    browser = make_app(LiveRuns([path], cache=False), guard).server.test_client()
    if guarded:
        browser.get(f"/?token={token or guard.token}", base_url=BASE)
    return browser


def put(browser: Any, change: Any, **headers: str) -> Any:
    return browser.post("/annotate", json=change, base_url=BASE, headers=headers)


def test_words_on_a_variant_land_at_its_directory_and_on_a_run_at_its_own(home: Path) -> None:
    browser = client(home.parent)
    change = {"label": "lr=0.1", "tags": ["keep", "paper"], "note": "too <b>high</b>"}
    assert put(browser, change).json == {"tags": ["keep", "paper"], "note": ["too <b>high</b>"]}
    assert put(browser, {"run": "digits/lr=0.2/run_1", "tags": ["odd"]}).status_code == 200
    stands = read_annotations(home)
    assert stands.tags == {"lr=0.1": ("keep", "paper"), "lr=0.2/run_1": ("odd",)}
    assert stands.notes == {"lr=0.1": "too <b>high</b>"}
    assert put(browser, {"label": "lr=0.1", "tags": ["paper"]}).status_code == 200
    assert read_annotations(home).tags["lr=0.1"] == ("paper",)
    assert read_annotations(home).notes["lr=0.1"] == "too <b>high</b>"
    shown = browser.get("/annotate?label=lr%3D0.1", base_url=BASE).json
    assert shown == {"tags": ["paper"], "note": ["too <b>high</b>"]}


@pytest.mark.parametrize(
    "change",
    [
        [],
        {"label": "lr=7", "tags": []},
        {"label": "lr=0.1", "tags": "keep"},
        {"label": "lr=0.1", "tags": [1]},
        {"label": "lr=0.1", "tags": ["<script>"]},
        {"label": "lr=0.1", "tags": ["x" * 65]},
        {"label": "lr=0.1", "tags": [], "note": "x" * 2001},
        {"label": "lr=0.1", "tags": [], "note": 3},
        {"run": "../../etc", "tags": ["x"]},
        {"tags": ["x"]},
    ],
)
def test_what_is_no_annotation_is_refused_in_words(home: Path, change: Any) -> None:
    refused = put(client(home.parent), change)
    assert refused.status_code == 400
    assert refused.json["message"]
    assert not (home / "annotations.jsonl").exists()


def test_the_owner_alone_writes(home: Path) -> None:
    change = {"label": "lr=0.1", "tags": ["x"]}
    reader = client(home.parent, Readers([str(home.parent)]).admit("anna"))
    assert reader.get("/answer.json", base_url=BASE).status_code == 200
    assert b"runslot-writes" not in reader.get("/", base_url=BASE).data
    assert put(reader, change).status_code == 403
    nobody = client(home.parent, guarded=False)
    assert put(nobody, change).status_code == 403
    owner = client(home.parent)
    assert b"runslot-writes" in owner.get("/", base_url=BASE).data
    assert put(owner, change, Origin="http://evil.example").status_code == 403
    assert put(owner, change, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    form = owner.post("/annotate", data="label=lr%3D0.1&tags=x", base_url=BASE)
    assert form.status_code == 400
    assert not (home / "annotations.jsonl").exists()


def test_runs_of_no_experiment_have_no_place_for_words(runs: Path) -> None:
    refused = put(client(runs), {"label": "lr=0.1, hidden=32", "tags": ["x"]})
    assert "of none" in refused.json["message"]
