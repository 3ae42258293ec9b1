"""`runslot view`: the page in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from runslot.cli.parameters import Diverged, Include, Level, Logs, PathTemplate, Places, flag, value
from runslot.errors import InvalidInput, NotInstalled, extra_said
from runslot.terminal_text import echo

Host = Annotated[
    str,
    value(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for other machines, too."),
]

Port = Annotated[
    int | None,
    value(
        metavar="PORT",
        least=0,
        most=65535,
        help="Port; 0 for any free one.",
        shows_default="8050, or the next free",
    ),
]

AllowHost = Annotated[
    list[str] | None,
    value(metavar="NAME", help="Also answer to this host name (a proxy's)."),
]

NoToken = Annotated[
    bool,
    flag("--no-token", help="Let every user of this machine read; only for a loopback address."),
]

OpenBrowser = Annotated[bool, flag("--open", help="Open the page in the browser of this machine.")]

Reader = Annotated[
    list[str] | None,
    value(metavar="NAME", help="Print an address with a token of this reader's own."),
]

Withdraw = Annotated[
    list[str] | None,
    value(metavar="NAME", help="Take a reader's token back, from running servers too, and end."),
]

Export = Annotated[
    Path | None,
    value(
        "--export",
        metavar="FILE.html",
        help="Write the page as one file, which needs no server, and end.",
    ),
]


def view(
    paths: Places = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    allow_host: AllowHost = None,
    no_token: NoToken = False,
    include: Include = None,
    diverged: Diverged = "nan",
    level: Level = 0.95,
    open_browser: OpenBrowser = False,
    path: PathTemplate = None,
    log: Logs = None,
    reader: Reader = None,
    withdraw: Withdraw = None,
    export: Export = None,
) -> None:
    """Look at runs in a browser: curves over seeds, tables, slots; live while they run."""
    _require_page()
    from runslot.cli.places import places_of
    from runslot.view.data.choices import Choices
    from runslot.view.web.export import export_page
    from runslot.view.web.server import bind

    choices = Choices().replaced(
        {"include": tuple(include or ()), "diverged": diverged, "level": level}
    )
    if withdraw:
        from runslot.results.read.directories import roots_of
        from runslot.view.web.guard import Readers

        readers = Readers(roots_of(places_of(paths)))
        for name in withdraw:
            readers.withdraw(name)
            echo(f"{name} may no longer read")
        return
    if reader and no_token:
        raise InvalidInput("--reader and --no-token: without tokens everybody here reads")
    if export is not None:
        size = export_page(export, places_of(paths), choices, path=path, log=log or ())
        echo(f"{export} ({size / 1e6:.1f} MB)")
        return
    served = bind(
        places_of(paths),
        host,
        port,
        token=not no_token,
        allowed=allow_host or (),
        path=path,
        log=log or (),
        query=choices.query(),
        readers=reader or (),
    )
    echo(served.address)
    for name, address in served.readers.items():
        echo(f"{name}: {address}")
    echo("Ctrl-C ends it.", err=True)
    if open_browser:
        _open(served.address)
    served.run()


def _open(address: str) -> None:
    import typer

    typer.launch(address)


def _require_page() -> None:
    """Refuse where the packages that the page needs are not installed."""
    try:
        import runslot.view.web.server  # noqa: F401
    except ImportError as error:
        if error.name is not None and error.name.startswith("runslot"):
            raise
        raise NotInstalled(
            f"the page needs more packages ({error.name}): {extra_said('view')}"
        ) from error
