"""Run directories in a bucket, against real servers: what changed alone travels, in order, and
kills lose nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from runslot.errors import InvalidInput, NotInstalled, RunslotError, extra_said
from runslot.transport.bucket import (
    MachineShare,
    Missing,
    Pusher,
    Store,
    TakenOver,
    Unreachable,
    open_store,
    pull,
)
from runslot.transport.bucket import push as push_module
from runslot.transport.bucket.inventory import PART, Inventory
from runslot.transport.bucket.pull import Unwritable

SHARE = MachineShare("b1")


class LiveRuns:
    """A store that notes what is asked of it, and passes it on to a real one."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.put_names: list[str] = []
        self.got_names: list[str] = []
        self.fail_after: int | None = None
        self.old: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return self.store.url

    def _count(self) -> None:
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                raise Unreachable("the network is gone")

    def put(self, name: str, data: bytes) -> None:
        self._count()
        self.put_names.append(name)
        self.store.put(name, data)

    def get(self, name: str) -> bytes:
        self._count()
        self.got_names.append(name)
        return self.old.get(name) or self.store.get(name)

    def names(self, below: str = "") -> dict[str, int]:
        return self.store.names(below)

    def delete(self, names: Iterable[str]) -> None:
        self.store.delete(names)


def write_run(
    root: Path, name: str, ended: bool = True, rows: int = 3, snapshot: int = 100
) -> Path:
    run = root / name
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text("{}")
    (run / "variant.json").write_text(json.dumps({"name": name}))
    (run / "progress.csv").write_text("i,Loss\n" + "".join(f"{i},{i * 2}\n" for i in range(rows)))
    # With an end of its own: gcp-storage-emulator cuts off a last carriage return.
    (run / "params.pkl").write_bytes(random.Random(name).randbytes(snapshot) + b".")
    if ended:
        (run / "outcome.json").write_text(
            json.dumps({"format": 1, "kind": "succeeded", "run": name, "rows": rows})
        )
    return run


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def pusher_of(store: Store, root: Path, runs: list[str], machine: str = "m1") -> Pusher:
    pusher = Pusher(store, SHARE, root, runs, machine)
    pusher.claim()
    pusher.trust_restored()
    return pusher


def test_what_was_pushed_comes_home_as_it_was(store: Store, tmp_path: Path) -> None:
    there, home = tmp_path / "there", tmp_path / "home"
    names = ["lr=0.1/run_0", "lr=0.1/run_1", "ünï cödé & odd #%+/run_0"]
    for name in names:
        write_run(there, name)
    os.chmod(there / names[0] / "params.pkl", 0o600)
    (there / names[0] / "attempt_1").mkdir()
    (there / names[0] / "attempt_1" / "outcome.json").write_text("{}")
    (there / names[0] / "empty").touch()
    pusher_of(store, there, names).push("done")
    brought = pull(store, SHARE, home)
    assert tree(home) == tree(there)
    assert brought.listing.state == "done"
    assert not (home / names[0] / "run.json").exists(), "what to execute is the machine's own"
    there_stat, home_stat = (place / names[0] / "params.pkl" for place in (there, home))
    assert there_stat.stat().st_mtime_ns == home_stat.stat().st_mtime_ns
    assert home_stat.stat().st_mode & 0o777 == 0o600


def test_only_what_changed_travels_either_way(store: Store, tmp_path: Path) -> None:
    there, home = tmp_path / "there", tmp_path / "home"
    write_run(there, "a/run_0", ended=False)
    write_run(there, "b/run_0", ended=False)
    watched = LiveRuns(store)
    pusher = pusher_of(watched, there, ["a/run_0", "b/run_0"])
    pusher.push()
    first = pull(watched, SHARE, home)
    time.sleep(0.2)  # past the time in which a file may change without another time of change
    pusher.push()
    watched.put_names.clear()
    assert pusher.push() == 0
    assert watched.put_names == []
    with (there / "a/run_0/progress.csv").open("a") as file:
        file.write("3,6\n")
    pusher.push()
    assert len([name for name in watched.put_names if "/parts/" in name]) == 1
    watched.got_names.clear()
    second = pull(watched, SHARE, home, first.listing)
    assert second.files == 1
    assert len([name for name in watched.got_names if "/parts/" in name]) == 1
    assert tree(home) == tree(there)
    watched.got_names.clear()
    assert pull(watched, SHARE, home, second.listing).files == 0
    assert watched.got_names == [SHARE.listing]


def test_a_new_process_of_the_machine_sends_nothing_twice(store: Store, tmp_path: Path) -> None:
    there = tmp_path / "there"
    write_run(there, "a/run_0", snapshot=3 * PART + 5)
    pusher_of(store, there, ["a/run_0"]).push()
    watched = LiveRuns(store)
    assert pusher_of(watched, there, ["a/run_0"], "m2").push() == 0
    assert [name for name in watched.put_names if "/parts/" in name] == []


def test_what_a_machine_no_longer_has_goes_at_home_too_and_other_files_stay(
    store: Store, tmp_path: Path
) -> None:
    there, home = tmp_path / "there", tmp_path / "home"
    run = write_run(there, "a/run_0")
    pusher = pusher_of(store, there, ["a/run_0"])
    pusher.push()
    first = pull(store, SHARE, home)
    (home / "a/run_0/notes.txt").write_text("mine")
    # A further attempt: what was is kept aside, the outcome goes first of all at home.
    (run / "attempt_1").mkdir()
    for name in ("params.pkl", "outcome.json"):
        (run / name).rename(run / "attempt_1" / name)
    pusher.push()
    pull(store, SHARE, home, first.listing)
    assert not (home / "a/run_0/outcome.json").exists()
    assert (home / "a/run_0/attempt_1/params.pkl").read_bytes() == (
        run / "attempt_1/params.pkl"
    ).read_bytes()
    assert (home / "a/run_0/notes.txt").read_text() == "mine"


def test_objects_that_no_list_names_are_deleted(tmp_path: Path) -> None:
    bucket, there = tmp_path / "bucket", tmp_path / "there"
    write_run(there, "a/run_0", ended=False)
    pusher = pusher_of(open_store(f"file://{bucket}"), there, ["a/run_0"])
    for number in range(5):
        (there / "a/run_0/params.pkl").write_bytes(bytes([number]) * 1000)
        pusher.push()
    pusher.push()
    parts = [path for path in bucket.rglob("*") if path.is_file() and "parts" in path.parts]
    assert {path.name for path in parts} == {
        hashlib.sha256((there / "a/run_0" / name).read_bytes()).hexdigest()
        for name in ("params.pkl", "progress.csv", "variant.json")
    }


def test_rows_go_before_all_else_and_an_outcome_after_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "_AT_ONCE", 1)  # else a thread that is held up comes later
    there = tmp_path / "there"
    for number in range(20):
        write_run(there, f"v{number}/run_0", ended=number % 2 == 0)
    watched = LiveRuns(open_store(f"file://{tmp_path}/bucket"))
    pusher_of(watched, there, [f"v{number}/run_0" for number in range(20)]).push()
    listing = Inventory.from_bytes(watched.get(SHARE.listing))
    position = {name: number for number, name in reversed(list(enumerate(watched.put_names)))}

    def sent(path: str) -> int:
        return position[SHARE.object(listing.files[path].parts[0])]

    last_rows = max(sent(path) for path in listing.files if path.endswith("progress.csv"))
    rest = [path for path in listing.files if path.endswith("params.pkl")]
    assert len(rest) == 20
    assert all(sent(path) > last_rows for path in rest)
    for number in range(0, 20, 2):
        assert sent(f"v{number}/run_0/outcome.json") > sent(f"v{number}/run_0/params.pkl")


@pytest.mark.parametrize("cut", range(1, 24, 2))
def test_an_outcome_never_arrives_before_the_data_it_speaks_of(tmp_path: Path, cut: int) -> None:
    """Cut the connection after so many requests, on either side, at any place: what home has is
    whole or absent.
    """
    there, home = tmp_path / "there", tmp_path / "home"
    names = [f"v{number}/run_0" for number in range(4)]
    for name in names:
        write_run(there, name, rows=5)
    watched = LiveRuns(open_store(f"file://{tmp_path}/bucket"))
    pusher = pusher_of(watched, there, names)
    watched.fail_after = cut
    with suppress(Unreachable):
        pusher.push()
    watched.fail_after = None
    _bring_cut(watched, home, None)
    _check_outcomes(there, home)
    pusher.push("done")
    watched.fail_after = cut
    _bring_cut(watched, home, cut)
    _check_outcomes(there, home)
    watched.fail_after = None
    pull(watched, SHARE, home)
    assert tree(home) == tree(there)


def _bring_cut(store: LiveRuns, home: Path, cut: int | None) -> None:
    store.fail_after = cut
    try:
        pull(store, SHARE, home)
    except Unreachable:
        assert cut is not None


def _check_outcomes(there: Path, home: Path) -> None:
    for outcome in home.rglob("outcome.json"):
        run = outcome.parent
        for name in ("progress.csv", "params.pkl", "variant.json"):
            assert (run / name).read_bytes() == (there / run.relative_to(home) / name).read_bytes()


def test_an_outcome_that_appears_during_a_push_waits_for_the_next(tmp_path: Path) -> None:
    there = tmp_path / "there"
    run = write_run(there, "a/run_0", ended=False)
    real = open_store(f"file://{tmp_path}/bucket")

    class Slow(LiveRuns):
        def put(self, name: str, data: bytes) -> None:
            if not (run / "outcome.json").exists():
                with (run / "progress.csv").open("a") as file:
                    file.write("3,6\n")
                (run / "outcome.json").write_text("{}")
            super().put(name, data)

    pusher = Pusher(Slow(real), SHARE, there, ["a/run_0"], "m1")
    pusher.push()
    assert "a/run_0/outcome.json" not in Inventory.from_bytes(real.get(SHARE.listing)).files
    pusher.push()
    home = tmp_path / "home"
    pull(real, SHARE, home)
    assert tree(home) == tree(there)


def test_a_file_that_changes_while_it_is_read_is_sent_next_time(tmp_path: Path) -> None:
    there = tmp_path / "there"
    run = write_run(there, "a/run_0", ended=False, snapshot=2 * PART)
    real = open_store(f"file://{tmp_path}/bucket")
    changed = []

    class Slow(LiveRuns):
        def put(self, name: str, data: bytes) -> None:
            if len(data) == PART and not changed:
                changed.append(name)
                with (run / "params.pkl").open("r+b") as file:
                    file.write(b"other bytes")
            super().put(name, data)

    pusher = Pusher(Slow(real), SHARE, there, ["a/run_0"], "m1")
    pusher.push()
    assert changed
    listed = Inventory.from_bytes(real.get(SHARE.listing)).files
    assert "a/run_0/params.pkl" not in listed
    assert "a/run_0/progress.csv" in listed
    pusher.push()
    home = tmp_path / "home"
    pull(real, SHARE, home)
    assert tree(home) == tree(there)


def test_another_machine_takes_a_share_over_and_the_first_stops(
    store: Store, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_run(first, "a/run_0", ended=False)
    old = pusher_of(store, first, ["a/run_0"])
    old.push()
    new = Pusher(store, SHARE, second, ["a/run_0"], "m2")
    new.claim()
    pull(store, SHARE, second)
    new.trust_restored()
    assert new.push() == 0
    assert tree(second) == tree(first)
    write_run(first, "a/run_0", ended=True, rows=9)
    with pytest.raises(TakenOver, match="m2"):
        old.push()
    (second / "a/run_0/outcome.json").write_text('{"by": 2}')
    new.push()
    pull(store, SHARE, tmp_path / "home")
    assert (tmp_path / "home/a/run_0/outcome.json").read_text() == '{"by": 2}'


def test_a_bucket_that_shows_an_old_list_changes_nothing(tmp_path: Path) -> None:
    there, home = tmp_path / "there", tmp_path / "home"
    write_run(there, "a/run_0", ended=False, rows=1)
    watched = LiveRuns(open_store(f"file://{tmp_path}/bucket"))
    pusher = pusher_of(watched, there, ["a/run_0"])
    pusher.push()
    old = watched.get(SHARE.listing)
    write_run(there, "a/run_0", rows=5)
    pusher.push()
    known = pull(watched, SHARE, home)
    before = tree(home)
    watched.old[SHARE.listing] = old
    assert pull(watched, SHARE, home, known.listing).files == 0
    assert tree(home) == before


def test_a_list_whose_objects_are_not_to_be_seen_yet_is_pulled_later(tmp_path: Path) -> None:
    bucket, there, home = tmp_path / "bucket", tmp_path / "there", tmp_path / "home"
    write_run(there, "a/run_0")
    store = open_store(f"file://{bucket}")
    pusher_of(store, there, ["a/run_0"]).push()
    listing = Inventory.from_bytes(store.get(SHARE.listing))
    hidden = bucket / SHARE.object(listing.files["a/run_0/params.pkl"].parts[0])
    hidden.rename(tmp_path / "hidden")
    brought = pull(store, SHARE, home)
    assert set(brought.later) == {"a/run_0/params.pkl", "a/run_0/outcome.json"}
    assert not (home / "a/run_0/outcome.json").exists()
    (tmp_path / "hidden").rename(hidden)
    assert pull(store, SHARE, home, brought.listing).later == ()
    assert tree(home) == tree(there)


def test_a_damaged_object_is_not_taken_for_a_file(tmp_path: Path) -> None:
    bucket, there, home = tmp_path / "bucket", tmp_path / "there", tmp_path / "home"
    write_run(there, "a/run_0")
    store = open_store(f"file://{bucket}")
    pusher_of(store, there, ["a/run_0"]).push()
    listing = Inventory.from_bytes(store.get(SHARE.listing))
    (bucket / SHARE.object(listing.files["a/run_0/params.pkl"].parts[0])).write_bytes(b"x" * 100)
    assert "a/run_0/params.pkl" in pull(store, SHARE, home).later
    assert not (home / "a/run_0/params.pkl").exists()


@pytest.mark.parametrize("path", ["../outside", "/etc/outside", "a/../../outside"])
def test_a_bucket_cannot_write_outside_the_experiment(tmp_path: Path, path: str) -> None:
    store = open_store(f"file://{tmp_path}/bucket")
    there = tmp_path / "there"
    write_run(there, "a/run_0")
    pusher_of(store, there, ["a/run_0"]).push()
    listing = Inventory.from_bytes(store.get(SHARE.listing))
    files = dict(zip([path], listing.files.values(), strict=False))
    store.put(SHARE.listing, replace(listing, files=files).to_bytes())
    with pytest.raises(RunslotError, match="outside"):
        pull(store, SHARE, tmp_path / "x" / "home")
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_bucket_that_vanishes_loses_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(kind)
    there, home = tmp_path / "there", tmp_path / "home"
    write_run(there, "a/run_0", ended=False)
    store = open_store(address)
    pusher = pusher_of(store, there, ["a/run_0"])
    pusher.push()
    known = pull(store, SHARE, home)
    _delete_bucket(kind, address, request)
    write_run(there, "a/run_0")
    with pytest.raises(Unreachable, match="no bucket"):
        pusher.push()
    with pytest.raises(Unreachable, match="no bucket"):
        pull(open_store(address), SHARE, home, known.listing)
    assert (home / "a/run_0/params.pkl").exists(), "what had come home stays"
    _make_bucket(kind, address, request)
    again = pusher_of(open_store(address), there, ["a/run_0"])
    again.push("done")
    pull(open_store(address), SHARE, home)
    assert tree(home) == tree(there)


def _delete_bucket(kind: str, address: str, request: pytest.FixtureRequest) -> None:
    name = address.split("/")[2]
    if kind == "s3":
        import boto3

        client = boto3.client("s3")
        for each in client.list_objects_v2(Bucket=name)["Contents"]:
            client.delete_object(Bucket=name, Key=each["Key"])
        client.delete_bucket(Bucket=name)
        return
    server = request.getfixturevalue("emulator")
    server.kill()  # it keeps buckets in memory: a new one has none
    server.start()


def _make_bucket(kind: str, address: str, request: pytest.FixtureRequest) -> None:
    import urllib.request

    name = address.split("/")[2]
    if kind == "s3":
        import boto3

        boto3.client("s3").create_bucket(Bucket=name)
        return
    url = f"{request.getfixturevalue('emulator').url}/storage/v1/b?project=test"
    asked = urllib.request.Request(
        url, json.dumps({"name": name}).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(asked).close()


def test_a_server_that_does_not_answer_is_named_and_nothing_is_lost(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    write_run(there, "a/run_0")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"s3://b-\d+ does not answer.*nothing is lost"):
        Pusher(open_store(s3), SHARE, there, ["a/run_0"], "m1").push()


def test_missing_credentials_are_named(
    s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"no credentials were found for s3://.*aws configure"):
        open_store(s3).put("x", b"")


def test_a_bucket_of_someone_else_is_refused_with_what_to_do(
    s3: str, moto: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    client = boto3.client("s3")
    name = s3.split("/")[2]
    denied = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{name}/*",
    }
    policy = {"Statement": [denied]}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    with pytest.raises(InvalidInput, match=r"may not write to s3://.*someone else's"):
        open_store(s3).put("x", b"")
    client.delete_bucket_policy(Bucket=name)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s4://bucket", "did you mean 's3'"),
        ("bucket", "is not the address of a bucket"),
        ("s3:///prefix", "names no bucket"),
        ("s3://key:secret@bucket/x", "no place for credentials"),
    ],
)
def test_addresses_that_are_none_are_refused(address: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        open_store(address)
    assert "secret" not in str(refused.value)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from runslot.transport.bucket import open_store\nopen_store('s3://bucket/x')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert NotInstalled.__name__ in done.stderr
    assert extra_said("cloud") in done.stderr


def test_no_such_object_is_told_from_no_such_bucket(store: Store) -> None:
    store.put("there", b"x")
    with pytest.raises(Missing):
        store.get("not-there")
    store.delete(["there", "not-there"])
    with pytest.raises(Missing):
        store.get("there")


PUSH = """
import sys
from pathlib import Path
from runslot.transport.bucket import Pusher, MachineShare, open_store
root = Path(sys.argv[2])
runs = sorted(path.parent.relative_to(root).as_posix() for path in root.glob("*/run_0/run.json"))
pusher = Pusher(open_store(sys.argv[1]), MachineShare("b1"), root, runs, sys.argv[3])
pusher.claim()
print("claimed", flush=True)
pusher.push("done")
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""

PULL = """
import sys
from pathlib import Path
from runslot.transport.bucket import MachineShare, open_store
from runslot.transport.bucket import pull
print("pulling", flush=True)
pull(open_store(sys.argv[1]), MachineShare("b1"), Path(sys.argv[2]))
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def run_killed(script: str, arguments: list[str], after: float) -> bool:
    """Start the script and kill it so long after its first line; return whether it was still at
    work.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    finally:
        process.stdout.close()
    return False


def run_through(script: str, arguments: list[str]) -> int:
    """Run the script to its end and return the MB that it held at most."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout.splitlines()[-1])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_a_thousand_runs_survive_kills_on_both_sides(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(kind)
    there, home = tmp_path / "there", tmp_path / "home"
    for number in range(1000):
        write_run(there, f"v{number}/run_0")
    killed = [run_killed(PUSH, [address, str(there), f"m{number}"], 3.0) for number in range(2)]
    assert any(killed)
    pull(open_store(address), SHARE, home)
    _check_outcomes(there, home)
    run_through(PUSH, [address, str(there), "m9"])
    for _ in range(2):
        run_killed(PULL, [address, str(home)], 2.0)
        _check_outcomes(there, home)
    run_through(PULL, [address, str(home)])
    assert tree(home) == tree(there)
    assert not list(home.rglob("*.pull"))


@pytest.mark.timeout(900)
def test_a_snapshot_of_two_gigabytes_is_streamed_and_resumed(
    s3: str, moto: object, tmp_path: Path
) -> None:
    """Interrupted on both sides, it goes on where it was, and neither side ever holds it in
    memory.
    """
    there, home = tmp_path / "there", tmp_path / "home"
    run = write_run(there, "big/run_0")
    blocks = [random.Random(number).randbytes(PART) for number in range(8)]
    # 2 GB, an eighth of it of different content, the rest a hole
    with (run / "params.pkl").open("wb") as file:
        for number, block in enumerate(blocks):
            file.seek(number * 16 * PART)
            file.write(block)
        file.truncate(2 * 2**30 + 12345)
    store = open_store(s3)
    assert run_killed(PUSH, [s3, str(there), "m1"], 4.0)
    with pytest.raises(Missing):
        store.get(SHARE.object("0" * 64))
    held = run_through(PUSH, [s3, str(there), "m2"])
    assert held < 500, f"{held} MB"
    assert run_killed(PULL, [s3, str(home)], 4.0)
    assert not (home / "big/run_0/outcome.json").exists()
    begun = [path.stat().st_size for path in (home / "big/run_0").glob(".*.pull")]
    assert begun, "what has come is kept"
    watched = LiveRuns(store)
    pull(watched, SHARE, home)
    fetched = len([name for name in watched.got_names if "/parts/" in name])
    assert fetched <= 129 + 6 - begun[0] // PART
    assert (home / "big/run_0/params.pkl").stat().st_size == 2 * 2**30 + 12345
    assert _digest(home / "big/run_0/params.pkl") == _digest(run / "params.pkl")
    assert (home / "big/run_0/outcome.json").exists()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(PART):
            digest.update(block)
        return digest.hexdigest()


def test_what_cannot_be_read_is_said_once_and_left_out(tmp_path: Path) -> None:
    root = tmp_path / "away"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "progress.csv").write_text("Loss\n1\n")
    refused = Path("/proc/sys/vm/compact_memory")  # nobody may read it, root neither
    if not refused.exists():
        pytest.skip(f"there is no {refused}")
    (root / "a" / "b" / "refused").symlink_to(refused)
    said: list[str] = []
    store = open_store(f"file://{tmp_path}/bucket")
    pusher = Pusher(store, SHARE, root, ["a"], "m1", say=said.append)
    pusher.claim()
    pusher.push()
    pusher.push("done")
    assert said == [f"{root}/a/b/refused cannot be read (Permission denied), so it is not sent"]
    assert pull(store, SHARE, tmp_path / "home").files == 1
    assert (tmp_path / "home" / "a" / "progress.csv").read_text() == "Loss\n1\n"


def test_equal_parts_may_be_put_at_the_same_moment(tmp_path: Path) -> None:
    """As two files of one content are, by one push."""
    store = open_store(f"file://{tmp_path}/bucket")
    data = os.urandom(1_000_000)
    with ThreadPoolExecutor(8) as pool:
        for number in range(50):
            for done in [pool.submit(store.put, f"parts/{number}", data) for _ in range(8)]:
                done.result()
    assert all(store.get(f"parts/{number}") == data for number in range(50))
    assert sorted(os.listdir(tmp_path / "bucket" / "parts")) == sorted(map(str, range(50)))


def test_names_as_long_as_they_can_be_come_home_and_a_directory_that_becomes_a_file(
    tmp_path: Path,
) -> None:
    store, away, home = (
        open_store(f"file://{tmp_path}/bucket"),
        tmp_path / "away",
        tmp_path / "home",
    )
    (away / "r" / "a" / "b").mkdir(parents=True)
    (away / "r" / "a" / "b" / "c").write_text("in a directory")
    (away / "r" / ("x" * 250)).write_text("long")
    pusher = Pusher(store, SHARE, away, ["r"], "m")
    pusher.claim()
    pusher.push()
    before = pull(store, SHARE, home).listing
    assert (home / "r" / ("x" * 250)).read_text() == "long"
    (away / "r" / "a" / "b" / "c").unlink()
    (away / "r" / "a" / "b").rmdir()
    (away / "r" / "a").rmdir()
    (away / "r" / "a").write_text("a file")
    pusher.push()

    pull(store, SHARE, home, before)

    assert (home / "r" / "a").read_text() == "a file"


def test_a_file_that_cannot_be_written_at_home_is_named_and_comes_with_a_later_pull(
    tmp_path: Path,
) -> None:
    store, away, home = (
        open_store(f"file://{tmp_path}/bucket"),
        tmp_path / "away",
        tmp_path / "home",
    )
    (away / "r").mkdir(parents=True)
    (away / "r" / "file").write_text("from the machine")
    pusher = Pusher(store, SHARE, away, ["r"], "m")
    pusher.claim()
    pusher.push()
    (home / "r" / "file").mkdir(parents=True)
    (home / "r" / "file" / "mine").touch()

    with pytest.raises(
        Unwritable, match=r"r/file cannot be written here .* a later pull brings it"
    ):
        pull(store, SHARE, home)
    (home / "r" / "file" / "mine").unlink()
    pull(store, SHARE, home)

    assert (home / "r" / "file").read_text() == "from the machine"
