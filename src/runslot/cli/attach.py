"""`runslot attach`: the live view of a launch that another terminal started, or that was detached."""

from __future__ import annotations

import typer

from runslot.cli.options import Directory, JsonLines, Quiet


def attach(directory: Directory = None, json: JsonLines = False, quiet: Quiet = False) -> None:
    """Look on at an experiment that is under way, from any terminal; Ctrl-C leaves it running.

    Without DIR it is the one of yours on this machine that was launched last. The exit status is that of `run`.
    """
    from runslot.cli.attaching import attach_to, under_way

    raise typer.Exit(attach_to(under_way(directory), json, quiet))
