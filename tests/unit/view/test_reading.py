"""Files of a run's page: nothing from outside the directories that are shown, and no waiting for
pipes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runslot.errors import NotFound
from runslot.view.web.texts import Texts, console_text


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_text("secret")
    return file


def test_files_below_the_roots_are_read_from_their_end(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    (root / "console.log").write_text("".join(f"line {i}\n" for i in range(1000)))
    text = Texts([str(root)]).read(root / "console.log", last=100)
    assert text is not None
    assert text.endswith("line 999\n")
    assert text.startswith("line ")
    assert len(text) <= 100


def test_links_and_paths_out_of_the_roots_are_not_read(tmp_path: Path, secret: Path) -> None:
    root = tmp_path / "runs"
    (root / "run").mkdir(parents=True)
    (root / "run" / "console.log").symlink_to(secret)
    (root / "away").symlink_to(tmp_path)
    texts = Texts([str(root)])
    assert texts.read(root / "run" / "console.log") is None
    assert texts.read(root / "away" / "secret.txt") is None
    assert texts.read(root / ".." / "secret.txt") is None
    assert texts.read(secret) is None
    assert texts.foreign(root / "run") == ["console.log"]
    for outside in (tmp_path, root / "away", root / ".."):
        with pytest.raises(NotFound):
            texts.directory(str(outside))


def test_pipes_and_directories_are_no_texts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "console.log")
    texts = Texts([str(tmp_path)])
    assert texts.read(tmp_path / "console.log") is None
    assert texts.read(tmp_path) is None
    assert texts.read(tmp_path / "nothing") is None


def test_a_console_reads_as_it_looked() -> None:
    written = (
        "\x1b[31mred\x1b[0m\n 10%|#   |\r 90%|### |\r100%|####|\ndone\r\n\x1b]0;title\x07end\x00"
    )
    assert console_text(written) == "red\n100%|####|\ndone\nend"
    assert console_text("a\nb\nc", lines=2) == "b\nc"
