"""`runslot logs`: what a run printed."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
import time
from pathlib import Path
from typing import Annotated, BinaryIO

from runslot.cli.parameters import argument, flag, value
from runslot.cli.places import RunPlace, find_run
from runslot.errors import Damaged, NotFound
from runslot.experiment.claim import keeper_lives
from runslot.experiment.files import open_regular
from runslot.experiment.lock import living_launcher
from runslot.experiment.records import Outcome
from runslot.experiment.rundir import RunDir
from runslot.launch.printer import outcome_said
from runslot.terminal_text import RESET_COLOUR, plain

_LOOK = 0.2
"""Seconds between looks at the file, which may lie on a network disk."""
_BLOCK = 1 << 16


def logs(
    run: Annotated[
        str,
        argument(
            metavar="RUN",
            help=(
                "A run directory, EXPERIMENT/RUN, or a run of the newest experiment: its directory"
                " or id, or a part."
            ),
        ),
    ],
    follow: Annotated[bool, flag("-f", "--follow", help="Go on until the run ends.")] = False,
    lines: Annotated[
        int | None, value("-n", "--lines", least=0, metavar="N", help="Only the last N.")
    ] = None,
) -> None:
    """Print what a run printed (its console.log); with -f go on while it runs."""
    print_console(find_run(run), follow, lines)


def print_console(place: RunPlace, follow: bool, lines: int | None) -> None:
    """Print the console of a run, its last `lines` or all; with `follow` until the run has
    ended.
    """
    run_dir = place.run_dir
    reader = _Console(run_dir.console, sys.stdout.buffer, lines)
    with contextlib.closing(reader):
        _print(place, run_dir, reader, follow)


def _print(place: RunPlace, run_dir: RunDir, reader: _Console, follow: bool) -> None:
    if not follow:
        if not reader.copy():
            raise NotFound(f"{place.run.directory} has not started: it has printed nothing")
        return
    while True:
        end = _end_of(place, run_dir)  # before the last look at the file, so that nothing is missed
        reader.copy()
        if end is not None:
            print(f"runslot: {place.run.directory} {end}", file=sys.stderr)
            return
        time.sleep(_LOOK)


class _Console:
    """Copies what is new in a file that grows, and that the next attempt replaces."""

    def __init__(self, path: Path, out: BinaryIO, lines: int | None) -> None:
        self._path = path
        self._out = out
        self._lines = lines
        self._file: BinaryIO | None = None
        self._text = _PlainText(colours=sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR")))

    def copy(self) -> bool:
        """Copy what is there and was not copied before; tell whether there is a file at all."""
        if self._file is not None:
            is_current = self._is_current(self._file)  # one that was replaced grows no more
            self._copy_rest(self._file)
            if is_current:
                return True
            self._file.close()
        try:
            self._file = os.fdopen(open_regular(self._path), "rb")
        except FileNotFoundError:
            self._file = None
            return False
        except OSError as error:
            raise Damaged(f"{self._path} cannot be read: {error.strerror}") from error
        if self._lines is not None:
            self._file.seek(_start_of_last(self._file, self._lines))
            self._lines = None
        self._copy_rest(self._file)
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _is_current(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def _copy_rest(self, file: BinaryIO) -> None:
        while block := file.read(_BLOCK):
            self._out.write(self._text.cleaned(block))
        self._out.write(self._text.end())
        self._out.flush()


_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*)?\Z")
"""An escape sequence whose end may be in the next block."""


class _PlainText:
    """Blocks of a console without escape sequences, but for colours where those are wanted; `\\r`
    stays.
    """

    def __init__(self, colours: bool) -> None:
        self._colours = colours
        self._coloured = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def cleaned(self, block: bytes) -> bytes:
        """Return what can be printed of the blocks so far."""
        text = self._rest + self._decoder.decode(block)
        unfinished = _UNFINISHED.search(text)
        self._rest = "" if unfinished is None else text[unfinished.start() :]
        text = text if unfinished is None else text[: unfinished.start()]
        cleaned = plain(text, colours=self._colours, carriage=True)
        self._coloured = self._coloured or "\x1b" in cleaned
        return cleaned.encode()

    def end(self) -> bytes:
        """Return what follows the last block for now: no colour of the run's goes on behind it."""
        reset, self._coloured = RESET_COLOUR.encode() if self._coloured else b"", False
        return reset


def _start_of_last(file: BinaryIO, lines: int) -> int:
    """Return where the last `lines` lines begin, reading backwards."""
    end = position = file.seek(0, os.SEEK_END)
    if lines == 0:
        return end
    missing = lines
    while position > 0:
        start = max(0, position - _BLOCK)
        file.seek(start)
        block = file.read(position - start)
        # A newline at the very end closes the last line; it begins none.
        at = len(block) - 1 if position == end and block.endswith(b"\n") else len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            missing -= 1
            if missing == 0:
                return start + at + 1
        position = start
    return 0


def _end_of(place: RunPlace, run_dir: RunDir) -> str | None:
    """Return how the run ended, in words; None where it runs, or will."""
    outcome = run_dir.read_outcome()
    if outcome is not None:
        if _tried_again(outcome, run_dir) and living_launcher(place.experiment):
            return None
        message = outcome_said(outcome)
        return f"{outcome.kind} ({message})" if message else outcome.kind
    if living_launcher(place.experiment):
        return None
    attempt = run_dir.read_attempt()
    if attempt is None:
        return "has not started, and no launcher is at work"
    return (
        "lost"
        if keeper_lives(run_dir, attempt) is False and run_dir.read_outcome() is None
        else None
    )


def _tried_again(outcome: Outcome, run_dir: RunDir) -> bool:
    policy = run_dir.read_run().policy
    return outcome.kind in {"failed", "lost"} and outcome.attempt <= policy.retries
