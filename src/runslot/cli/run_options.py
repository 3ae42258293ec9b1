"""The options of `runslot run`, one type each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runslot.cli.options import flag

_SPACE, _EACH, _LAUNCH, _SHOW = "Variants", "Each run", "The launch", "Output"

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="TARGET",
        help="file.py:function, package.module:function, a sweep file (.yaml, .json); or a command after --.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="The experiment's name; else the file's or the script's.")
]
Root = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where experiments go; else RUNSLOT_ROOT, runslot.toml, or runs/.")
]
Grid = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=V,V", help="Every combination of these values.", rich_help_panel=_SPACE),
]
Zip = Annotated[
    list[str] | None, typer.Option(metavar="KEY=V,V", help="Values that vary together.", rich_help_panel=_SPACE)
]
Sample = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=DIST",
        help="Draw from loguniform(1e-5,1e-1), uniform(0,1), integers(1,9), choice(a,b).",
        rich_help_panel=_SPACE,
    ),
]
Samples = Annotated[
    int | None, typer.Option(metavar="N", help="How many variants --sample draws.", rich_help_panel=_SPACE)
]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="CONDITION", help="Only variants that meet it: 'lr < 0.1 AND hidden = 32'.", rich_help_panel=_SPACE
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=V,KEY=V", help="Leave out variants with these values.", rich_help_panel=_SPACE),
]
Seeds = Annotated[
    str | None, typer.Option(metavar="N|LIST", help="3 is 0, 1, 2; else 7,8 or 0-9.", rich_help_panel=_SPACE)
]
Cpus = Annotated[int | None, typer.Option(metavar="N", help="Cores of each run.", rich_help_panel=_EACH)]
Gpus = Annotated[int | None, typer.Option(metavar="N", help="GPUs of each run; 0 hides them.", rich_help_panel=_EACH)]
RunsPerGpu = Annotated[int | None, typer.Option(metavar="N", help="Runs that share each GPU.", rich_help_panel=_EACH)]
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Memory a run may hold: 8GB, 512MiB.", rich_help_panel=_EACH)
]
Threads = Annotated[
    str | None,
    typer.Option(
        metavar="HOW", help="Hardware threads of its cores: all, one; cores counts each as one.", rich_help_panel=_EACH
    ),
]
ReservedCpus = Annotated[
    int | None, typer.Option(metavar="N", help="Cores of the machine that no run gets.", rich_help_panel=_LAUNCH)
]
AvoidBusy = Annotated[
    bool, flag("--avoid-busy", help="Leave out cores, too, that others keep busy without a lease.", panel=_LAUNCH)
]
Retries = Annotated[
    int | None, typer.Option(metavar="N", help="How often a failed run is tried again.", rich_help_panel=_EACH)
]
Timeout = Annotated[
    str | None, typer.Option(metavar="TIME", help="Time an attempt may take: 90, 10m, 2h.", rich_help_panel=_EACH)
]
Grace = Annotated[
    str | None, typer.Option(metavar="TIME", help="Time to end in when asked to stop.", rich_help_panel=_EACH)
]
Resumable = Annotated[bool, flag("--resumable", help="A further attempt continues from the snapshot.", panel=_EACH)]
Start = Annotated[
    str | None,
    typer.Option(
        metavar="HOW", help="Functions start warm (forked after the import), cold; auto.", rich_help_panel=_EACH
    ),
]
Env = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="A variable of the runs' environment.", rich_help_panel=_EACH),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="Of runs that do not log through runslot: auto (what they print or write), none, FILE, or a pattern.",
        rich_help_panel=_EACH,
    ),
]
MaxFailures = Annotated[
    int | None, typer.Option(metavar="N", help="Start nothing further after N failed runs.", rich_help_panel=_LAUNCH)
]
Into = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Continue this experiment: keep what is finished, add what is new.", rich_help_panel=_LAUNCH
    ),
]
Strict = Annotated[bool, flag("--strict", help="With --into: refuse where code has changed.", panel=_LAUNCH)]
AcceptCodeChange = Annotated[
    bool, flag("--accept-code-change", help="With --into: go on where code has changed, unasked.", panel=_LAUNCH)
]
SnapshotCode = Annotated[
    bool, flag("--snapshot-code", help="Run from a copy of the code, whatever is edited meanwhile.", panel=_LAUNCH)
]
Code = Annotated[
    str | None,
    typer.Option(metavar="URL@REF", help="The code is a clone of this git repository.", rich_help_panel=_LAUNCH),
]
CodeInclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="Of code that is copied, only these files, as '*.py'.", rich_help_panel=_LAUNCH
    ),
]
CodeExclude = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Of code that is copied, not these: 'data/'.", rich_help_panel=_LAUNCH),
]
Fetch = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="Of what runs write elsewhere, bring only these files home.", rich_help_panel=_LAUNCH
    ),
]
NoFetch = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Of what runs write elsewhere, leave these: '*.pt'.", rich_help_panel=_LAUNCH),
]
First = Annotated[bool, flag("--first", help="Make the first run alone; --into adds the others.", panel=_LAUNCH)]
PlainNames = Annotated[
    bool, flag("--plain-names", help="Name directories lr-0.1/run_0: for Hydra, make, shells.", panel=_LAUNCH)
]
On = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where: a launcher of runslot.toml, or slurm.", rich_help_panel=_LAUNCH),
]
Image = Annotated[
    str | None,
    typer.Option("--container", metavar="IMAGE", help="Execute the runs in this image.", rich_help_panel=_EACH),
]
Engine = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="With --container: docker, podman, apptainer.", rich_help_panel=_EACH),
]
Python = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="The Python of the runs; else the active environment's.", rich_help_panel=_EACH),
]
Uv = Annotated[
    str | None,
    typer.Option(
        metavar="[=PROJECT]", help="The Python that `uv run` has, here or in a project.", rich_help_panel=_EACH
    ),
]
Conda = Annotated[
    str | None, typer.Option(metavar="ENV", help="The Python of an environment of conda's.", rich_help_panel=_EACH)
]
Wait = Annotated[
    bool, flag("--wait", help="Where an engine queues the runs: wait for them, instead of leaving.", panel=_LAUNCH)
]
ScriptOnly = Annotated[
    bool, flag("--script-only", help="Slurm: write the sbatch script and what it needs; submit nothing.", panel=_LAUNCH)
]
Yes = Annotated[bool, flag("--yes", help="Rent machines (EC2, GCP) without asking.", panel=_LAUNCH)]
MaxCost = Annotated[
    float | None,
    typer.Option(metavar="DOLLARS", help="Rented machines may cost so much together.", rich_help_panel=_LAUNCH),
]
MaxHours = Annotated[
    float | None, typer.Option(metavar="HOURS", help="How long each rented machine may live.", rich_help_panel=_LAUNCH)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the sweep file.", rich_help_panel=_LAUNCH),
]
Detach = Annotated[
    bool,
    typer.Option("--detach", help="Go on without this terminal; `attach` looks on.", rich_help_panel=_LAUNCH),
]
DryRun = Annotated[bool, flag("--dry-run", help="List every run with its directory; start nothing.", panel=_SHOW)]
