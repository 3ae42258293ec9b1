"""Leases: who may have a slot, who is told why not, and who goes first."""

from __future__ import annotations

import codecs
import fcntl
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runslot.hardware.lease import Holder, Lease, LeaseRefusal, Leases
from runslot.hardware.resources import Resources
from runslot.hardware.slots import carve
from runslot.hardware.topology import Gpu
from runslot.hardware.wait_list import CYCLE, EARNEST_S, HOLD, PATIENCE, TURN, WaitList, _Want

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="leases need Linux")

ALICE = Holder("alice", "dqn", "7", time.mktime((2024, 5, 1, 12, 4, 0, 0, 0, -1)))


@pytest.fixture
def slots(machine):
    return carve(machine(cores=4, gpus=(0, 0)), Resources())


def take(leases, slot) -> Lease:
    lease = leases.try_acquire(slot, ALICE)
    assert isinstance(lease, Lease), lease
    return lease


def refused(leases, slot) -> LeaseRefusal:
    refusal = leases.try_acquire(slot, ALICE)
    assert isinstance(refusal, LeaseRefusal), refusal
    return refusal


def test_a_slot_has_one_holder_until_it_is_closed(slots, tmp_path):
    one, two = Leases(tmp_path), Leases(tmp_path)
    with take(one, slots[0]):
        take(two, slots[1]).close()
        refused(two, slots[0])
        refused(one, slots[0])  # not even the same launcher
    take(two, slots[0]).close()


def test_a_refusal_says_who_has_what_since_when(slots, tmp_path):
    leases = Leases(tmp_path)
    holder = replace(ALICE, user=Holder.of("", "").user)
    with take(leases, slots[0]):
        said = str(refused(leases, slots[0]))
        assert (
            said == f"waits for core 0: held by {holder.user}, experiment dqn, run 7, since 12:04"
        )
        gpu_alone = replace(slots[0], cores=(), pus=())
        said = str(refused(leases, gpu_alone))
        assert said == f"waits for GPU 0: held by {holder.user}, experiment dqn, run 7, since 12:04"


def test_the_file_is_not_believed_against_the_kernel(slots, tmp_path):
    leases = Leases(tmp_path)
    with take(leases, slots[0]):
        record = tmp_path / "runslot.core-0"
        record.write_text(
            '{"pid": 1, "user": "mallory", "experiment": "x", "run": "y", "since": 0}\n'
        )
        assert (
            refused(leases, slots[0]).holder
            == f"held by {Holder.of('', '').user}, process {os.getpid()}"
        )
        record.write_text("\x1b[31m not a record")
        assert "process" in refused(leases, slots[0]).holder


def test_all_or_nothing(slots, machine, tmp_path):
    leases = Leases(tmp_path)
    (whole,) = carve(machine(cores=4, gpus=(0, 0)), Resources(), 1)
    with take(leases, slots[1]):
        refused(leases, whole)
        take(leases, slots[0]).close()  # nothing of it was kept


def test_a_shared_gpu_has_so_many_places_and_no_exclusive_user(machine, tmp_path):
    shared = carve(machine(cores=6, gpus=(0,)), Resources(cpus=1, runs_per_gpu=2))
    third, fourth = carve(machine(cores=6, gpus=(0,)), Resources(cpus=1, gpus=0))[2:4]
    third = replace(third, gpus=shared[0].gpus, runs_per_gpu=2)
    alone = replace(fourth, gpus=shared[0].gpus, runs_per_gpu=1)
    leases = Leases(tmp_path)
    with take(leases, shared[0]):
        assert refused(leases, alone).resource == "GPU 0"
        assert "run 7" in refused(leases, alone).holder
        with take(leases, shared[1]):
            assert refused(leases, third).resource == "a place on GPU 0"
        take(leases, third).close()
    with take(leases, alone):
        assert refused(leases, shared[0]).resource == "GPU 0"


def test_hardware_threads_of_a_core_go_to_two_slots_but_not_beside_a_whole_core(machine, tmp_path):
    topology = machine(cores=1, smt=2)
    threads = carve(topology, Resources(cpus=1, threads="cores"))
    (whole,) = carve(topology, Resources(cpus=1))
    leases = Leases(tmp_path)
    with take(leases, threads[0]), take(leases, threads[1]):
        assert refused(leases, threads[0]).resource == "CPU 0"
        assert refused(leases, whole).resource == "core 0"
    with take(leases, whole):
        refused(leases, threads[0])


def test_an_inherited_descriptor_keeps_the_slot(slots, tmp_path):
    leases = Leases(tmp_path)
    lease = take(leases, slots[0])
    child = subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=lease.descriptors
    )
    lease.close()
    assert "run 7" in refused(leases, slots[0]).holder
    child.communicate()
    take(leases, slots[0]).close()


def directory_there(path, _victim):
    path.mkdir()


def socket_there(path, _victim):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def closed_there(path, _victim):
    path.touch()
    path.chmod(0)


ODD = [
    pytest.param(lambda path, victim: path.symlink_to(victim), "is a symbolic link", id="link"),
    pytest.param(
        lambda path, _: path.symlink_to("nowhere"), "is a symbolic link", id="dangling link"
    ),
    pytest.param(
        lambda path, victim: path.hardlink_to(victim),
        "is not a plain file of one name",
        id="hard link",
    ),
    pytest.param(lambda path, _: os.mkfifo(path), "is not a plain file of one name", id="fifo"),
    pytest.param(directory_there, "is a directory", id="directory"),
    pytest.param(socket_there, "is a socket", id="socket"),
    pytest.param(
        closed_there,
        "cannot be opened (Permission denied)",
        id="without permissions",
        marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything"),
    ),
]


@pytest.mark.parametrize(("spoil", "what"), ODD)
def test_what_lies_in_a_locks_place_is_named_and_costs_nobody_the_core(
    slots, tmp_path, monkeypatch, spoil, what
):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    path = Path("runslot.core-0")
    spoil(path, victim)
    one, two = Leases(tmp_path), Leases(tmp_path)
    with take(one, slots[0]):
        (said,) = one.spoilt.values()
        assert said.startswith(
            f"core 0: {tmp_path / path} of {Holder.of('', '').user} {what}: remove it"
        )
        assert "file beside" in refused(two, slots[0]).holder
        (path.rmdir if path.is_dir() and not path.is_symlink() else path.unlink)()
        refused(two, slots[0])  # its lock file is well again, and the run beside it goes on
    take(two, slots[0]).close()
    assert victim.read_text() == "precious"


def test_shared_cores_are_shared_beside_spoilt_lock_files_too(machine, tmp_path):
    topology = machine(cores=1, smt=2)
    threads = carve(topology, Resources(cpus=1, threads="cores"))
    (whole,) = carve(topology, Resources(cpus=1))
    (tmp_path / "runslot.core-0").mkdir()
    leases = Leases(tmp_path)
    with take(leases, threads[0]), take(leases, threads[1]):
        refused(leases, whole)
    with take(leases, whole):
        refused(leases, threads[0])


def test_a_substitute_that_its_user_did_not_make_counts_for_nothing_and_stale_ones_are_swept(
    slots, tmp_path
):
    (tmp_path / "runslot.core-0").mkdir()
    leases = Leases(tmp_path)
    with (tmp_path / "runslot.core-0~4242~x~0").open("w") as forged:
        fcntl.flock(forged, fcntl.LOCK_EX)
        take(leases, slots[0]).close()
    (stale,) = tmp_path.glob(f"runslot.core-0~{os.geteuid()}~x~*")
    take(leases, slots[0]).close()
    assert list(tmp_path.glob(f"runslot.core-0~{os.geteuid()}~x~*")) == [stale]  # used again
    os.utime(stale, (1, 1))
    (tmp_path / "runslot.core-0").rmdir()
    take(leases, slots[0]).close()
    assert not stale.exists()


@pytest.mark.parametrize(
    "record",
    [
        "[" * 1024,
        '{"pid": 1e999, "since": 1}',
        '{"pid": PID, "user": "u", "experiment": "e", "run": "r", "since": 1e300}',
    ],
)
def test_a_record_that_is_absurd_is_passed_over(slots, tmp_path, record):
    leases = Leases(tmp_path)
    with take(leases, slots[0]):
        (tmp_path / "runslot.core-0").write_text(record.replace("PID", str(os.getpid())))
        assert refused(leases, slots[0]).holder.endswith(f", process {os.getpid()}")


def test_a_directory_of_locks_that_vanished_is_said(slots, tmp_path):
    leases = Leases(tmp_path / "gone")
    assert "cannot be taken" in refused(leases, slots[0]).holder


def test_a_file_that_is_replaced_while_it_is_locked_is_opened_again(slots, tmp_path, monkeypatch):
    path, real, locked = tmp_path / "runslot.core-0", fcntl.flock, []

    def flock(descriptor, operation):
        if not locked:
            path.unlink()
            path.touch()
        locked.append(os.fstat(descriptor).st_ino)
        real(descriptor, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        lease = take(Leases(tmp_path), replace(slots[0], cores=slots[0].cores[:1], gpus=()))
    with lease:
        assert len(locked) == 2
        assert os.fstat(lease.descriptors[0]).st_ino == path.stat().st_ino == locked[1] != locked[0]


def test_gpus_are_told_apart_by_uuid(tmp_path, slots):
    leases = Leases(tmp_path)
    one = replace(slots[0], cores=(), pus=(), gpus=(Gpu(0, "MIG-GPU-1/1/0", visible="x"),))
    two = replace(one, gpus=(Gpu(0, "MIG-GPU-1/2/0", visible="y"),))
    with take(leases, one), take(leases, two):
        assert leases.is_held(one.gpus[0])
    assert not leases.is_held(one.gpus[0])


@pytest.mark.filterwarnings(
    "ignore:.*fork:DeprecationWarning"
)  # the child only takes locks and exits
@pytest.mark.root
def test_users_exclude_each_other(slots, tmp_path_factory):
    shared = tmp_path_factory.mktemp("lock")
    shared.chmod(0o1777)
    for parent in list(shared.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    leases = Leases(shared)

    codecs.lookup(
        "ascii"
    )  # nobody may not enter the directory of this Python, as in another user's home

    def as_nobody(action) -> int:
        pid = os.fork()
        if pid == 0:
            os.setgid(65534)
            os.setuid(65534)
            os._exit(0 if action() else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def refused() -> bool:
        theirs = Leases(shared)
        refusal = str(theirs.try_acquire(slots[0], ALICE))
        theirs.stop_waiting()  # or it would be ahead of who asks within the next seconds
        return "held by root, experiment dqn" in refusal

    with take(leases, slots[0]):
        assert as_nobody(refused) == 0
        assert (
            as_nobody(lambda: isinstance(Leases(shared).try_acquire(slots[1], ALICE), Lease)) == 0
        )
    take(leases, slots[1]).close()  # files that nobody made

    (shared / "runslot.core-0").chmod(0)

    def beside_the_closed_file() -> bool:
        theirs = Leases(shared)
        lease = theirs.try_acquire(slots[0], ALICE)
        return isinstance(lease, Lease) and "of root cannot be opened" in "".join(
            theirs.spoilt.values()
        )

    assert as_nobody(beside_the_closed_file) == 0


class Clock:
    """A clock that the test sets; waiting files carry real times, so those are touched as
    needed.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def waiting(tmp_path):
    clock = Clock()
    pair = [WaitList(str(tmp_path), "runslot.waiting-", clock) for _ in range(2)]
    return clock, *pair


def free(_names) -> bool:
    return True


def busy(_names) -> bool:
    return False


A, B = frozenset({"core-0"}), frozenset({"core-1"})


def test_others_yield_to_who_has_waited_for_a_while(waiting):
    clock, one, two = waiting
    one.begin(A)
    assert not two.ahead(A, free)  # not at once: short runs go on back to back
    clock.now += PATIENCE
    assert two.ahead(A, free)
    assert not two.ahead(B, free)
    two.begin(A)
    assert not one.ahead(A, free)  # who waited first goes first
    one.end()
    assert not two.ahead(A, free)


def test_a_launcher_that_had_to_wait_keeps_its_turn_for_a_while(waiting):
    clock, one, two = waiting
    one.begin(A)
    clock.now += PATIENCE
    two.begin(A)
    one.granted(A)
    clock.now += TURN / 2
    one.granted(A)  # a second short run does not make the turn longer
    assert two.ahead(A, free)
    assert not one.ahead(A, free)
    clock.now += TURN / 2
    two.begin(A)
    assert not two.ahead(A, free)
    assert one.ahead(A, free)


def test_free_cores_are_kept_for_a_larger_run_for_a_while_only(waiting):
    clock, one, two = waiting

    def ask_for(seconds):
        for _ in range(int(seconds)):
            one.begin(A | B)
            clock.now += 1

    ask_for(1)
    assert two.ahead(A, busy)
    ask_for(HOLD)
    assert not two.ahead(A, busy)
    assert two.ahead(A, free)  # what it wants is there: it goes first
    ask_for(CYCLE - HOLD)
    assert two.ahead(A, busy)


def test_a_launcher_that_no_longer_asks_is_not_waited_for(waiting, tmp_path):
    clock, one, two = waiting
    one.begin(A)
    clock.now += PATIENCE
    assert two.ahead(A, free)
    (file,) = tmp_path.glob("runslot.waiting-*")
    os.utime(file, (time.time() - 10, time.time() - 10))
    assert not two.ahead(A, free)
    os.utime(file, (time.time() - 100, time.time() - 100))
    assert not two.ahead(A, free)
    assert not file.exists()
    one.begin(A)  # it was only stopped
    assert file.exists()


def test_what_a_launcher_no_longer_wants_is_forgotten(waiting, tmp_path):
    clock, one, two = waiting
    one.begin(A)
    clock.now += 60
    one.begin(B)
    clock.now += PATIENCE
    assert not two.ahead(A, free)
    assert two.ahead(B, free)
    one.end()
    assert not two.ahead(B, free)
    assert not list(tmp_path.glob("runslot.*"))


def test_garbage_among_the_waiting_is_passed_over(waiting, tmp_path):
    _, one, _ = waiting
    (tmp_path / "runslot.waiting-garbage").write_text("[[1")
    (tmp_path / "runslot.waiting-link").symlink_to("/nowhere")
    (tmp_path / "runslot.waiting-dir").mkdir()
    os.mkfifo(tmp_path / "runslot.waiting-fifo")
    assert not one.ahead(A, free)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '[[1e999, ["core-0"], null]]',
        '[[NaN, ["core-0"], null]]',
        '[[-1e300, ["core-0"], null]]',
        f'[[{"9" * 400}, ["core-0"], null]]',
        '[[0, ["core-0"], null]]' + " " * (1 << 20),
    ],
    ids=["brackets", "infinite", "nan", "negative", "many digits", "huge"],
)
def test_absurd_waiting_files_are_passed_over(waiting, tmp_path, text):
    _, one, _ = waiting
    (tmp_path / f"runslot.waiting-{os.getpid()}-x").write_text(text)
    assert not one.ahead(A, free)


def test_a_waiting_file_of_the_future_or_of_another_users_process_is_nobodys(waiting, tmp_path):
    clock, one, two = waiting
    one.begin(A)
    clock.now += PATIENCE
    (file,) = tmp_path.glob("runslot.waiting-*")
    assert two.ahead(A, free)
    os.utime(file, (time.time() + 1e6, time.time() + 1e6))
    assert not two.ahead(A, free)
    if os.geteuid() == 0:
        os.utime(file)
        os.chown(file, 4242, 4242)
        assert not two.ahead(A, free)


def test_who_waits_and_never_takes_what_is_free_is_waited_for_seconds_not_for_ever(waiting):
    clock, one, two = waiting
    one.begin(A)
    clock.now += PATIENCE
    yielded = 0.0
    for _ in range(3000):
        one.begin(A)
        yielded += 0.1 * two.ahead(A, free)
        clock.now += 0.1
    assert EARNEST_S < yielded < 3 * EARNEST_S


def test_who_waits_with_ever_new_beginnings_is_waited_for_a_minute_not_for_ever(waiting):
    clock, one, two = waiting
    yielded = 0.0
    for _second in range(int(CYCLE)):
        one._mine = {A: _Want(clock.now - PATIENCE, clock.now)}
        one._write()
        yielded += two.ahead(A, busy)
        clock.now += 1
    assert yielded < 2 * HOLD


def test_waiting_files_whose_process_is_gone_are_swept(waiting, tmp_path):
    _, one, _ = waiting
    gone = subprocess.Popen(["true"])
    gone.wait()
    files = [
        tmp_path / f"runslot.waiting-{gone.pid}-x",
        tmp_path / f".runslot.waiting-{gone.pid}-x",
    ]
    for file in files:
        file.write_text("[]")
        os.utime(file, (time.time() - 10, time.time() - 100))
    one.ahead(A, free)
    one.begin(A)
    assert not any(file.exists() for file in files)
