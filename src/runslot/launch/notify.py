"""Notifications of a launch: when it ends, and when its first run fails; through apprise, which
knows the services.

A notification that cannot be sent is said, and changes nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from runslot.engines.events import LaunchEnded, LaunchEvent, LaunchStarted, Observer, RunEnded, Said
from runslot.errors import InvalidInput, NotInstalled, extra_said
from runslot.experiment.processes import host_name
from runslot.launch.printer import outcome_said

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
            case RunEnded() if (
                event.outcome.kind
                not in {
                    "succeeded",
                    "stopped",
                }
                and not event.retry
            ):
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
            sent = service.notify(body=f"{body}\non {host_name()}", title=title)
        except Exception as error:  # noqa: BLE001  a plugin of apprise may raise anything, and no run may suffer from it
            self._unsent.append(f"{_named(service)}: {type(error).__name__}: {error}")
        else:
            if not sent:
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
