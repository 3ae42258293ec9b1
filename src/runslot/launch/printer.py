"""One plain line an event: what a launch says in a script, a log file or a notebook.

Notifications of a launch: when it ends, and when its first run fails; through apprise, which
knows the services.

A notification that cannot be sent is said, and changes nothing else.
"""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from runslot.engines.events import (
    LaunchEnded,
    LaunchEvent,
    LaunchLeft,
    LaunchStarted,
    Observer,
    RunDropped,
    RunEnded,
    RunsAdded,
    RunStarted,
    RunWaits,
    Said,
    SearchStands,
    StopNoted,
)
from runslot.errors import InvalidInput, NotInstalled, extra_said
from runslot.experiment.processes import host_name
from runslot.experiment.records import Outcome, Run
from runslot.experiment.states import BAD
from runslot.terminal_text import visible


class Printer:
    """Prints what happens, one line an event."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        self._total = 0
        self._ended = 0
        self._paused: set[str] = set()
        """Runs that have ended for now, and may go on."""
        self._dropped: dict[str, int] = {}

    def __call__(self, event: LaunchEvent) -> None:
        """Print the event's line."""
        for line in self._lines(event):
            print(visible(line), file=self._out or sys.stdout, flush=True)

    def _lines(self, event: LaunchEvent) -> Iterator[str]:
        match event:
            case LaunchStarted():
                self._total += len(event.runs)
                yield f"{event.experiment}: {todo_said(event)}; {event.directory}"
            case RunsAdded():
                self._total += len(event.runs)
            case SearchStands():
                pass  # a line a trial beside the lines of its runs says nothing further
            case RunStarted() if event.slot is None and not event.adopted:
                pass  # it waits in an engine's own queue: nobody knows when it starts
            case RunStarted():
                self._ended -= event.run.id in self._paused
                self._paused.discard(event.run.id)
                yield self._line(
                    "adopted" if event.adopted else "started", event.run, _where(event)
                )
            case RunWaits():
                yield self._line("waits", event.run, event.by)
            case RunEnded():
                self._ended += not event.retry
                self._paused |= {event.run.id} if event.outcome.kind == "paused" else set()
                text = outcome_said(event.outcome) + ("; it is tried again" if event.retry else "")
                yield self._line(
                    event.outcome.kind, event.run, f"{text} ({self._ended}/{self._total})"
                )
            case RunDropped():  # counted, not listed: a stop drops all that waits
                self._dropped[event.reason] = self._dropped.get(event.reason, 0) + 1
            case StopNoted():
                action = (
                    "killing"
                    if event.kill
                    else f"stopping (again: kill; they have {event.grace:g} s)"
                )
                yield f"{action}: {counted(event.running, 'run')}"
            case Said():
                yield event.text
            case LaunchEnded():
                counts = [f"{count} {kind}" for kind, count in event.counts.items()]
                counts += [f"{count} dropped ({reason})" for reason, count in self._dropped.items()]
                yield f"ended: {', '.join(counts)}; {event.directory}"

            case LaunchLeft() if event.runs:  # a search's pilots ask for theirs
                yield f"{counted(event.runs, 'run')} handed over; {event.directory}"

    def _line(self, word: str, run: Run, text: str) -> str:
        return f"{time.strftime('%H:%M:%S')} {word:<9} {run.directory}" + (
            f"  {text}" if text else ""
        )


def _where(event: RunStarted) -> str:
    attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
    return f"slot {event.slot}{attempt}" if event.slot is not None else attempt.lstrip(", ")


def counted(count: int, thing: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def nothing_said(count: int, directory: Path) -> str:
    """Return what is said where an experiment has nothing to do."""
    has = "has" if count == 1 else "have"
    return f"nothing to do: {counted(count, 'run')} of {directory} {has} ended"


def next_step(directory: Path, left_runs: int) -> str:
    """Return which command shows what a launch by a script came to; `left_runs` runs are under
    way.
    """
    place = shlex.quote(str(directory))
    if left_runs:
        return f"`runslot status {place}` shows how the runs stand"
    return f"`runslot results {place}` compares the variants"


def todo_said(event: LaunchStarted) -> str:
    """Return what a launch is about: `12 runs in 2 slots of 1 core each (2 cores)`."""
    if event.search:
        kept_note = (
            f" ({counted(event.kept_count, 'run')} ended before)" if event.kept_count else ""
        )
        return f"search for {event.search}{kept_note}, in {event.slots_said}"
    kept_note = f" ({event.kept_count} more have ended and are kept)" if event.kept_count else ""
    return f"{counted(len(event.runs), 'run')}{kept_note} in {event.slots_said}"


def outcome_said(outcome: Outcome) -> str:
    """Return how long the attempt took and what went wrong, in a few words."""
    took = ""
    if outcome.started is not None and outcome.ended is not None:
        took = duration_said(outcome.ended - outcome.started)
    return ", ".join(part for part in (took, _headline(outcome.message)) if part)


def _headline(message: str) -> str:
    """Return the line that says what it is: an exception's first, behind where it was raised."""
    lines = message.rpartition("Traceback (most recent call last):\n")[2].splitlines()
    return next((line for line in lines if line[:1].strip()), lines[-1] if lines else "")


def duration_said(seconds: float) -> str:
    """Return a length of time for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def pause_said(paused: bool, experiment: str) -> str:
    """Return what is said where a pause begins or ends."""
    if paused:
        return (
            f"{experiment} is paused: what runs goes on, nothing further starts; `runslot continue`"
            " ends the pause"
        )
    return f"{experiment} continues"


# ---- services ------------------------------------------------------------------------------------


_PATIENCE = 30.0
"""Seconds that the end of a launch waits for notifications under way."""


def notifying(observer: Observer, urls: Sequence[str]) -> Observer:
    """Return an observer that also notifies these services; `InvalidInput` where apprise knows one
    of them not.
    """
    return Notifier(observer, [_service(url) for url in urls]) if urls else observer


class Notifier:
    """Passes events on, and sends a notification of those that people want to hear of."""

    def __init__(self, observer: Observer, services: Sequence[Any]) -> None:
        self._observer = observer
        self._services = tuple(services)
        self._experiment = ""
        self._failed = False
        self._sending: list[threading.Thread] = []
        self._unsent: list[str] = []

    def __call__(self, event: LaunchEvent) -> None:
        """Pass the event on; the end of a launch is passed on after the notifications have been
        sent.
        """
        match event:
            case LaunchStarted():
                self._experiment = event.experiment
            case RunEnded() if event.outcome.kind in BAD and not event.retry:
                if not self._failed:
                    self._failed = True
                    text = (
                        f"{event.run.directory} {event.outcome.kind}: {outcome_said(event.outcome)}"
                    )
                    self._send(f"{self._experiment}: a run failed", f"{text}\n{event.directory}")
            case LaunchEnded():
                counts = (
                    ", ".join(f"{count} {kind}" for kind, count in event.counts.items())
                    or "nothing was run"
                )
                self._send(f"{self._experiment}: ended", f"{counts}\n{event.directory}")
                self._finish()
            case _:
                pass
        self._observer(event)

    def _send(self, title: str, body: str) -> None:
        for service in self._services:
            # A daemon, so that a service that hangs does not keep the launcher at its end.
            thread = threading.Thread(target=self._notify, args=(service, title, body), daemon=True)
            thread.start()
            self._sending.append(thread)

    def _notify(self, service: Any, title: str, body: str) -> None:
        try:
            is_sent = service.notify(body=f"{body}\non {host_name()}", title=title)
        except Exception as error:  # noqa: BLE001  a plugin of apprise may raise anything, and no run may suffer from it
            self._unsent.append(f"{_named(service)}: {type(error).__name__}: {error}")
        else:
            if not is_sent:
                self._unsent.append(f"{_named(service)} did not take it")

    def _finish(self) -> None:
        for thread in self._sending:
            thread.join(_PATIENCE)
            if thread.is_alive():
                self._unsent.append(f"a service did not answer within {_PATIENCE:g} s")
        for text in self._unsent:
            self._observer(Said(f"a notification could not be sent: {text}"))
        self._sending, self._unsent = [], []


def _service(url: str) -> Any:
    try:
        import apprise
    except ImportError:
        raise NotInstalled(f"notifications go through apprise: {extra_said('notify')}") from None
    service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None:
        scheme = url.partition("://")[0] if "://" in url else "no scheme"
        raise InvalidInput(
            f"this is no notification URL that apprise understands ({scheme}://…): such as"
            " mailto://user:pass@host or ntfy://topic; https://appriseit.com/services lists them"
        )
    return service


def _named(service: Any) -> str:
    return str(service.url(privacy=True)).partition("?")[0]  # without passwords and tokens
