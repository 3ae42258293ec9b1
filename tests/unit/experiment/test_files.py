"""Files that are replaced whole, whoever replaces them at the same moment."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runslot.experiment.files import write_json


def test_threads_that_replace_a_file_leave_what_one_of_them_wrote(tmp_path: Path) -> None:
    file = tmp_path / "d" / "value.json"
    file.parent.mkdir()
    values = [{"text": letter * 3**size} for size, letter in enumerate("abcdefghij")]

    def replace(number: int) -> bool:
        write_json(file, values[number % len(values)])
        return json.loads(file.read_text()) in values

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(replace, range(2000)))
    assert [path.name for path in file.parent.iterdir()] == ["value.json"]
