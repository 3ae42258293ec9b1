"""What a row of 20 numbers costs, ours beside the writers that people use; medians, and ratios to
csv.DictWriter.

    python benchmarks/logger.py [--rows N] [--rounds N]

Peers that are not installed are named. Writers that hand rows to a thread or a process of their own
are timed for what the training waits for (`put`) and with what they do besides (`all`, the writer's
closing included).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from runslot.logger import Logger

ROW = {f"metric/{i}": 0.1234567891234 * (i + 1) for i in range(20)}
Write = Callable[[], None]
Writer = Callable[[Path], "contextlib.AbstractContextManager[Write]"]


@contextlib.contextmanager
def dict_writer(directory: Path) -> Iterator[Write]:
    """The standard library: a row, then a flush."""
    with (directory / "progress.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROW))
        writer.writeheader()

        def write() -> None:
            writer.writerow(ROW)
            file.flush()

        yield write


def ours(console: str, text: bool, sink: str | None = None) -> Writer:
    """`record_dict` and `dump_tabular`."""

    @contextlib.contextmanager
    def opened(directory: Path) -> Iterator[Write]:
        logger = Logger()
        logger.configure(console=console)
        logger.bind_run(directory)
        if not text:
            logger.remove_text_output(directory / "debug.log")
        if sink is not None:
            logger.add_sink(sink)

        def write() -> None:
            logger.record_dict(ROW)
            logger.dump_tabular()

        yield write
        logger.close()

    return opened


@contextlib.contextmanager
def tensorboard(directory: Path) -> Iterator[Write]:
    """TensorBoard's own writer, an event for each scalar as torch's SummaryWriter.add_scalar makes,
    then a flush.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(directory))

    def write() -> None:
        for key, value in ROW.items():
            writer.add_event(
                Event(step=0, summary=Summary(value=[Summary.Value(tag=key, simple_value=value)]))
            )
        writer.flush()

    yield write
    writer.close()


@contextlib.contextmanager
def wandb_offline(directory: Path) -> Iterator[Write]:
    """W&B without a network."""
    import wandb

    run = wandb.init(
        dir=str(directory), mode="offline", settings=wandb.Settings(silent=True, console="off")
    )
    yield lambda: run.log(ROW)
    run.finish()


WRITERS: dict[str, tuple[str | None, Writer]] = {
    "csv.DictWriter + flush": (None, dict_writer),
    "runslot, csv": (None, ours("silent", text=False)),
    "runslot, csv + debug.log": (None, ours("silent", text=True)),
    "runslot, csv + debug.log + table": (None, ours("table", text=True)),
    "runslot, csv + tensorboard sink": (
        "tensorboard",
        ours("silent", text=False, sink="tensorboard"),
    ),
    "tensorboard + flush": ("tensorboard", tensorboard),
    "wandb offline": ("wandb", wandb_offline),
}


def microseconds(writer: Writer, rows: int) -> tuple[float, float]:
    """Return what a row costs the caller, and what it costs until the writer is closed."""
    with tempfile.TemporaryDirectory() as directory:
        with writer(Path(directory)) as write:
            write()
            begin = time.perf_counter()
            for _ in range(rows):
                write()
            put = time.perf_counter() - begin
        total = time.perf_counter() - begin
    return put / rows * 1e6, total / rows * 1e6


def compare(rows: int, rounds: int) -> None:
    """Print the table; the writers take turns, so that a busy moment of the machine hits all."""
    there = {
        name: writer
        for name, (library, writer) in WRITERS.items()
        if library is None or _installed(library)
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in there}
    for _ in range(rounds):
        for name, writer in there.items():
            with _stdout_to_file():
                times[name].append(microseconds(writer, rows))
    put = {
        name: statistics.median(first for first, _ in measured) for name, measured in times.items()
    }
    total = {
        name: statistics.median(second for _, second in measured)
        for name, measured in times.items()
    }
    base = put["csv.DictWriter + flush"]
    print(f"{'a row of 20 numbers':<36}{'put, µs':>10}{'ratio':>8}{'all, µs':>10}")
    for name in there:
        print(f"{name:<36}{put[name]:>10.1f}{put[name] / base:>8.2f}{total[name]:>10.1f}")
    for name in WRITERS.keys() - there.keys():
        print(f"{name:<36}{'not installed':>18}")
    print("not measured: the ancestors' loggers (tabulate + csv), which need their own packages")


def growth() -> None:
    """Print how the cost depends on the rows that are there."""
    with tempfile.TemporaryDirectory() as directory:
        logger = Logger()
        logger.configure(console="silent")
        logger.bind_run(directory)
        logger.remove_text_output(Path(directory) / "debug.log")
        seconds = []
        for _ in range(100):
            begin = time.perf_counter()
            for _ in range(1000):
                logger.record_dict(ROW)
                logger.dump_tabular()
            seconds.append(time.perf_counter() - begin)
        first, last = statistics.median(seconds[:20]), statistics.median(seconds[-20:])
        begin = time.perf_counter()
        logger.record_dict({**ROW, "new": 1})
        logger.dump_tabular()
        column = time.perf_counter() - begin
        size = (Path(directory) / "progress.csv").stat().st_size
        logger.close()
    print(f"rows 80,000-100,000 against rows 0-20,000: {last / first:.2f} times the cost")
    print(f"a new column in 100,000 rows ({size / 1e6:.0f} MB): {column:.3f} s")


@contextlib.contextmanager
def _stdout_to_file() -> Iterator[None]:
    """What the writers print goes to a file, as the console of a run does."""
    with tempfile.TemporaryFile("w") as file, contextlib.redirect_stdout(file):
        yield


def _installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def main() -> None:
    """Read the arguments and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None
    )
    parser.add_argument("--rows", type=int, default=1000, help="rows a round")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    compare(arguments.rows, arguments.rounds)
    growth()


if __name__ == "__main__":
    main()
