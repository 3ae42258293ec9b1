"""What an ssh pool decides without a host: what stands in the way, what comes home and in which
order.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runslot.engines.registry import read_entry
from runslot.engines.ssh.ledger import Books, Entry, Found
from runslot.engines.ssh.pool import Silence, SlotStanding
from runslot.engines.ssh.probe import Probe, obstacle, read
from runslot.errors import InvalidInput
from runslot.experiment.records import Outcome, Run
from runslot.experiment.rundir import RunDir
from runslot.remote.cleanup import be_the_only_one
from runslot.transport.contents import remove_gone
from runslot.transport.messages import decode, encode
from runslot.transport.parcel import FILE_BYTES, Packed
from runslot.transport.scan import SMALL, Change, Ledger, in_order, look
from runslot.transport.ssh import Host

FINE = Probe("ws1", (3, 11, 7), "/usr/bin/python3", "/home/me/.runslot", 10**10, (3, 2), 0.0)

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh client")


def test_a_host_with_all_that_is_needed_is_used() -> None:
    assert obstacle(FINE, "python3", "3.11") is None
    assert obstacle(replace(FINE, free=None), "python3", None) is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (replace(FINE, python=(3, 9, 2)), "name a newer one"),
        (replace(FINE, python=(2, 7, 18)), "is Python 2.7"),
        (replace(FINE, python=(3, 12, 1)), "what travels by value wants the same"),
        (replace(FINE, free=1000), "is full"),
        (replace(FINE, problem="/data: Read-only file system"), "Read-only file system"),
        (replace(FINE, rsync=None), "it has no rsync"),
        (replace(FINE, rsync=(2, 6)), "its rsync is 2.6"),
    ],
)
def test_what_stands_in_the_way_is_said_with_what_to_do(found: Probe, said: str) -> None:
    assert said in (obstacle(found, "python3", "3.11") or "")


@needs_ssh
def test_a_login_that_is_advised_can_be_pasted(tmp_path: Path) -> None:
    options = ["Port=2222", "ProxyJump=door", f"IdentityFile={tmp_path}/my key"]
    host = Host("me@ws1", str(tmp_path / "config"), options)
    login = [
        "ssh",
        "-F",
        str(tmp_path / "config"),
        *(word for option in options for word in ("-o", option)),
        "me@ws1",
    ]
    assert host.login == login
    error = host.failure(login, b"me@ws1: Permission denied (publickey).")
    assert error.command == shlex.join(login)
    assert f"`{shlex.join(login)}` must work without a password" in error.reason


@needs_ssh
def test_a_key_that_changed_is_forgotten_where_ssh_found_it() -> None:
    """In whichever file, and of whichever host: it may be a jump host's."""
    output = (
        b"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n"
        b"Offending ED25519 key in /home/me/known hosts:3\n"
        b"Host key for [gate.lab]:2222 has changed and you have requested strict checking.\n"
        b"Host key verification failed.\n"
    )
    host = Host("ws1", None, ["ProxyJump=gate.lab:2222"])
    error = host.failure(host.login, output)
    assert "`ssh-keygen -f '/home/me/known hosts' -R '[gate.lab]:2222'`" in error.reason
    assert "`ssh -o ProxyJump=gate.lab:2222 ws1`" in error.reason
    assert not error.retry


def test_another_minor_python_will_do_where_nothing_travels_by_value() -> None:
    assert obstacle(replace(FINE, python=(3, 13, 0)), "python3", None) is None


@pytest.mark.parametrize(("there", "skew"), [(100.5, 0.0), (90.0, -10.0), (131.0, 30.0)])
def test_a_clock_is_off_only_where_no_moment_of_the_question_fits(
    there: float, skew: float
) -> None:
    said = {
        "host": "ws1",
        "python": [3, 11, 0],
        "executable": "",
        "root": "/r",
        "free": None,
        "rsync": [3, 2],
    }
    assert read({**said, "time": there, "problem": None}, before=100.0, after=101.0).skew == skew


def test_messages_are_told_from_what_a_login_shell_prints() -> None:
    message = {"verb": "start", "runs": [["a", 1, 0]], "name": os.fsdecode(b"\xff\n\xc3\xbc")}
    assert decode(encode(message)) == message
    assert decode(b"Welcome to ws1! " + encode(message)) == message
    assert decode(b'{"verb": "start"}\n') is None
    assert decode(encode(message)[:-10]) is None


def test_only_what_changed_since_it_came_home_is_offered_again(tmp_path: Path) -> None:
    ledger = Ledger()
    (tmp_path / "progress.csv").write_text("a\n1\n")
    (tmp_path / "outcome.json").write_text("{}")
    (tmp_path / ".params.pkl.123").write_text("half")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/link").symlink_to("nowhere")

    changed, gone = ledger.offer("r", look(tmp_path))
    assert sorted(change.path for change in changed) == ["progress.csv", "sub/link"]
    assert not gone

    assert len(ledger.offer("r", look(tmp_path))[0]) == 2  # what was offered did not come home
    ledger.came_home()
    assert ledger.offer("r", look(tmp_path)) == ([], [])
    (tmp_path / "progress.csv").write_text("a\n1\n2\n")
    (tmp_path / "sub/link").unlink()
    changed, gone = ledger.offer("r", look(tmp_path))
    assert [change.path for change in changed] == ["progress.csv"]
    assert gone == ["sub/link"]


def test_what_is_large_waits_and_is_not_forgotten(tmp_path: Path) -> None:
    ledger = Ledger()
    weights = tmp_path / "params.pkl"
    weights.write_bytes(bytes(SMALL + 1))
    (tmp_path / "progress.csv").write_text("a\n1\n")

    assert [change.path for change in ledger.offer("r", look(tmp_path), until=0)[0]] == [
        "progress.csv"
    ]
    ledger.came_home()
    assert [change.path for change in ledger.offer("r", look(tmp_path))[0]] == ["params.pkl"]
    ledger.came_home()
    weights.write_bytes(bytes(SMALL + 2))
    assert ledger.offer("r", look(tmp_path), until=0) == ([], [])
    ledger.came_home()
    assert [change.path for change in ledger.offer("r", look(tmp_path))[0]] == ["params.pkl"]
    weights.unlink()
    assert ledger.offer("r", look(tmp_path), until=0) == ([], ["params.pkl"])


def test_what_is_being_written_waits_until_it_is_whole(tmp_path: Path) -> None:
    weights = tmp_path / "params.pkl"
    weights.write_bytes(bytes(SMALL + 1))
    changed = weights.stat().st_mtime_ns
    assert Ledger().offer("r", look(tmp_path), until=changed - 1) == ([], [])
    assert len(Ledger().offer("r", look(tmp_path), until=changed)[0]) == 1


def test_progress_and_what_is_small_come_home_first() -> None:
    large, small = Change("r", "params.pkl", SMALL + 1), Change("r", "debug.log", SMALL)
    progress = Change("r", "progress.csv", 100 * SMALL)
    assert in_order([large, progress, small]) == ([progress, small], [large])


def test_a_small_file_comes_home_in_a_message_as_it_is(tmp_path: Path) -> None:
    there, here = RunDir(tmp_path / "there"), tmp_path / "here"
    (there.path / "sub").mkdir(parents=True)
    (here / "waiting").mkdir(parents=True)
    odd = os.fsdecode(b"sub/\xff \n")
    (there.path / odd).write_bytes(bytes(range(256)))
    (there.path / odd).chmod(0o750)
    os.utime(there.path / odd, ns=(1, 123_456_789_000_000_007))
    packed = Packed.of("r", there, odd)
    assert packed is not None
    message = decode(encode({"parcel": [packed.to_json()]}))
    assert message is not None

    arrived = Packed.from_json(message["parcel"][0])
    assert arrived.put(here, {"r": "lr=1/run_0"}, here / "waiting")
    file = here / "lr=1/run_0" / odd
    assert file.read_bytes() == bytes(range(256))
    assert file.stat().st_mtime_ns == 123_456_789_000_000_007
    assert file.stat().st_mode & 0o777 == 0o750
    assert not list((here / "waiting").iterdir())


def test_what_is_no_small_file_is_left_to_rsync(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    (tmp_path / "large").write_bytes(bytes(FILE_BYTES + 1))
    (tmp_path / "link").symlink_to("large")
    os.mkfifo(tmp_path / "pipe")
    for name in ("large", "link", "pipe", "gone"):
        assert Packed.of("r", run_dir, name) is None, name


@pytest.mark.parametrize("path", ["../stolen", "/stolen", "link/stolen", "taken"])
def test_a_host_can_have_nothing_written_outside_its_runs(tmp_path: Path, path: str) -> None:
    run = tmp_path / "runs/lr=1"
    (run / "taken").mkdir(parents=True)
    (run / "taken/file").touch()
    (run / "link").symlink_to(tmp_path)
    (tmp_path / "waiting").mkdir()
    packed = Packed("r", path, 0o644, 0, b"x")

    assert not packed.put(tmp_path / "runs", {"r": "lr=1"}, tmp_path / "waiting")
    assert not packed.put(tmp_path / "runs", {}, tmp_path / "waiting")
    assert not list(tmp_path.rglob("stolen"))
    assert not list((tmp_path / "waiting").iterdir())


def test_a_host_can_have_nothing_removed_outside_its_runs(tmp_path: Path) -> None:
    (tmp_path / "run_0").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "run_0/link").symlink_to("../other")
    for name in ("run_0/old", "other/mine", "mine"):
        (tmp_path / name).touch()

    gone = ["old", "../mine", "/etc/hostname", "link/mine", "never"]
    remove_gone(tmp_path, {"r": "run_0"}, [("r", path) for path in gone] + [("s", "old")])

    assert not (tmp_path / "run_0/old").exists()
    assert (tmp_path / "mine").exists()
    assert (tmp_path / "other/mine").exists()


@pytest.mark.parametrize("name", ["", "-oProxyCommand=x", "a b", "host:22", "ssh://host"])
def test_what_cannot_be_a_host_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a host"):
        Host(name)


@needs_ssh
def test_a_command_for_a_host_is_one_word_an_argument() -> None:
    argv = ["printf", "a b", "c'd\"e", "$HOME", "-x", "new\nline", "~/there is"]
    remote = Host("ws1").command(argv)[-1]
    assert shlex.split(remote.replace('"$HOME"', "~")) == argv


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "needs the key 'hosts'"),
        ({"hosts": []}, "hosts is empty"),
        ({"hosts": "ws1"}, "it is a list in brackets"),
        ({"hosts": ["a", "a"]}, "twice"),
        ({"hosts": ["a"], "lost_after": 0}, "number of seconds above 0"),
        ({"hosts": ["a"], "lost_afer": 3}, "did you mean 'lost_after'"),
        ({"hosts": ["-a"]}, "cannot be a host"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(entry: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match="launchers") as refused:
        read_entry("pool", {"kind": "ssh", **entry}, "runslot.toml")
    assert said in str(refused.value)


def test_a_remote_end_ends_the_one_before(tmp_path: Path) -> None:
    """The one before holds the lock, and may not have noticed that nobody listens to it any
    more.
    """
    import subprocess
    import sys

    hold = (
        "import sys, time; from pathlib import Path; from runslot.remote.cleanup import"
        " be_the_only_one\nwith be_the_only_one(Path(sys.argv[1])):\n    print('held', flush=True);"
        " time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE) as before:
        assert before.stdout is not None
        assert before.stdout.readline() == b"held\n"
        with be_the_only_one(tmp_path):
            assert before.wait(30) != 0


# ---- the books -----------------------------------------------------------------------------------

RUN = Run("r", "v", {}, "v/run_0")
WELL = Outcome("succeeded", 1)


def books_with(state: str = "asked") -> tuple[Books, Entry]:
    books = Books("ws1", [])
    entry = books.ask(RUN, RunDir("v/run_0"), 1, slot=0)
    if state != "asked":
        books.started(entry, "17")
    if state == "ended":
        books.end(entry.key, WELL)
    return books, entry


def test_a_start_without_an_answer_is_asked_for_again_and_keeps_its_handle() -> None:
    books, entry = books_with("asked")
    handle = entry.handle  # which the launcher has been given

    assert books.settle(Found()) == (True, [entry])
    books.started(entry)
    books.end(entry.key, WELL)
    assert books.conclude(entry, "", lambda _: None)

    assert books.take_done() == {handle: WELL}
    assert books.take_done() == {}


def test_a_slot_is_free_once_its_run_has_ended_well_there() -> None:
    """Also where that is heard before the answer to the start; a run that failed may be tried
    again, and what it left is looked at first.
    """
    books, entry = books_with("asked")
    books.end(entry.key, WELL)
    handle = books.started(entry, "17")

    assert books.take_vacant() == [handle]
    assert books.take_vacant() == []
    assert books.take_done() == {}, "its files have yet to come"

    books, entry = books_with("running")
    books.end(entry.key, Outcome("failed", 1))
    assert books.take_vacant() == []


def test_a_run_that_the_host_knows_nothing_of_any_more_is_lost() -> None:
    books, entry = books_with("running")
    assert books.settle(Found()) == (True, [])
    assert entry.outcome is not None
    assert entry.outcome.kind == "lost"
    assert "ws1" in entry.outcome.message


def test_what_ended_while_the_connection_was_broken_has_yet_to_come_home() -> None:
    books, entry = books_with("running")
    books.settle(Found(ended={entry.key: WELL}))
    assert books.ended() == [entry]
    assert books.take_done() == {}


def test_what_was_given_up_while_a_connection_was_made_is_not_taken_back() -> None:
    """The host said that it runs there; by then it may run elsewhere."""
    books, entry = books_with("running")
    books.give_up("it was silent")
    assert books.settle(Found(running={entry.key})) == (False, [])
    assert [outcome.kind for outcome in books.take_done().values()] == ["lost"]
    assert books.expected() == set()


def test_an_end_that_comes_after_a_host_was_given_up_changes_nothing() -> None:
    books, entry = books_with("ended")
    written: list[Entry] = []
    books.give_up("it was silent")
    books.end(entry.key, WELL)
    assert not books.conclude(entry, "", written.append)
    assert not written
    assert [outcome.kind for outcome in books.take_done().values()] == ["lost"]


def test_a_stop_is_repeated_until_the_run_has_ended() -> None:
    books, entry = books_with("running")
    books.ask_stop([entry.handle], kill=False)
    assert books.stops() == {False: [entry.key], True: []}
    books.ask_stop([entry.handle], kill=True)
    assert books.stops() == {False: [], True: [entry.key]}
    books.end(entry.key, WELL)
    assert books.stops() == {False: [], True: []}


def test_a_run_of_an_earlier_launcher_is_adopted_where_the_host_knows_it() -> None:
    books = Books("ws1", [("r", 1), ("s", 1), ("t", 1)])
    books.settle(Found(running={("r", 1)}, ended={("s", 1): WELL}))
    others = {name: Run(name, "v", {}, f"v/{name}") for name in "rst"}

    handles = {
        name: books.adopt(run, RunDir(run.directory), 1, connected=True)
        for name, run in others.items()
    }

    assert [name for name, handle in handles.items() if handle is None] == ["t"]
    assert [entry.run.id for entry in books.ended()] == ["s"]
    assert (
        books.adopt(others["t"], RunDir("v/t"), 1, connected=False) is not None
    )  # it may be there


@pytest.mark.parametrize("is_settled", [False, True])
def test_an_end_that_is_heard_before_its_run_is_adopted_is_kept(is_settled: bool) -> None:
    """The host says it once: while the launcher waits for other hosts, or takes in the answer."""
    books, found = Books("ws1", [(RUN.id, 1)]), Found(running={(RUN.id, 1)})
    if is_settled:
        books.settle(found)
    books.end((RUN.id, 1), WELL)
    if not is_settled:
        books.settle(found)

    assert books.adopt(RUN, RunDir("v/run_0"), 1, connected=True) is not None
    assert [entry.outcome for entry in books.ended()] == [WELL]


def test_a_slot_that_someone_has_is_asked_for_before_anything_is_started_in_it() -> None:
    standing = SlotStanding("ws1")
    assert standing.refusal(0) is None
    assert not standing.was_taken(0)  # the start takes it

    taken = standing.taken(0, "waits for core 0")
    assert standing.refusal(0) == taken
    assert "ws1" in taken.by
    assert standing.refusal(1) is None

    assert standing.note(0, None) is None
    assert standing.refusal(0) is None
    assert standing.used(0)
    assert not standing.used(0)


def test_a_launcher_that_was_stopped_for_a_while_gives_no_host_up() -> None:
    """What the hosts said meanwhile has yet to be read; a silence from then on is one."""
    silence, began = Silence(8), time.monotonic()
    assert [silence.is_too_long(began, began + after) for after in (3, 6, 9)] == [
        False,
        False,
        True,
    ]
    assert not silence.is_too_long(began + 9, began + 100)
    assert [silence.is_too_long(began + 9, began + after) for after in (103, 107, 109)] == [
        False,
        False,
        True,
    ]


def test_a_host_that_cannot_start_runs_is_left_alone_with_all_its_slots() -> None:
    standing = SlotStanding("ws1")
    standing.unfit("No space left on device")
    assert not standing.fit
    refusal = standing.refusal(3)
    assert refusal is not None
    assert "No space left" in refusal.by
