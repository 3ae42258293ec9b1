"""RLKit's logger, in its manner: an object whose outputs its launcher sets."""

import csv
import os
import pickle


class Logger:
    def __init__(self):
        self._prefixes, self._row, self._snapshot_dir, self._mode, self._gap = (
            [],
            {},
            None,
            "all",
            1,
        )
        self._tabular_outputs, self._tabular_fds, self._text_outputs, self._text_fds = (
            [],
            {},
            [],
            {},
        )
        self._tabular_header_written, self._tabular_keys = set(), {}

    def reset(self):
        self.__init__()

    def _add_output(self, file_name, arr, fds, mode="a"):
        if file_name not in arr:
            os.makedirs(os.path.dirname(file_name), exist_ok=True)
            arr.append(file_name)
            fds[file_name] = open(file_name, mode)  # noqa: SIM115  as RLKit does

    def add_text_output(self, file_name):
        self._add_output(file_name, self._text_outputs, self._text_fds)

    def add_tabular_output(self, file_name, relative_to_snapshot_dir=False):
        self._add_output(file_name, self._tabular_outputs, self._tabular_fds, mode="w")

    def set_snapshot_dir(self, dir_name):
        self._snapshot_dir = dir_name

    def set_snapshot_mode(self, mode):
        self._mode = mode

    def set_snapshot_gap(self, gap):
        self._gap = gap

    def set_log_tabular_only(self, log_tabular_only):
        pass

    def push_prefix(self, prefix):
        self._prefixes.append(prefix)

    def record_dict(self, values):
        self._row.update({key: str(value) for key, value in values.items()})

    def dump_tabular(self):
        for fd in self._tabular_fds.values():
            writer = csv.DictWriter(fd, list(self._row))
            if fd not in self._tabular_header_written:
                writer.writeheader()
                self._tabular_header_written.add(fd)
            writer.writerow(self._row)
            fd.flush()
        self._row = {}

    def save_itr_params(self, itr, params):
        with open(os.path.join(self._snapshot_dir, "params.pkl"), "wb") as file:
            pickle.dump(params, file)


logger = Logger()
