"""Who may read the page: a token, the names the server answers to, and what browsers are told to
refuse; and the token, kept for one user and what is shown, so that a bookmark works after the
server was started again.

The token comes in the address once and is kept in a cookie. `Host` is checked, so that no foreign
domain can be pointed at this server (DNS rebinding), and `Origin` and `Sec-Fetch-Site`, so that no
foreign page can ask it anything, nor lead anybody here, also where there is no token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Flask, Request, Response, redirect, request

from runslot.errors import InvalidInput
from runslot.record import record

TOKEN = "token"  # noqa: S105  # the name of the parameter, not a secret
_YEAR_S = 365 * 86400
_OWN_SITES = ("same-origin", "none")
"""Of `Sec-Fetch-Site`: this page, or an address that somebody wrote or bookmarked. Another port of
this machine, where other users have their servers, is `same-site`."""
ALIVE = "/alive"


@record
class PageGuard:
    """The rules of one server."""

    token: str | None
    """None: whoever reaches the port may read; only for a loopback address."""
    names: frozenset[str]
    """Names by which the server may be asked, lower case. Loopback names and plain addresses always
    may: no foreign page can have one of them as its own origin."""
    cookie: str
    """Cookies are shared by all ports of a host; so its name has the port."""
    readers: Readers | None = None
    """Further tokens, each of somebody's own, which can be withdrawn while the server is up."""

    def refusal(self, inquiry: Request) -> str | None:
        """Return why a request is not answered; None where it is, apart from the token."""
        host = _name(inquiry.host)
        if not (host in self.names or host == "localhost" or _is_address(host)):
            return (
                f"This server does not answer to the name {host!r}; start it with --allow-host"
                f" {host}"
            )
        site = inquiry.headers.get("Sec-Fetch-Site", "none")
        if site not in _OWN_SITES:
            return (
                "This request came from another site's page; write the address where addresses are"
                " written"
            )
        origin = inquiry.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != inquiry.host:
            return "This request came from another site's page"
        return None

    def knows(self, inquiry: Request) -> bool:
        """Tell whether the request has the token, in its cookie."""
        return self.token is None or self.is_token(inquiry.cookies.get(self.cookie, ""))

    def is_owner(self, inquiry: Request) -> bool:
        """Tell whether the request has the owner's own token: no reader writes, and where there is
        no token nobody does."""
        return self.token is not None and _same(inquiry.cookies.get(self.cookie, ""), self.token)

    def is_token(self, text: str) -> bool:
        """Tell whether a text is the token, or one of a reader who still has it."""
        tokens = [self.token or "", *(self.readers.tokens().values() if self.readers else ())]
        return bool(text) and any(_same(text, token) for token in tokens)


def guard_for(
    host: str, port: int, allowed: Iterable[str], *, token: bool = True, roots: Sequence[str] = ()
) -> PageGuard:
    """Return the rules for a server bound to `host`; `InvalidInput` for no token where others can
    reach it.

    The token is the one that is kept for `roots`; a new one where none are given.
    """
    if not token and not is_loopback(host):
        raise InvalidInput(
            f"--no-token lets everybody who reaches {host} read these runs; leave it out"
        )
    machine_names = {socket.gethostname(), socket.getfqdn()} if not is_loopback(host) else set()
    names = frozenset(name.lower() for name in {host, *machine_names, *allowed})
    secret = token_for(roots) if roots else secrets.token_urlsafe(24)
    readers = Readers(roots) if roots else None
    return PageGuard(secret if token else None, names, f"runslot-{port}", readers)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def protect(server: Flask, guard: PageGuard, policy: str) -> None:
    """Put the rules before every answer, and what the browser has to refuse into each."""

    @server.before_request
    def check() -> Response | None:
        refused = guard.refusal(request)
        if refused is not None:
            return Response(refused, 403, content_type="text/plain; charset=utf-8")
        if guard.token is not None and guard.is_token(request.args.get(TOKEN, "")):
            return _welcome(guard)
        if not guard.knows(request):
            message = (
                "Open the address that `runslot view` printed; it has the token that is asked for"
                " here."
            )
            return Response(message, 401, content_type="text/plain; charset=utf-8")
        return None

    server_number = secrets.token_hex(8)

    @server.get(ALIVE)
    def alive() -> Response:
        """Tell an open page that the server is there, and whether it is still the same one."""
        return Response(server_number, content_type="text/plain; charset=utf-8")

    @server.after_request
    def add_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response


def _welcome(guard: PageGuard) -> Response:
    """Keep the token in a cookie, and take it out of the address, which is shared and
    remembered."""
    pairs = [
        pair
        for pair in parse_qsl(request.query_string.decode(), keep_blank_values=True)
        if pair[0] != TOKEN
    ]
    address = f"/{request.path.lstrip('/')}"
    response = redirect(f"{address}?{urlencode(pairs)}" if pairs else address)
    response.set_cookie(
        guard.cookie, request.args[TOKEN], max_age=_YEAR_S, httponly=True, samesite="Lax"
    )
    return response  # type: ignore[return-value]  # flask's own class, as werkzeug's redirect is typed


def policy_for(script_hashes: Iterable[str]) -> str:
    """Return the Content-Security-Policy: nothing from elsewhere, and no script but those that are
    shipped."""
    scripts = " ".join(["'self'", *script_hashes])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src"
        " 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    )


def _same(text: str, token: str) -> bool:
    return hmac.compare_digest(text.encode(), token.encode())


def _name(host: str) -> str:
    """Return the host of a `Host` header without its port and brackets."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


_READER = re.compile(r"[\w-][\w.-]{0,63}")
_TOKEN = re.compile(r"[\w-]{32,64}")
_MOST_BYTES = 100


def token_for(roots: Sequence[str]) -> str:
    """Return the token for these directories: the one kept, or a new one, which is kept where that
    can be."""
    token = secrets.token_urlsafe(24)
    try:
        file = _file_for(roots)
        previous = _kept(file)
        if previous is not None:
            return previous
        _keep(file, token)
    # a home that is unknown or cannot be written: this server's token alone
    except (
        OSError,
        RuntimeError,
    ):
        return token
    return token


class Readers:
    """The people who may read these directories with a token of their own, until it is withdrawn:
    a file each, named like the reader, beside the owner's token."""

    def __init__(self, roots: Sequence[str]) -> None:
        file = _file_for(roots)
        self._place = file.with_name(f"{file.name}.readers")

    def tokens(self) -> dict[str, str]:
        """Return the tokens by reader, as they are now."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._place))
        except OSError:
            return {}
        tokens = {name: _kept(self._place / name) for name in names if _READER.fullmatch(name)}
        return {name: token for name, token in tokens.items() if token is not None}

    def admit(self, name: str) -> str:
        """Return a reader's token, a new one where there is none. Raises `InvalidInput` for a name
        that is none, and where it cannot be kept."""
        if not _READER.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is no reader's name: letters, digits, _, . and - make one, up to 64"
            )
        token = self.tokens().get(name) or secrets.token_urlsafe(24)
        try:
            _keep(self._place / name, token)
        except OSError as error:
            raise InvalidInput(f"the token of {name} cannot be kept: {error}") from error
        return token

    def withdraw(self, name: str) -> None:
        """Forget a reader's token: from now on no server takes it. Raises `InvalidInput` where
        there is none."""
        names = ", ".join(self.tokens()) or "nobody"
        if not _READER.fullmatch(name):
            raise InvalidInput(f"{name!r} has no token; {names} has one")
        try:
            (self._place / name).unlink()
        except OSError as error:
            raise InvalidInput(f"{name!r} has no token; {names} has one") from error


def _keep(file: Path, token: str) -> None:
    """Write a token into a file that only this user can read, by rename."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    with os.fdopen(descriptor, "w") as opened:
        opened.write(token)
    temporary.replace(file)


def _file_for(roots: Sequence[str]) -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    home = (
        Path(state) if state and Path(state).is_absolute() else Path("~/.local/state").expanduser()
    )
    name = hashlib.sha256("\0".join(sorted(roots)).encode("utf-8", "surrogateescape")).hexdigest()[
        :24
    ]
    return home / "runslot" / "view" / name


def _kept(file: Path) -> str | None:
    """Return the token in a file that is this user's alone."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_uid != os.geteuid()
            or status.st_mode & 0o077
        ):
            return None
        token = opened.read(_MOST_BYTES).decode("ascii", "replace")
    return token if _TOKEN.fullmatch(token) else None
