"""What stands in braces in a command's arguments, and what it becomes in a run. Pure; no shell ever
sees it.

| in an argument | becomes |
|---|---|
| `{lr}`, `{lr:.3g}` | the value's text, also inside a longer argument; in a format of Python's |
| `{{lr}}` | `{lr}` itself; and all else in braces (`{"a": 1}`) is text |
| `{--amp}` | `--amp` where `amp` is true, nothing where it is false or null |
| `{--lr=}` | `--lr=VALUE`, nothing where it is null |
| `{sizes...}` | an argument for each item of the list |
| `{args}` | `--key value` for every key of the variant |
| `{overrides}` | `key=value` for every key, as Hydra's grammar wants it, and `hydra.run.dir` |
| `{variant_json}` | the variant as one JSON text |

The forms below the first two are arguments by themselves. `command` checks them before anything
starts; `fill` is called for each run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from runslot.errors import InvalidInput, nearest

RESERVED = ("run_dir", "run_id", "variant_file")
"""Names that runslot gives to every command, beside `seed` and the variant's keys."""
ARGS, OVERRIDES, VARIANT_JSON = "args", "overrides", "variant_json"
ALL_KEYS = (ARGS, OVERRIDES, VARIANT_JSON)
"""Names that stand for the whole variant; a key of that name goes before them."""
HYDRA_DIRECTORY = "hydra.run.dir"

_NAME = r"[A-Za-z_][\w.\-]*"
_INSIDE = rf"\{{\{{|\}}\}}|\{{(?P<name>{_NAME})(?::(?P<format>[^{{}}]*))?\}}"
_OPTION = rf"\{{(?P<option>--?(?P<name>{_NAME}))(?P<equals>=)?\}}"
_ITEMS = rf"\{{(?P<name>{_NAME})\.\.\.\}}"
NOT_PASSED = "[\0\ud800-\udc7f\udd00-\udfff]"
"""Zero bytes, and halves of characters that stand for no byte of a file's name."""
_FORMAT = r"(?:.?[<>=^])?[-+ ]?0?\d*(?:\.\d+)?[bcdeEgGnosxX]?"
_NUMBER_FORMAT = r"[0-9]*\.?[0-9]+[a-zA-Z%]"
_HYDRA_PLAIN = r"[A-Za-z0-9_\-/.*@?|:%+]*[A-Za-z_/@?|%*][A-Za-z0-9_\-/.*@?|:%+]*"
"""Text that Hydra's grammar takes for text without quotes."""
_HYDRA_PART = r"[+~]{0,2}[A-Za-z0-9_$/@:\-]+"
"""Between the dots of an override's key."""
_HYDRA_KEY = r"[A-Za-z0-9_\-/\\+.$%*@?|()\[\]{}:=, \t]+"
"""What the key of a dict may have, in part behind a backslash."""
_HYDRA_OTHER = (
    r"(?i)true|false|null|[-+]?nan|[-+]?inf(?:inity)?"
    r"|[-+]?[\d_]+(?:\.[\d_]*)?(?:e[-+]?\d+)?|0x.*|0b.*|0o.*"
)


def names_used(argv: Iterable[str], keys: Iterable[str]) -> set[str]:
    """Return the names that a command uses; a format counts only behind a key, as in `{lr:.3g}`,
    not in `{a:1}`.
    """
    all_keys = set(keys)
    names: set[str] = set()
    for argument in argv:
        if whole := re.fullmatch(_OPTION, argument):
            names.add(_key_of(whole["name"], all_keys))
        elif whole := re.fullmatch(_ITEMS, argument):
            names.add(whole["name"])
        else:
            inside = [match for match in re.finditer(_INSIDE, argument) if match["name"]]
            names.update(match["name"] for match in inside if _is_name(match, all_keys))
    return names


def _is_name(match: re.Match[str], names: Collection[str]) -> bool:
    """Whether braces hold a name: with a format that of a key, or one that is misspelt before a
    format of numbers.
    """
    if match["format"] is None or match["name"] in names:
        return True
    return bool(re.fullmatch(_NUMBER_FORMAT, match["format"]) and nearest(match["name"], names))


def formats_used(argv: Iterable[str], keys: Iterable[str]) -> set[tuple[str, str]]:
    """Return the keys that are written in a format, each with the format."""
    names = set(keys)
    matches = [match for argument in argv for match in re.finditer(_INSIDE, argument)]
    return {
        (match["name"], match["format"])
        for match in matches
        if match["format"] and match["name"] in names
    }


def _key_of(option: str, keys: Iterable[str]) -> str:
    """Return the key that an option's name means: `--learning-rate` is for `learning_rate`, where
    there is that.
    """
    underscored = option.replace("-", "_")
    return underscored if option not in keys and underscored in keys else option


def literal(text: str) -> str:
    """Return an argument that `fill` leaves as `text`."""
    return text.replace("{", "{{").replace("}", "}}")


def fill(argv: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return the arguments of a run; `KeyError` for a name that `values` has not, `InvalidInput`
    for an odd value.
    """
    return [text for argument in argv for text in _filled(argument, argv, values)]


def _filled(argument: str, argv: Sequence[str], values: Mapping[str, Any]) -> Iterable[str]:
    if whole := re.fullmatch(_OPTION, argument):
        name = _key_of(whole["name"], values)
        return _option(whole["option"], name, values[name], bool(whole["equals"]))
    if whole := re.fullmatch(_ITEMS, argument):
        return _items(whole["name"], values[whole["name"]])
    name = argument[1:-1]
    if argument == f"{{{name}}}" and name in ALL_KEYS and name not in values:
        return _WHOLE[name](settings_of(values), argv, values)
    return [re.sub(_INSIDE, lambda match: _replacement(match, values), argument)]


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variant's own keys among the values of a command."""
    return {key: value for key, value in values.items() if key not in RESERVED and key != "seed"}


def _replacement(match: re.Match[str], values: Mapping[str, Any]) -> str:
    if match["name"] is None:
        return match[0][0]
    if match["format"] is not None:
        return (
            formatted(match["name"], values[match["name"]], match["format"])
            if match["name"] in values
            else match[0]
        )
    return argument_text(match["name"], values[match["name"]])


def formatted(key: str, value: Any, form: str) -> str:
    """Return a value in a format; refused is one that hides small numbers, and one that is not for
    such a value.
    """
    if form[-1:] in ("f", "F", "%"):
        mended = re.sub(r"[fF%]$", "g", form)
        raise InvalidInput(
            f"the command uses {{{key}:{form}}}, which writes small numbers as 0; did you mean"
            f" {{{key}:{mended}}}?"
        )
    if not re.fullmatch(_FORMAT, form):
        raise InvalidInput(
            f"the command uses {{{key}:{form}}}, which is no format of a value, as {{{key}:.3g}} is"
        )
    try:
        return argument_text(key, format(value, form))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"the command uses {{{key}:{form}}}, but {key} is {value!r:.60}: {error}"
        ) from None


def argument_text(key: str, value: Any) -> str:
    """Return a value as one command-line argument, `str(value)`; refuse what has no such form."""
    if isinstance(value, str) and not re.search(NOT_PASSED, value):
        return value
    if isinstance(value, (bool, int, float)):
        return str(value)
    if value is None:
        advice = (
            f"; write {{--{key}=}} for an option that is left out then, or pass {{variant_file}}"
        )
    elif isinstance(value, (list, tuple)):
        advice = f"; write {{{key}...}} for an argument an item, or pass {{variant_file}}"
    else:
        advice = "; pass {variant_file} and let the script read the variant from that JSON file"
    kind = (
        "text with a zero byte, or half a character,"
        if isinstance(value, str)
        else f"a {type(value).__name__}"
    )
    raise InvalidInput(
        f"{key} is {kind} ({value!r:.60}), which cannot become a command-line argument{advice}"
    )


def _option(option: str, key: str, value: Any, has_value: bool) -> list[str]:
    if value is None:
        return []
    if has_value:
        return [f"{option}={argument_text(key, value)}"]
    if isinstance(value, bool):
        return [option] if value else []
    raise InvalidInput(
        f"{{{option}}} is there or not, as {key} is true or false, and not {value!r:.60}: write"
        f" {{{option}=}}"
    )


def _items(key: str, value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(
            f"{{{key}...}} is for a list, and {key} is {value!r:.60}: write {{{key}}}"
        )
    return [argument_text(key, item) for item in value]


# ---- the whole variant ---------------------------------------------------------------------------


def _args(
    settings: Mapping[str, Any], _argv: Sequence[str], _values: Mapping[str, Any]
) -> Iterator[str]:
    for key, value in settings.items():
        if value is not None:
            yield f"--{key}"
            yield from (
                _items(key, value)
                if isinstance(value, (list, tuple))
                else [argument_text(key, value)]
            )


def _overrides(
    settings: Mapping[str, Any], argv: Sequence[str], values: Mapping[str, Any]
) -> Iterator[str]:
    for key, value in _hydra_settings(settings).items():
        yield f"{key}={hydra_value(value)}"
    if not any(argument.lstrip("+").startswith(f"{HYDRA_DIRECTORY}=") for argument in argv):
        yield f"{HYDRA_DIRECTORY}={hydra_value(values['run_dir'])}"


def _hydra_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings by keys of Hydra's grammar: what has a key of other text stands in a dict
    at the last one that has not, `a={b c:1}` for `a.b c`.
    """
    from runslot.variants.variant import set_path  # the room of variants, which few commands need

    by_key: dict[str, Any] = {}
    for key, value in settings.items():
        parts = key.split(".")
        plain = next((i for i, part in enumerate(parts) if not re.fullmatch(_HYDRA_PART, part)), 0)
        if plain == 0:
            by_key[key] = value
            continue
        inside = by_key.setdefault(".".join(parts[:plain]), {})
        set_path(inside, tuple(parts[plain:]), value)
    return by_key


def hydra_value(value: Any) -> str:
    """Return a value in Hydra's override grammar (1.1 and newer), quoted where it would be read as
    something else.
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(hydra_value, value))}]"
    if isinstance(value, Mapping):
        items = (f"{_hydra_key(key)}:{hydra_value(item)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    text = argument_text("a value", value)
    if re.fullmatch(_HYDRA_PLAIN, text) and not re.fullmatch(_HYDRA_OTHER, text):
        return text
    # Backslashes count only before a quote, or where an interpolation would begin.
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return "'" + re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + "\\${", escaped) + "'"


def _hydra_key(key: Any) -> str:
    """Return the key of a dict in Hydra's grammar, which has no quotes there."""
    if not isinstance(key, str):
        return hydra_value(key)
    if re.fullmatch(_HYDRA_OTHER, key) or not re.fullmatch(_HYDRA_KEY, key):
        raise InvalidInput(
            f"a dict has the key {key!r:.60}, which Hydra's grammar has no way to write: name it"
            " otherwise, or pass {variant_file}"
        )
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", key)


def _variant_json(
    settings: Mapping[str, Any], _argv: Sequence[str], _values: Mapping[str, Any]
) -> list[str]:
    from runslot.variants.variant import set_path  # as above

    nested: dict[str, Any] = {}
    for key, value in settings.items():
        set_path(nested, key, value)
    return [json.dumps(nested)]


_WHOLE: Mapping[
    str, Callable[[Mapping[str, Any], Sequence[str], Mapping[str, Any]], Iterable[str]]
] = {
    ARGS: _args,
    OVERRIDES: _overrides,
    VARIANT_JSON: _variant_json,
}


def with_seeds(argv: Sequence[str], seeds_asked: bool, keys: Iterable[str]) -> list[str]:
    """Return the command with the seed beside `{args}` and `{overrides}`, if seeds were asked for
    and none is used.
    """
    names = set(keys)
    if not seeds_asked or "seed" in names_used(argv, names):
        return list(argv)
    seed: dict[str, list[str]] = {
        f"{{{ARGS}}}": ["--seed", "{seed}"],
        f"{{{OVERRIDES}}}": ["seed={seed}"],
    }
    return [
        word
        for argument in argv
        for word in (argument, *(seed.get(argument, []) if argument[1:-1] not in names else []))
    ]
