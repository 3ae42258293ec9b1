"""The process of a run: from the fork of its keeper to the user's command or function.

Everything here happens in the child; whatever goes wrong before the user's code starts goes to the
keeper as one message, so that an outcome can say it. Where forking is unsafe or unwanted, a
function has an interpreter of its own (`start_cold`).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from runslot.execute.placement import Placement, arguments, resize_pools
from runslot.execute.spawn import (
    PACKAGE,
    SIGNALS_TO_DEFAULT,
    die_with_parent,
    mark,
    start_code,
    take_niceness,
)
from runslot.experiment.current import RUN_VARIABLE, enter_run, hold_run
from runslot.experiment.records import Command, RunFile
from runslot.experiment.rundir import RunDir
from runslot.record import record

_OWN_FILES = frozenset({__file__, f"{os.path.dirname(__file__)}/functions.py"})  # noqa: PTH120  as code names them

_LONGEST_MESSAGE = 4096
"""Bytes that a pipe takes at once, whether or not anybody reads."""

CANNOT_START = 127
"""Exit code of a run whose command could not be started, as a shell's."""


@record
class ProcessPlan:
    """All that the run process needs to know."""

    run_dir: RunDir
    file: RunFile
    placement: Placement
    environment: Mapping[str, str]
    function: Callable[..., Any] | None
    """The function, where this process is a fork of one that imported it."""
    argv: Sequence[str]
    """The command, or the cold start of the function; empty where it is imported."""
    keepers_own: tuple[int, ...] = ()
    """Descriptors of the keeper that the run must not have: as long as any process has them, the
    keeper seems alive.
    """
    stdin: int | None = None
    """Descriptor of its input; nothing where it is None."""


def make_job(
    run_dir: RunDir,
    file: RunFile,
    placement: Placement,
    environment: Mapping[str, str],
    function: Callable[..., Any] | None,
    keepers_own: tuple[int, ...],
) -> ProcessPlan:
    """Work out what is to be executed, before the fork."""
    if isinstance(file.work, Command):
        return ProcessPlan(
            run_dir,
            file,
            placement,
            environment,
            None,
            arguments(file.work, placement),
            keepers_own,
        )
    argv = [] if function is not None else cold_start(file, run_dir)
    return ProcessPlan(run_dir, file, placement, environment, function, argv, keepers_own)


def become_run(job: ProcessPlan, keeper: int, console: int, message: int) -> None:
    """Turn this freshly forked process into the run; never returns.

    `console` and `message` are file descriptors: where the run prints, and where one line about a
    failure goes.
    """
    code = 1
    try:
        _detach(keeper, console, job)
        _enter(job)
        if job.function is None:
            code = CANNOT_START
            os.execvpe(job.argv[0], list(job.argv), job.environment)  # noqa: S606  no shell is the point
        from runslot.execute.import_state import (
            freshen,
        )  # a function's alone, and loaded: its template did

        freshen()
        code = call_and_finish(job, job.function, message)
    except BaseException as error:  # noqa: BLE001  the keeper says it; this process has nobody else to tell
        _tell(message, cannot_start(job, error))
    finally:
        os._exit(code)


def cold_start(file: RunFile, run_dir: RunDir) -> list[str]:
    """Return the command line that runs a function in an interpreter of its own."""
    package = "" if file.interpreter is None else file.interpreter.package
    if not os.path.exists(package):  # noqa: PTH110
        package = PACKAGE
    start = start_code("execute.process", "start_cold", package, package=package)
    return [file.python, "-c", start, str(run_dir.path)]


def call_and_finish(job: ProcessPlan, function: Callable[..., Any], message: int | None) -> int:
    """Call the function as the run's main program, end its threads and exit handlers, and return
    the exit code.
    """
    from runslot.execute.functions import call_function, seed_everything, set_gpu_mode, variant_of

    reference = job.file.require_function()
    try:
        _point_loggers(job)
        if job.file.seeding:
            seed_everything(job.file.run.seed)
        if reference.use_gpu is not None:
            set_gpu_mode(reference.use_gpu)
        variant = variant_of(job.run_dir, job.file)
        call_function(function, reference, variant)
        code = 0
    except SystemExit as stop:
        code = _exit_code(stop)
    except BaseException as error:  # noqa: BLE001  it is the user's, and reported as the outcome
        code = 1
        _report(error, message)
    finally:
        _wind_up()
        _complete_variant(job)
    return code


def _report(error: BaseException, message: int | None) -> None:
    """Print the error to the run's console, and tell the keeper of it; both, however odd its text
    is.
    """
    try:
        text = "".join(traceback.format_exception_only(error)).strip()
    except Exception:  # noqa: BLE001  its own methods may raise anything
        text = f"{type(error).__name__} (its text cannot be had)"
    _tell(message, text)
    try:
        traceback.print_exception(
            type(error), error, _users_part(error.__traceback__), file=sys.stderr or sys.__stderr__
        )
    except Exception:  # noqa: BLE001  as above, or standard error is closed
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))


def _complete_variant(job: ProcessPlan) -> None:
    """Leave the variant beside rows that another logger than runslot's wrote, as viskit wants
    it.
    """
    with contextlib.suppress(OSError):
        if os.path.exists(job.run_dir.progress):  # noqa: PTH110
            run = job.file.run
            job.run_dir.complete_variant({**run.variant, **run.extras})


def _point_loggers(job: ProcessPlan) -> None:
    """Let this run's logger start afresh, and those of the ancestors' libraries write to the run's
    directory.
    """
    from runslot import logger  # a function's process alone needs it; a bare template stays small

    enter_run(str(job.run_dir.path), job.file)
    logger.reset()
    logger.adopt_ancestor_loggers(job.run_dir.path, job.file.logger)


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the user's function on; all of it where the error is not in
    there.
    """
    part = trace
    while part is not None and part.tb_frame.f_code.co_filename in _OWN_FILES:
        part = part.tb_next
    return part or trace


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return (stop.code or 0) & 0xFF
    try:
        print(stop.code, file=sys.stderr)
    except Exception:  # noqa: BLE001  what it exits with may have no text, and standard error may be closed
        return 1
    return 1


def _wind_up() -> None:
    # What the interpreter does at its end, short of tearing down modules, which costs a large
    # process 50 ms. As there, nothing that goes wrong now changes how the run has ended.
    for last in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]  # the first joins threads
        try:
            last()
        except BaseException as error:  # noqa: BLE001  of the user's exit handlers
            _report(error, None)
    for stream in (sys.stdout, sys.stderr):
        # Closed, None or something else by now, or on a full disk: nobody is left to tell.
        with contextlib.suppress(Exception):
            stream.flush()


def _detach(keeper: int, console: int, job: ProcessPlan) -> None:
    os.setsid()
    die_with_parent(keeper)
    if job.function is not None and job.keepers_own:
        hold_run(str(job.run_dir.path), job.keepers_own[0])  # by the claim on its run.json
    for descriptor in job.keepers_own:
        os.close(descriptor)
    read = os.open(os.devnull, os.O_RDONLY) if job.stdin is None else job.stdin
    for source, target in ((read, 0), (console, 1), (console, 2)):
        os.dup2(source, target)
    for number in SIGNALS_TO_DEFAULT:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _enter(job: ProcessPlan) -> None:
    if job.placement.pus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.placement.pus)
    if job.file.policy.nice is not None:
        take_niceness(job.file.policy.nice)
    os.chdir(job.file.cwd)
    if job.function is not None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        gc.enable()
        # a line is in the console when it is printed, whatever ends the run
        for stream in (
            sys.stdout,
            sys.stderr,
        ):
            # else the user's module has put something in its place
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)
        os.environ.clear()
        os.environ.update(job.environment)
        mark(job.environment[RUN_VARIABLE])
        if job.placement.threads is not None:
            resize_pools(job.placement.threads)


def cannot_start(job: ProcessPlan, error: BaseException) -> str:
    """Say why the run could not be started."""
    if isinstance(error, OSError) and job.argv:
        return f"cannot start {job.argv[0]!r} in {job.file.cwd}: {error.strerror}"
    return f"cannot start: {type(error).__name__}: {error}"


def _tell(message: int | None, text: str) -> None:
    if message is not None:
        os.write(
            message, text[:_LONGEST_MESSAGE].encode(errors="backslashreplace")[:_LONGEST_MESSAGE]
        )


def read_available(descriptor: int) -> str:
    """Return what stands in a pipe by now, and close it."""
    # Descendants that were killed a moment ago may still hold the other end: take what is there, do
    # not wait.
    text = b""
    while select.select([descriptor], [], [], 0)[0]:
        chunk = os.read(descriptor, 4096)
        if not chunk:
            break
        text += chunk
    os.close(descriptor)
    return text.decode(errors="replace")


def start_cold(package: str) -> None:
    """Run the function of the run directory in `sys.argv[1]`; `package` is where runslot itself was
    found.
    """
    run_dir = RunDir(sys.argv[1])
    call_cold(run_dir, run_dir.read_run(), package)


def call_cold(run_dir: RunDir, file: RunFile, package: str) -> None:
    """Call the function as `file` says, and end this process."""
    from runslot.execute.functions import find_function
    from runslot.execute.import_state import renew_travelled

    enter_import_path(file.path, package)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream, at the start
    reference = file.require_function()
    function = find_function(reference, run_dir.path / file.home)
    if reference.pickle is not None:
        renew_travelled(function)
    job = ProcessPlan(run_dir, file, Placement(None, None, None), os.environ, function, ())
    code = call_and_finish(job, function, None)
    os._exit(code)


def enter_import_path(path: tuple[str, ...], package: str) -> None:
    """Give this process the import path of whoever asked for the function, with runslot itself
    still found.
    """
    if path:
        sys.path[:] = [*path] if package in path else [*path, package]
    sys.argv[:] = [path[0] if path else "", *sys.argv[1:]]
