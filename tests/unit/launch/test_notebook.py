"""A real Jupyter kernel: functions of a notebook travel by value."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

CELLS = [
    "from runslot import Experiment, grid, logger\nscale = 2",
    (
        "def train(variant):\n    logger.record_dict({'y': variant['lr'] * scale})\n   "
        " logger.dump_tabular()"
    ),
    (
        "outcomes = Experiment('book', train, variants=grid({'lr': [1, 2]}),"
        " seeds=2).launch()\noutcomes"
    ),
    (
        "print([open(f'{outcomes.directory}/{run.directory}/progress.csv').read() for run, _ in"
        " outcomes.pairs])"
    ),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_functions_of_a_notebook_travel_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel that this test starts is the interpreter that runs it, whatever kernels the machine
    # knows.
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    kernel = tmp_path / "kernels" / "this"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        '{"argv": ["' + '", "'.join(argv) + '"], "display_name": "this", "language": "python"}'
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(
        book, timeout=60, kernel_name="this", resources={"metadata": {"path": tmp_path}}
    ).execute()
    shown = book.cells[2].outputs[-1]["data"]["text/plain"]
    assert shown.startswith("Outcomes(4 succeeded;")
    printed = "".join(output["text"] for output in book.cells[3].outputs)
    assert printed.strip() == str(["y\n2\n", "y\n4\n", "y\n2\n", "y\n4\n"])
