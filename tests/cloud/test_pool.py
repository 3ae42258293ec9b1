"""Machines of a batch take its runs one after the other: from a bucket of each kind, at once, and
from machines that are lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cloud.test_machine import Rented, rented, wait_for

from runslot.engines.sky import rental
from runslot.engines.sky.tasks import Job
from runslot.experiment.records import Run
from runslot.remote.sky.holdings import Holdings
from runslot.transport.bucket import Inventory, MachineShare, Pusher, Store, Unreachable
from runslot.transport.bucket.pool import MOST_TURNS, Pool
from runslot.transport.bucket.store import Directory

__all__ = ["rented"]

# slow faults: grouped with those of the other launchers; the limit is for what hangs
pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

RUNS = [f"run{number}" for number in range(20)]


def pool(store: Store, number: int, of: int = 2, runs: list[str] = RUNS) -> Pool:
    return Pool(store, MachineShare("b1", number, of), f"machine-{number}", runs, silence_s=60.0)


def write_list(store: Store, number: int, of: int = 2, **values: object) -> None:
    listing = replace(Inventory(f"machine-{number}", 1, time.time()), **values)  # type: ignore[arg-type]
    store.put(MachineShare("b1", number, of).listing, listing.to_bytes())


def test_an_object_is_new_for_one_of_those_who_make_it(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: store.put_new("b1/taken/x", b"%d" % n), range(8)))
    assert made.count(True) == 1
    assert store.get("b1/taken/x") == b"%d" % made.index(True)


def test_each_run_is_taken_once_by_machines_that_take_at_once(store: Store) -> None:
    pools = [pool(store, number, 4) for number in (1, 2, 3, 4)]
    taken: list[str] = []

    def take_all(own: Pool) -> None:
        while runs := own.take(3):
            taken.extend(runs)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(take_all, pools))
    assert sorted(taken) == sorted(RUNS)
    assert sorted(run for own in pools for run in own.held) == sorted(RUNS)


def test_a_machine_that_begins_again_has_what_its_share_had_taken(store: Store) -> None:
    runs = pool(store, 1).take(3)
    pool(store, 2).take(2)
    again = Pool(store, MachineShare("b1", 1, 2), "another", RUNS)
    again.restore()
    assert sorted(again.held) == sorted(runs)


@pytest.mark.parametrize(
    ("values", "home", "is_left"),
    [
        ({}, None, False),  # it works
        ({"state": "done"}, None, False),  # it did what it could
        ({"state": "stopped"}, None, True),  # its cloud took it back
        ({"state": "deadline"}, None, True),
        ({"state": "failed"}, None, True),
        ({"written": 1.0}, None, True),  # silent for long
        ({}, b"machine-1", True),  # home says that it is gone
        ({}, b"machine-0", False),  # of the one before
    ],
)
def test_what_a_lost_machine_had_is_left_to_the_others_without_what_it_did(
    store: Store, values: dict[str, object], home: bytes | None, is_left: bool
) -> None:
    first, second = pool(store, 1), pool(store, 2)
    runs = [run for _ in range(5) for run in first.take(4)]
    assert len(runs) == 20
    write_list(store, 1, over=tuple(runs[:17]), **values)
    if home is not None:
        store.put(MachineShare("b1", 1, 2).gone, home)
    assert sorted(second.take(9)) == (sorted(runs[17:]) if is_left else [])
    assert sorted(first.lost()) == (sorted(runs[17:]) if is_left else [])
    assert second.lost() == []


def test_a_run_that_ends_its_machines_is_left_after_some(store: Store) -> None:
    takers = []
    for number in range(1, MOST_TURNS + 2):
        own = pool(store, number, MOST_TURNS + 1, ["run0"])
        write_list(store, number, MOST_TURNS + 1, state="failed")
        takers += [number for _ in own.take(1)]
    assert takers == list(range(1, MOST_TURNS + 1))


def test_a_run_that_is_to_stop_is_taken_by_one(store: Store) -> None:
    first, second = pool(store, 1), pool(store, 2)
    assert first.take_untaken("run3")
    assert not second.take_untaken("run3")
    assert "run3" not in [run for _ in range(20) for run in second.take(1, besides=["run4"])]
    assert "run4" not in second.held


def test_what_a_machine_took_that_has_no_readable_list_is_not_taken_from_it(store: Store) -> None:
    pool(store, 1).take(20)
    store.put(MachineShare("b1", 1, 2).listing, b"torn")
    assert pool(store, 2).take(1) == []


# ---- what comes with a run -----------------------------------------------------------------------


class AwayStore(Directory):
    """A bucket that does not show lists now and then."""

    is_away = False

    def get(self, name: str) -> bytes:
        if self.is_away and name.endswith("list.json.gz"):
            raise Unreachable("the network is gone")
        return super().get(name)


def holdings_of(rented: Rented, store: Store, number: int, of: int) -> Holdings:
    """What a machine of the first run's batch has, which begins."""
    rented.stage({"lr": [0.1], "steps": [2]}, share=MachineShare("b1", number, of))
    job = Job.from_json(rented.job)
    root = rented.path / f"machine-{number}"
    pusher = Pusher(store, job.share, root, (), f"machine-{number}")
    attempts = {run.id: 1 for run in rented.home.read_runs()}
    pool = Pool(store, job.share, f"machine-{number}", list(attempts), held=pusher.turns)
    directories = dict(zip(attempts, job.runs, strict=True))
    made = Holdings(job, store, rented.home, root, "worker", pool, pusher, directories, attempts)
    made.restore()
    return made


def test_a_run_that_could_not_be_brought_is_given_to_the_worker_later(rented: Rented) -> None:
    store = AwayStore(rented.path / "bucket")
    holdings = holdings_of(rented, store, 1, 2)
    (run,) = holdings.directories
    store.is_away = True
    with pytest.raises(Unreachable):
        holdings.take(1)
    assert holdings.open_runs() == [run]
    assert holdings.ready_runs() == []
    store.is_away = False
    assert holdings.take(1) == [run]
    assert holdings.ready_runs() == [run]
    assert holdings.take(1) == []


def test_of_machines_that_had_a_run_the_last_one_s_files_count(rented: Rented) -> None:
    store = Directory(rented.path / "bucket")
    holdings = holdings_of(rented, store, 3, 3)
    ((run, directory),) = holdings.directories.items()
    for number, turn, text in ((2, 1, "from the first"), (1, 2, "from the second")):
        root = rented.path / f"earlier-{number}"
        (root / directory).mkdir(parents=True)
        (root / directory / "params.txt").write_text(text)
        pusher = Pusher(store, MachineShare("b1", number, 3), root, [directory], f"m{number}")
        pusher.claim()
        pusher.turns[run] = turn
        pusher.push()
    holdings.bring([run])
    brought: Path = holdings.root / directory / "params.txt"
    assert brought.read_text() == "from the second"


class ChangingStore(Directory):
    """A bucket in which something happens as the first part of a file is asked for."""

    happens: Callable[[], None] | None = None

    def get(self, name: str) -> bytes:
        if "/parts/" in name and self.happens is not None:
            event, self.happens = self.happens, None
            event()
        return super().get(name)


def test_runs_taken_while_a_list_is_brought_are_home_before_their_machine_s_end(
    rented: Rented,
) -> None:
    """Else the machine would have ended without them, and they would be called lost."""
    rented.stage({"lr": [0.1, 0.2], "steps": [2]}, share=MachineShare("b1", 2, 2))
    store = ChangingStore(rented.path / "bucket")
    root = rented.path / "machine"
    one, other = rented.home.read_runs()
    pusher = Pusher(store, MachineShare("b1", 2, 2), root, (), "m2")

    def write(run: Run, text: str) -> None:
        (root / run.directory).mkdir(parents=True, exist_ok=True)
        (root / run.directory / "params.txt").write_text(text)
        pusher.turns[run.id] = 1
        pusher.add([run.directory])

    def go_on() -> None:
        write(one, "after")
        write(other, "other")
        pusher.push("done")

    pusher.claim()
    write(one, "before")
    pusher.push()
    store.happens = go_on
    ids = ((one.id, 1), (other.id, 1))
    first = rental.Rented("rs-1", MachineShare("b1", 1, 2), 0, ids, "slurm/x")
    second = rental.Rented("rs-2", MachineShare("b1", 2, 2), 1, (), "slurm/x")
    brought = rental.bring(rented.home, rental.Record(store.url, (first, second)), store)
    assert brought.listings["b1/share-2-of-2"].state == "done"
    assert brought.later == ()
    texts = [
        rented.home.run_dir(run, rented.home.read()).path / "params.txt" for run in (one, other)
    ]
    assert [text.read_text() for text in texts] == ["after", "other"]


# ---- whole machines ------------------------------------------------------------------------------


def of_two(rented: Rented, number: int) -> None:
    rented.change(share=["b1", number, 2])


def test_a_late_machine_with_nothing_left_ends_at_once(rented: Rented) -> None:
    rented.stage({"lr": [0.1, 0.2], "steps": [2]}, share=MachineShare("b1", 1, 2))
    assert rented.start("one").wait(120) == 0
    of_two(rented, 2)
    assert rented.start("two").wait(120) == 0
    assert "nothing is left to do" in rented.log("two")
    assert len(rented.began()) == 2
    assert rented.listing().state == "done"


def test_a_silent_machine_loses_its_runs_which_go_on_elsewhere_and_stop_here(
    rented: Rented,
) -> None:
    """It is no longer heard of, and is heard of again: what the other has of the run counts."""
    values = {"lr": [0.1], "steps": [3]}
    rented.hold()
    rented.stage(values, share=MachineShare("b1", 1, 2), silence=15.0)
    one = rented.start("one")
    wait_for(lambda: any(path.endswith("params.txt") for path in rented.listing().files))
    rented.freeze(one)
    time.sleep(16)
    of_two(rented, 2)
    two = rented.start("two")
    wait_for(lambda: len(rented.began()) == 2)
    assert int(rented.began()[1].split()[-1]) > 0  # from the snapshot that had arrived
    rented.thaw(one)
    assert one.wait(120) in {1, 75}
    assert "was taken by another machine" in rented.log("one")
    rented.let_go()
    assert two.wait(120) == 0
    assert list(rented.listing().runs.values()) == [2]
    assert rented.outcomes()[rented.runs[0]]["kind"] == "succeeded"
