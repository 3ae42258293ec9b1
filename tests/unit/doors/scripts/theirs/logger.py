"""rlpyt's logger, in its manner: module state, directories made by itself, the file of rows begun
anew.
"""

import csv
import errno
import json
import os
import os.path as osp
import pickle
from contextlib import contextmanager

_tabular, _tabular_fds, _text_fds, _headers, _prefixes = [], {}, {}, {}, []
_snapshot_dir, _snapshot_mode = None, "none"


def mkdir_p(path):
    try:
        os.makedirs(path)
    except OSError as exc:
        if exc.errno != errno.EEXIST or not osp.isdir(path):
            raise


def record_tabular(key, val):
    _tabular.append((str(key), str(val)))


def log(text):
    line = "".join(_prefixes) + text
    print(line)
    for fd in _text_fds.values():
        fd.write(line + "\n")
        fd.flush()


def dump_tabular():
    row = dict(_tabular)
    for name, fd in _tabular_fds.items():
        if name not in _headers:
            _headers[name] = list(row)
            csv.DictWriter(fd, _headers[name]).writeheader()
        csv.DictWriter(fd, _headers[name]).writerow(row)
        fd.flush()
    for key, val in row.items():
        log(f"{key}  {val}")
    _tabular.clear()


def save_itr_params(itr, params):
    if _snapshot_mode == "last":
        with open(osp.join(_snapshot_dir, "params.pkl"), "wb") as file:
            pickle.dump(params, file)


@contextmanager
def logger_context(log_dir, run_ID, name, log_params=None, snapshot_mode="none"):
    global _snapshot_dir, _snapshot_mode
    exp_dir = osp.abspath(osp.join(log_dir, f"run_{run_ID}"))
    _snapshot_dir, _snapshot_mode = exp_dir, snapshot_mode
    for file_name, fds, mode in (
        ("progress.csv", _tabular_fds, "w"),
        ("debug.log", _text_fds, "a"),
    ):
        mkdir_p(exp_dir)
        fds[osp.join(exp_dir, file_name)] = open(osp.join(exp_dir, file_name), mode)  # noqa: SIM115  as rlpyt does
    _prefixes.append(f"{name}_{run_ID} ")
    log_params = {} if log_params is None else log_params
    log_params["name"] = name
    log_params["run_ID"] = run_ID
    with open(osp.join(exp_dir, "params.json"), "w") as f:
        json.dump(log_params, f, default=lambda o: type(o).__name__)
    yield
    for fd in [*_tabular_fds.values(), *_text_fds.values()]:
        fd.close()


def add_exp_param(param_name, param_val, exp_dir):
    """Add a key to the parameters of every run below a directory, afterwards."""
    for directory, _, files in os.walk(exp_dir):
        if "params.json" in files:
            path = osp.join(directory, "params.json")
            with open(path) as file:
                params = json.load(file)
            params[param_name] = param_val
            with open(path, "w") as file:
                json.dump(params, file)
