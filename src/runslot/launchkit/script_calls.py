"""What scripts of launchkit and RLKit call beside `run_experiment`: directories, seeds, git,
questions.

Names, arguments and results are those of their `launcher_util.py` (and of RLKit's
`hyperparameter.py` for `recursive_dictionary_update`); scripts import them from
`runslot.launchkit`. Nothing here launches.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from runslot import logger
from runslot.errors import refusals
from runslot.execute.functions import seed_everything
from runslot.experiment.files import write_atomically
from runslot.experiment.provenance import read_git
from runslot.experiment.rundir import RunDir
from runslot.experiment.settings import default_root, path_of
from runslot.logger.ancestors import log_dir_name, make_log_dir

ANSWERS = {"yes": True, "y": True, "ye": True, "no": False, "n": False}
"""What `query_yes_no` takes, in any case of letters."""


class GitInfo(NamedTuple):
    """The state of one git work tree, in launchkit's order, as `setup_logger(git_infos=…)` takes
    it.
    """

    directory: str
    code_diff: str
    code_diff_staged: str
    commit_hash: str
    branch_name: str


def create_exp_name(exp_prefix: str, exp_id: int = 0, seed: int | str = 0) -> str:
    """Return `<exp_prefix>_<YYYY_MM_DD_HH_MM_SS>_<exp_id, 4 digits>--s-<seed>`, with the time of
    now.
    """
    return log_dir_name(exp_prefix, exp_id, seed, datetime.now())


@refusals()
def create_log_dir(
    exp_prefix: str,
    exp_id: int = 0,
    seed: int | str = 0,
    base_log_dir: str | None = None,
    include_exp_prefix_sub_dir: bool = True,
) -> str:
    """Make a run's directory below `base_log_dir` (else runslot's root) and return it.

    It is always a new one: where two calls of one second agree in everything, the second one's ends
    in `-2`.
    """
    root = default_root() if base_log_dir is None else path_of(base_log_dir, "base_log_dir")
    if exp_prefix != "":
        path_of(exp_prefix, "exp_prefix")
    return str(
        make_log_dir(root, exp_prefix, exp_id, seed, datetime.now(), include_exp_prefix_sub_dir)
    )


def set_seed(seed: int | str) -> None:
    """Seed `random`, numpy and torch."""
    seed_everything(int(seed))


def reset_execution_environment() -> None:
    """Let the logger go, between two experiments in one process."""
    logger.reset()


def get_git_infos(dirs: Iterable[str]) -> list[GitInfo]:
    """Return the state of each work tree; a directory that is in none is named and left out."""
    infos = []
    for directory in dirs:
        git = read_git(Path(directory))
        if git is None:
            print(f"Not a valid git repo: {directory}")
        else:
            infos.append(GitInfo(str(directory), git.unstaged, git.staged, git.commit, git.branch))
    return infos


def save_experiment_data(dictionary: Mapping[str, Any], log_dir: str) -> None:
    """Pickle `dictionary` into the directory's `experiment.pkl`; functions of the script itself
    travel by value.
    """
    try:
        data = pickle.dumps(dictionary, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):
        import cloudpickle

        data = cloudpickle.dumps(dictionary)
    write_atomically(RunDir(log_dir).experiment_pickle, data)


def dict_to_safe_json(d: Mapping[str, Any]) -> dict[str, Any]:
    """Return `d` with every value that JSON does not have as text; dicts inside it likewise."""
    return {
        key: (
            item
            if _is_safe(item)
            else dict_to_safe_json(item)
            if isinstance(item, dict)
            else str(item)
        )
        for key, item in d.items()
    }


def _is_safe(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_safe, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_safe(item) for key, item in value.items())
    # RLKit's, which has the text that launchkit's leaves to str(), reads the same.
    return value is None or isinstance(value, (bool, int, float, str))


def query_yes_no(question: str, default: str | None = "yes") -> bool:
    """Ask on the terminal until the answer is yes or no; Enter alone is `default`, where there is
    one.
    """
    if default is not None and default not in ("yes", "no"):
        raise ValueError(f"invalid default answer: {default!r}")
    prompt = {None: "[y/n]", "yes": "[Y/n]", "no": "[y/N]"}[default]
    while True:
        answer = input(f"{question} {prompt} ").strip().lower() or default or ""
        if answer in ANSWERS:
            return ANSWERS[answer]
        print("Please respond with 'yes' or 'no' (or 'y' or 'n').")


def recursive_items(dictionary: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, those of dicts inside it after the dict itself."""
    for key, value in dictionary.items():
        yield key, value
        if type(value) is dict:
            yield from recursive_items(value)


def recursive_dictionary_update(
    d: MutableMapping[str, Any], u: Mapping[str, Any]
) -> MutableMapping[str, Any]:
    """Lay `u` over `d` in place, dicts inside likewise, and return `d`.

    Where `d` has a single value and `u` a dict, the dict takes its place (RLKit's ends in a
    TypeError there).
    """
    for key, value in u.items():
        if isinstance(value, Mapping):
            below = d.get(key)
            d[key] = recursive_dictionary_update(
                below if isinstance(below, MutableMapping) else {}, value
            )
        else:
            d[key] = value
    return d
