"""From the command line to words: what the target stands for, and what the options say on top of
it.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from runslot.cli.build import PYTHONS, SPACES, Words
from runslot.cli.options import GROUPS, WORDS, options_of
from runslot.cli.sweep_file import SUFFIXES, read_sweep_file
from runslot.errors import InvalidInput, nearest
from runslot.variants.parse import doubts_of, parse_grid, parse_sample, parse_value

_READ_HERE = ("env", "exclude", *SPACES)
"""Options whose values are more than text: keys with values of their own."""


def words_of_target(
    target: str | None,
    command: Sequence[str] | None,
    settings: Sequence[str],
    in_clone: bool = False,
) -> Words:
    """Return what the target, or the command after `--`, says, with `--set` on top; `InvalidInput`
    where neither is.

    With `in_clone` a sweep file's function lies in a repository, not beside the file.
    """
    if command is not None:
        if target is not None:
            raise InvalidInput(f"both {target!r} and a command after -- are given; keep one")
        if not command:
            raise InvalidInput("nothing stands after --: write the command there")
        words = Words({"command": list(command)}, {("command",): "after --"})
    elif target is None:
        raise InvalidInput(
            "nothing says what to run: give file.py:function, a sweep file, or a command after --, "
            "as in `runslot run --seeds 3 -- python train.py --seed {seed}`"
        )
    elif target.endswith(SUFFIXES):
        words = read_sweep_file(Path(target), in_clone)
        for setting in settings:
            _override(words, setting)
        return words
    elif ":" in target:
        words = Words({"function": target}, {("function",): "TARGET"})
    else:
        raise InvalidInput(
            f"{target!r} is neither file.py:function, package.module:function, nor a sweep file"
            f"{_advice(target)}; a command goes after --"
        )
    if settings:
        raise InvalidInput(
            f"--set {settings[0]} overrides a key of a sweep file, and there is none; use --grid"
        )
    return words


def refuse_bare_command(words: Sequence[str]) -> None:
    """Refuse words that are a command with options of its own, where its program is the first of
    them.
    """
    if words and ":" not in words[0] and not words[0].startswith("-") and shutil.which(words[0]):
        raise InvalidInput(f"a command goes after --: runslot run -- {shlex.join(words)}")


def refuse_spaced_values(grid: Sequence[str], words: Sequence[str | None]) -> None:
    """Refuse `--grid lr 0.1 0.2`, as other tools take it, with what is written here."""
    key = next((text for text in grid if "=" not in text), None)
    if key is not None:
        values = ",".join(word for word in words if word is not None and ":" not in word)
        raise InvalidInput(
            f"--grid {key} has no values; they follow an =, as in --grid {key}={values}"
        )


def refuse_extra(target: str | None, extra: Sequence[str], command: bool) -> NoReturn:
    """Refuse arguments that follow the target, with what they are likely to be meant for."""
    first = extra[0]
    if command:
        raise InvalidInput(
            f"{first!r} stands before --, and the command after it; write the command's words"
            " behind --"
        )
    if target is not None and (":" in target or target.endswith(SUFFIXES)):
        if "=" not in first:
            raise InvalidInput(
                f"{first!r} follows {target!r}, which takes no arguments; values are given by"
                " --grid KEY=V,V"
            )
        options = " ".join(f"--grid {shlex.quote(word)}" for word in extra if "=" in word)
        raise InvalidInput(f"values of a key are given by --grid: runslot run {target} {options}")
    script = (
        ["python"]
        if target is not None and target.endswith(".py") and shutil.which(target) is None
        else []
    )
    words = shlex.join([*script, *([target] if target else []), *extra])
    raise InvalidInput(f"a command goes after --: runslot run -- {words}")


def add_options(words: Words, parameters: Mapping[str, Any]) -> None:
    """Let the options of `runslot run`, by the names of its parameters, go before what the words
    say so far.
    """
    if any(parameters[name] is not None for name in PYTHONS):
        for name in PYTHONS:  # what the file says gives way to any of them
            words.values.pop(name, None)
    for option in options_of("run"):
        value = parameters[option.name]
        if option.word is None or option.name in _READ_HERE or value is None or value is False:
            continue
        setting = (
            option.word.sets if value is True else str(value) if isinstance(value, Path) else value
        )
        words.say(tuple(option.word.key.split(".")), setting, option.names[-1])
    for text in parameters["env"] or ():
        variable, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"--env {text}: write NAME=VALUE")
        words.say(("env", variable), value, f"--env {text}")
    if parameters["exclude"]:
        words.say(("exclude",), [_settings_of(text) for text in parameters["exclude"]], "--exclude")
    for space in SPACES:
        flag = f"--{space}"
        keys: set[str] = set()
        for text in parameters[space] or ():
            if space == "search" and "=" not in text and ":" in text:  # a function of a trial
                words.say((space,), text, f"{flag} {text}")
                continue
            is_sampled = space in {"sample", "search"}
            key, value = _sample_value(text) if is_sampled else parse_grid(text)
            if key in keys:
                advice = f"write all its values in one: {flag} {key}=A,B"
                raise InvalidInput(
                    f"{flag} has {key} twice; {'keep one' if is_sampled else advice}"
                )
            keys.add(key)
            if not is_sampled:
                words.notes += [f"--{space} {note}" for note in doubts_of(text)]
            words.say((space, key), value, f"{flag} {text}")


def _settings_of(text: str) -> dict[str, Any]:
    """Return the values of one `--exclude lr=0.1,hidden=64`."""
    settings: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise InvalidInput(
                f"--exclude {text}: write KEY=VALUE,KEY=VALUE, the values that a variant has"
                " together"
            )
        settings[key.strip()] = parse_value(value)
    return settings


def _sample_value(text: str) -> tuple[str, str]:
    """Return the key and the distribution as a sweep file has it, once it is known to be one."""
    return parse_sample(text)[0], text.partition("=")[2]


def _override(words: Words, setting: str) -> None:
    """Carry out one `--set KEY=VALUE`; VALUE reads as in the file, and `A,B` of a space's key is a
    list of choices.
    """
    key, equals, text = setting.partition("=")
    word, dot, inside = key.strip().partition(".")
    if not equals or not text.strip():
        raise InvalidInput(f"--set {setting}: write KEY=VALUE, as in --set resources.cpus=2")
    if word not in WORDS:
        hint = nearest(word, WORDS) or f"; known are {', '.join(WORDS)}"
        raise InvalidInput(f"--set {setting}: unknown key {word!r}{hint}")
    if inside and word not in (*SPACES, *GROUPS):
        raise InvalidInput(f"--set {setting}: {word} has no keys; write --set {word}=VALUE")
    if word in GROUPS and inside and inside not in GROUPS[word]:
        raise InvalidInput(
            f"--set {setting}: unknown key {inside!r}{nearest(inside, GROUPS[word])}"
        )
    if word in SPACES and inside:
        keys = words.values.get(word)
        near = nearest(inside, keys) if isinstance(keys, dict) and inside not in keys else ""
        if near:
            words.notes.append(f"--set {setting}: the file's {word} has no {inside!r}{near}; added")
    if word in ("grid", "zip") and inside:
        values = parse_grid(f"{inside}={text}")[1]
        value = values if len(values) > 1 else values[0]
    elif word in {"sample", "search"} and inside and "(" in text:
        value = _sample_value(f"{inside}={text}")[1]
    else:
        value = parse_value(text)
    words.say((word, inside) if dot else (word,), value, f"--set {setting}")


def _advice(target: str) -> str:
    if target.endswith(".py"):
        return f" (a function of it is {target}:NAME, the script itself -- python {target})"
    if shutil.which(target):
        return f" (to run the program: runslot run -- {target})"
    if re.search(r"\s", target):
        return " (it has spaces: write the command without quotes around it)"
    return ""
