"""The entry of the `runslot` command and of `python -m runslot`.

What engines call on any machine (`exec`, `work`, `serve`) is read with argparse and needs only the
standard library; everything else is `runslot.cli`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from runslot.errors import InvalidInput, NotInstalled, RunslotError, said_of_system
from runslot.terminal_text import visible

if TYPE_CHECKING:
    import argparse

    from runslot.hardware.slots import Slot


_PLAIN = {
    "work": "runslot.remote.worker",
    "serve": "runslot.remote.ssh_agent",
    "task": "runslot.remote.batch_task",
}
"""Commands for engines, in modules that need the standard library alone; each has a
`main(argv)`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and return its exit status: 0 well, 1 something failed, 2 refused,
    130 Ctrl-C.
    """
    gc.set_threshold(
        50_000, 20, 20
    )  # nearly all that a command makes, modules and runs, lives to its end
    try:
        argv = list(sys.argv[1:] if arguments is None else arguments)
        _open_streams()
        return _let_go_of_output(_carry_out(argv))
    except KeyboardInterrupt:
        return 130


def command() -> NoReturn:
    """Carry out the command line, and end this process as the interpreter does, short of tearing
    down its modules: that takes 25 ms of a processor, for each of a thousand tasks.
    """
    status = main()
    # The first joins threads, the second does what was to be done at the end.
    for last in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        with contextlib.suppress(KeyboardInterrupt):
            last()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody is left to read it
            stream.flush()
    os._exit(status)


def _open_streams() -> None:
    """Open the standard streams that the caller has closed, and let them show what they cannot
    encode.

    Else the next file that is opened would get the number of one, and what is printed would go
    there.
    """
    missing = os.open(os.devnull, os.O_RDWR)
    while missing <= 2:
        missing = os.open(os.devnull, os.O_RDWR)
    os.close(missing)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  by descriptor, to the end
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _let_go_of_output(status: int) -> int:
    """Flush the output; where its reader has gone (`| head`), that is no failure of what was
    done.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            return _refuse(f"the output cannot be written: {error.strerror}")
    return status


def _carry_out(argv: list[str]) -> int:
    try:
        return _of_engine(argv) if argv and argv[0] in {"exec", *_PLAIN} else _call(argv)
    except BrokenPipeError:  # the reader of the output has gone, and has seen what it wanted
        return 0
    except KeyboardInterrupt:
        return 130
    except (RunslotError, OSError, RecursionError, MemoryError) as error:
        return _refuse(_sentence_of(error), getattr(error, "exit_status", 2))


def _sentence_of(error: Exception) -> str:
    if isinstance(error, RunslotError):
        return str(error)
    if isinstance(error, OSError):
        return said_of_system(error)
    if isinstance(error, RecursionError):
        return "what was given is nested too deeply, or holds itself"
    return "there is not enough memory for what was asked"


_LONGEST_SENTENCE = 4000
"""Characters; a longer one holds what was given, and hides what is said of it."""


def _refuse(sentence: str, status: int = 2) -> int:
    if len(sentence) > _LONGEST_SENTENCE:
        sentence = f"{sentence[: _LONGEST_SENTENCE // 2]} … {sentence[-_LONGEST_SENTENCE // 2 :]}"
    try:
        print(f"runslot: {visible(sentence)}", file=sys.stderr, flush=True)
    except OSError:  # nobody is left to be told; the exit status tells it
        pass
    return status


def _of_engine(argv: list[str]) -> int:
    if argv[0] == "exec":
        return execute(argv[1:])
    return int(importlib.import_module(_PLAIN[argv[0]]).main(argv[1:]))


def _call(argv: list[str]) -> int:
    try:
        from runslot.terminal_text import cleaned_streams

        with cleaned_streams():
            return _command(argv)
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "runslot.cli"}:
            raise
        plain = ", ".join(["exec", *_PLAIN])
        raise NotInstalled(
            f"this is runslot's single file, which has the commands {plain}"
        ) from None


def _command(argv: list[str]) -> int:
    _refuse_empty(argv)
    if argv[:1] == ["run"]:
        from runslot.cli import run

        status = run.call(argv[1:])
    else:
        from runslot.cli import plain

        status = plain.call(argv)
    if status is not None:
        return status
    from runslot.cli.app import call

    return call(argv)


def _refuse_empty(argv: Sequence[str]) -> None:
    """Refuse `stop "$DIR"` of a script in which DIR is not set: it would mean whatever is here.

    An empty note alone is one that is taken away.
    """
    words = argv[: argv.index("--")] if "--" in argv else argv
    for number, word in enumerate(words, 1):
        if words[0] == "note" and number > 2 and not word:
            continue
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "=", word)
        if equals and not value.strip():
            where = f"the value of {option}" if option else f"argument {number}"
            raise InvalidInput(f"{where} is empty; is a variable of your script not set?")


def execute(argv: Sequence[str]) -> int:
    """Execute one run in the foreground: `runslot exec RUN_DIR [--attempt N] [--slot JSON]`.

    Returns 0 only where the run succeeded, else its exit code, or 1 where it has none. An attempt
    that has ended before is not executed again.
    """
    from runslot.execute.slot_keeper import keep
    from runslot.experiment.owner import require_own
    from runslot.experiment.rundir import RunDir

    options = _exec_options(argv)
    run_dir = RunDir(os.path.abspath(options.run_dir))  # noqa: PTH100  as the user sees it, links not followed
    run_dir.read_run()
    if options.inside is not None:
        from runslot.execute.inside import keep_inside

        keep_inside(run_dir, options.slot, options.attempt, options.inside)
        return 0  # how the run ended is written
    require_own(run_dir.path, run_dir.run_file)
    outcome = keep(run_dir, options.slot, options.attempt, dict(os.environ))
    if outcome.kind == "succeeded":
        return 0
    print(
        f"runslot: {visible(f'{run_dir.path} {outcome.kind}: {outcome.message}')}", file=sys.stderr
    )
    return outcome.exit_code or 1


def _exec_options(argv: Sequence[str]) -> argparse.Namespace:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise InvalidInput(
                f"{message.removeprefix('argument ')}; `runslot exec -h` shows what there is"
            )

    parser = Parser(prog="runslot exec", description="Execute the run of a run directory, here.")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="a directory with a run.json")
    parser.add_argument(
        "--attempt",
        type=_attempt,
        default=1,
        metavar="N",
        help="which attempt this is; else the first",
    )
    parser.add_argument(
        "--slot", type=_slot, metavar="JSON", help="the share of this machine that the run gets"
    )
    # Of the keeper outside a container: what of its import path is there, as JSON.
    parser.add_argument("--inside", type=_paths_inside, metavar="JSON", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _attempt(text: str) -> int:
    import argparse

    if not (text.isdecimal() and len(text) < 10 and int(text) > 0):
        import argparse  # for a refusal alone

        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no attempt: they are counted from 1")
    return int(text)


def _paths_inside(text: str) -> dict[str, list[str]]:
    import argparse

    try:
        record = json.loads(text)
        return {key: list(map(str, record[key])) for key in ("path", "python_path")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        import argparse

        raise argparse.ArgumentTypeError(
            f"not the lists `path` and `python_path` ({error!r})"
        ) from error


def _slot(text: str) -> Slot:
    import argparse

    from runslot.hardware.slots import Slot

    try:
        return Slot.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise argparse.ArgumentTypeError(
            f"not a slot, as `Slot.to_json` gives it ({error!r})"
        ) from error


if __name__ == "__main__":
    command()
