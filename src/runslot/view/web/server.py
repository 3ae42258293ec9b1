"""Serve the page on one port of one address, until it is interrupted."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server, select_address_family

from runslot.errors import Busy, InvalidInput
from runslot.record import record
from runslot.view.web.app import make_app
from runslot.view.web.guard import TOKEN, Readers, guard_for
from runslot.view.web.live_runs import LiveRuns

_PORTS_TRIED = 20
"""Ports tried after the usual one, where that is taken."""
_ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to
USUAL_PORT = 8050


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


@record
class Served:
    """A server that is bound to its port, and the address to open."""

    server: BaseWSGIServer
    address: str
    readers: Mapping[str, str]
    """By reader who was let in: the address with a token of their own."""

    def run(self) -> None:
        """Answer until interrupted (Ctrl-C) or asked to end (SIGTERM)."""
        try:
            _hear_interrupts()
            self.server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            self.server.server_close()


def _hear_interrupts() -> None:
    """Let both signals end the page: a shell starts what it puts behind `&` with SIGINT ignored."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)


def bind(
    paths: Sequence[Path],
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    token: bool = True,
    allowed: Sequence[str] = (),
    path: str | None = None,
    log: Sequence[str] = (),
    query: str = "",
    readers: Sequence[str] = (),
) -> Served:
    """Bind the page of these directories, read as `load` does with `path` and `log`.

    Port 0 takes any free one, None the usual or the next free one. `query` are choices that the
    page is opened with (`Choices.query`). `readers` are given tokens of their own.

    Raises `NotFound` for a directory that is not there, `InvalidInput` for an address that is not
    this machine's or a public one without a token, `Busy` for a port that is taken.
    """
    runs = LiveRuns(paths, path=path, log=log)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = _bound(host, port)
    try:
        guard = guard_for(host, server.port, allowed, token=token, roots=runs.roots)
        tokens = {reader: Readers(runs.roots).admit(reader) for reader in readers}
        server.app = make_app(runs, guard).server
    except Exception:
        server.server_close()
        raise
    name = socket.gethostname() if host in _ALL_ADDRESSES else host
    url_host = f"[{name}]" if ":" in name else name

    def address(token: str | None) -> str:
        pairs = {TOKEN: token} if token else {}
        pairs |= {"path": path} if path else {}
        query_text = "&".join(part for part in (urlencode(pairs, safe="{}/"), query) if part)
        return f"http://{url_host}:{server.port}/" + (f"?{query_text}" if query_text else "")

    addresses = {reader: address(token) for reader, token in tokens.items()}
    return Served(server, address(guard.token), addresses)


def _bound(host: str, port: int | None) -> BaseWSGIServer:
    ports = [port] if port is not None else list(range(USUAL_PORT, USUAL_PORT + _PORTS_TRIED))
    for number in ports:
        try:
            with socket.create_server(
                (host, number), family=select_address_family(host, number)
            ) as bound:
                # werkzeug ends the process where it cannot bind; so it gets a socket that is bound.
                return make_server(
                    host, number, _not_yet, True, request_handler=_Handler, fd=bound.fileno()
                )
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise InvalidInput(f"--host {host}: {error.strerror or error}") from error
    ports_words = (
        f"port {port}" if port is not None else f"every port from {ports[0]} to {ports[-1]}"
    )
    raise Busy(
        f"{ports_words} on {host} is taken or not allowed; choose another one with --port, or"
        " --port 0 for any"
    )


def _not_yet(*_: object) -> list[bytes]:
    return []
