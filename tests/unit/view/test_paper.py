"""Figures for papers: real fonts, real size, and a script that draws the same from the data."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

pytest.importorskip("matplotlib", reason="figures need runslot[plot]")

from tests.unit.view.conftest import Write

from runslot.__main__ import main
from runslot.errors import InvalidInput
from runslot.results import load
from runslot.view.data.choices import Choices
from runslot.view.paper import axes
from runslot.view.paper.figure import Paper, paper_files
from runslot.view.paper.fonts import families_for


def test_a_pdf_embeds_truetype_fonts_and_has_its_size(runs: Path) -> None:
    files = paper_files(load(runs, cache=False), Choices(), "figure", "pdf", paper=Paper(3.25, 2.0))
    pdf = files["figure.pdf"]
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert re.search(rb"/MediaBox \[ 0 0 234 144 \]", pdf)
    assert files == paper_files(
        load(runs, cache=False), Choices(), "figure", "pdf", paper=Paper(3.25, 2.0)
    )


def test_the_data_are_what_is_drawn(runs: Path, tmp_path: Path) -> None:
    files = paper_files(
        load(runs, cache=False),
        Choices(series=("lr",), split=("hidden",), hide=("lr=0.1",)),
        "f",
        "svg",
    )
    table = pl.read_csv(files["f.csv"])
    assert table["series"].unique().to_list() == ["lr=0.01"]
    assert table["panel"].unique().sort().to_list() == [0, 1]
    assert table.filter((pl.col("panel") == 0) & (pl.col("x") == 0))["center"][0] == pytest.approx(
        0.32 + 1
    )
    assert set(table.filter(part="mean")["n"]) == {3}
    assert table.filter(part="run")["run"].n_unique() == 6  # of so few seeds each one is drawn


def test_the_script_draws_the_figure_from_the_data_without_runslot(
    runs: Path, tmp_path: Path
) -> None:
    choices = Choices(y=("score", "loss"), series=("lr",), log=("y",), band="iqm", low=0.01)
    files = paper_files(load(runs, cache=False), choices, "figure", "png", paper=Paper(dpi=72))
    for name in ("figure.csv", "figure.py"):
        (tmp_path / name).write_bytes(files[name])
    subprocess.run([sys.executable, "figure.py"], cwd=tmp_path, check=True, timeout=100)
    drawn = (tmp_path / "figure.png").read_bytes()
    size = slice(16, 24)  # width and height in a PNG's header
    assert drawn[size] == files["figure.png"][size]
    assert b"import runslot" not in files["figure.py"]


KINDS = ("bars", "profile", "improvement", "scatter", "parallel", "heat")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_with_its_data_and_its_script(
    runs: Path, tmp_path: Path, kind: str
) -> None:
    choices = Choices.from_query(f"kind={kind}&y=score&split={'hidden' if kind == 'bars' else '-'}")
    files = paper_files(load(runs, cache=False), choices, "figure", "png", paper=Paper(dpi=72))
    for name in ("figure.csv", "figure.py"):
        (tmp_path / name).write_bytes(files[name])
    subprocess.run([sys.executable, "figure.py"], cwd=tmp_path, check=True, timeout=100)
    assert (tmp_path / "figure.png").read_bytes() == files["figure.png"]


def test_a_log_axis_is_written_in_plain_numbers(runs: Path) -> None:
    svg = paper_files(load(runs, cache=False), Choices(log=("y",), y=("loss",)), "figure", "svg")[
        "figure.svg"
    ]
    assert b">0.1</text>" in svg
    assert b"mathdefault" not in svg


def test_a_log_axis_up_to_the_end_of_all_floats_warns_of_nothing(
    write_run: Write, tmp_path: Path
) -> None:
    for lr, scale in ((0.1, 1e300), (0.2, 1.0)):
        for seed in range(2):
            write_run(
                f"{lr}_{seed}",
                {"lr": lr, "seed": seed},
                {"step": range(1, 10), "loss": [scale] * 8 + [1e-300]},
            )
    results = load(tmp_path / "runs", cache=False)
    assert paper_files(results, Choices(log=("y",), y=("loss",)), "figure", "png")["figure.png"]


def test_slots_are_not_for_paper(runs: Path) -> None:
    with pytest.raises(InvalidInput, match="page alone"):
        paper_files(load(runs, cache=False), Choices(kind="slots"), "figure", "png")


def test_the_command_writes_figure_data_and_script(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "figure.svg"
    assert (
        main(
            [
                "plot",
                str(runs),
                "--y",
                "score",
                "--series",
                "lr",
                "--band",
                "mean-sem",
                "-o",
                str(out),
                "--data",
            ]
        )
        == 0
    )
    assert out.read_text().count("<svg") == 1
    assert (tmp_path / "figure.py").is_file()
    assert (
        main(
            [
                "plot",
                str(runs),
                "--view",
                "series=lr&split=hidden",
                "-o",
                str(tmp_path / "other.png"),
            ]
        )
        == 0
    )
    assert (tmp_path / "other.png").is_file()
    assert not (tmp_path / "other.csv").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "figure.gif"],
        ["-o", "none/figure.pdf"],
        ["-o", "f.pdf", "--y", "reward"],
        ["-o", "f.pdf", "--band", "std"],
        ["-o", "f.pdf", "--width", "0"],
        ["-o", "f.pdf", "--log", "z"],
        ["-o", "f.pdf", "--where", "lr > 5"],
    ],
)
def test_what_cannot_be_drawn_is_refused(
    runs: Path, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plot", str(runs), *arguments]) != 0
    assert not list(tmp_path.glob("*.pdf"))


def test_sizes_have_limits() -> None:
    for width, height in ((0.0, None), (5.0, 1000.0), (-1.0, 2.0)):
        with pytest.raises(InvalidInput):
            Paper(width, height)


@pytest.mark.parametrize(
    "kind", ["curves", "bars", "scatter", "heat", "profile", "improvement", "parallel"]
)
def test_values_at_the_end_of_all_floats_and_very_long_labels_are_drawn(
    write_run: Write, tmp_path: Path, kind: str, recwarn: pytest.WarningsRecorder
) -> None:
    for algo, last in (("A", 1.0), ("B", 1.7e308)):
        for seed in range(2):
            variant = {"algo": algo + "x" * 200 + algo, "lr": seed, "seed": seed}
            write_run(
                f"{algo}_{seed}", variant, {"step": [0, 1], "score": [0.5, last / (1 + seed)]}
            )
    choices = Choices(kind=kind, series=("algo",), across="lr")  # type: ignore[arg-type]
    assert paper_files(load(tmp_path / "runs", cache=False), choices, "f", "png")[
        "f.png"
    ].startswith(b"\x89PNG")
    assert [str(warning.message) for warning in recwarn] == []


def test_the_line_in_a_figure_of_bars_says_its_statistic(runs: Path) -> None:
    files = paper_files(
        load(runs, cache=False), Choices(kind="bars", y=("score",), band="mean-ci"), "f", "svg"
    )
    line = re.search(r"'line': \"(.*)\"|'line': '(.*)'", files["f.py"].decode())
    assert line is not None
    assert (
        "12 runs: 12 counted; pooled over: nothing; mean ± 95 % t interval over 3 seeds" in line[0]
    )


@pytest.mark.parametrize("kind", ["curves", "bars"])
def test_names_of_others_leave_a_figure_that_is_xml(
    kind: str, write_run: Write, tmp_path: Path
) -> None:
    odd = "a\x1b]0;x\x07\u202eb"
    for seed in range(2):
        for value in (odd, "plain"):
            write_run(
                f"{value[0]}/run_{seed}",
                {odd: value, "seed": seed},
                {"step": [1, 2], f"loss{odd}": [1.0, 2.0 + seed]},
            )
    files = paper_files(load(tmp_path / "runs", cache=False), Choices(kind=kind), "f", "svg")
    text = files["f.svg"].decode()
    assert ElementTree.fromstring(text) is not None
    assert not set("\x1b\x07\u202e") & set(text + files["f.py"].decode() + files["f.csv"].decode())
    assert "a?]0;x??b" in text


def test_an_svg_has_its_text_as_text(runs: Path) -> None:
    files = paper_files(load(runs), Choices(y=("score",)), "figure", "svg")
    text = files["figure.svg"].decode()
    assert text.count("<text") > 10
    assert "lr=0.01, hidden=32" in text


def test_characters_that_no_font_has_are_refused_by_name_or_drawn(
    tmp_path: Path, write_run: Write
) -> None:
    from matplotlib.font_manager import fontManager

    for name in ("学习", "深度"):
        root = write_run(
            f"{name}/run_0", {"名": name, "seed": 0}, {"step": [0, 1], "score": [0, 1]}
        )
    installed = any("CJK" in font.name for font in fontManager.ttflist)
    for kind in ("png", "svg", "pdf"):
        if installed:
            assert paper_files(load(root.parents[1]), Choices(y=("score",)), "figure", kind)
        else:
            with pytest.raises(InvalidInput, match="fonts-noto-cjk") as refusal:
                paper_files(load(root.parents[1]), Choices(y=("score",)), "figure", kind)
            assert "学" in str(refusal.value)


FIND = """
import sys
from runslot.view.paper import axes
from runslot.view.paper.fonts import families_for
print(families_for(sys.argv[1], axes.STYLE))
"""


def test_a_font_that_was_installed_since_matplotlib_last_looked_is_used(tmp_path: Path) -> None:
    """Its list of fonts is a file, and older than what somebody installs because of a refusal."""
    tools = pytest.importorskip("fontTools.ttLib")
    from matplotlib import get_data_path

    environment = {**os.environ, "MPLCONFIGDIR": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}

    def look(sign: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", FIND, sign],
            env=environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    refusal = look("\U000f0123")
    assert "no font here has '\\U000f0123'" in refusal.stderr
    font = tools.TTFont(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
    for table in font["cmap"].tables:
        if table.format == 12:  # the others end at 0xFFFF
            table.cmap[0xF0123] = table.cmap[ord("A")]
    for record in font["name"].names:
        if record.nameID in {1, 4, 16}:
            record.string = "Installed Today"
    (tmp_path / "fonts").mkdir()
    font.save(tmp_path / "fonts" / "Installed.ttf")
    assert look("\U000f0123").stdout == "['serif', 'Installed Today']\n"


def test_what_no_font_has_is_refused_and_what_is_not_drawn_needs_none() -> None:
    with pytest.raises(InvalidInput, match=r"no font here has .*choose other columns"):
        families_for(["plain", "\U000f0123"], axes.STYLE)
    assert families_for(["α ± β", "x\ufe0f\u200d"], axes.STYLE) == ["serif"]


def test_labels_of_wide_letters_are_shortened_by_their_width() -> None:
    assert axes.letters_of("学习率=0.1") == 10
    assert axes.shorter(["学" * 20, "plain"], 21) == ["学学学学学…学学学学", "plain"]


@pytest.mark.parametrize("groups", [2, 24, 60])
def test_a_legend_takes_less_than_half_of_the_height_and_stays_inside(
    write_run: Write, groups: int
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    for number in range(groups):
        name = f"a-setting-with-a-long-name-{number:03d}"
        root = write_run(
            f"{name}/run_0", {"name": name, "seed": 0}, {"step": [0, 1], "score": [0, number]}
        )
    files = paper_files(load(root.parents[1]), Choices(y=("score",), top=groups), "figure", "png")
    names: dict[str, object] = {}
    exec(compile(files["figure.py"], "figure.py", "exec"), names)  # our own script
    rows = list(csv.DictReader(io.StringIO(files["figure.csv"].decode())))
    points = {key: [row[key] for row in rows] for key in rows[0]}
    for key, read in names["READERS"].items():  # type: ignore[attr-defined]
        points[key] = [read(value) if value else None for value in points[key]]
    with matplotlib.rc_context(names["STYLE"]):
        figure = names["draw"](Figure, points, names["SETTINGS"])  # type: ignore[operator]
        figure.canvas.draw()
        whole, legend = figure.bbox, figure.legends[0].get_window_extent()
    assert legend.height < whole.height / 2
    assert legend.x0 >= whole.x0 - 1
    assert legend.x1 <= whole.x1 + 1
    for axis in figure.axes:
        tight = axis.get_tightbbox()
        assert tight is None or (tight.x0 >= -1 and tight.x1 <= whole.x1 + 1)
