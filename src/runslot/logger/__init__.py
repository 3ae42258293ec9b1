"""What a run writes: rows, words, snapshots, by the names of the loggers of launchkit, RLKit and
rlpyt.

`from runslot import logger` in any script. The functions act on the run that this process belongs
to; without a launcher, on what `setup_logger` or `logger_context` began; else they only print.
"""

from __future__ import annotations

import atexit

from runslot.logger.ancestors import adopt_ancestor_loggers, release_ancestor_loggers
from runslot.logger.run_logger import Logger, RunLogHandler, process_logger
from runslot.logger.sinks import Sink

__all__ = [
    "Logger",
    "RunLogHandler",
    "Sink",
    "add_sink",
    "add_tabular_output",
    "add_text_output",
    "adopt_ancestor_loggers",
    "bind_run",
    "close",
    "configure",
    "disable",
    "disable_tabular",
    "dump_tabular",
    "enable",
    "enable_tabular",
    "get_disable_prefix",
    "get_log_tabular_only",
    "get_problems",
    "get_snapshot_dir",
    "get_snapshot_gap",
    "get_snapshot_mode",
    "get_table_dict",
    "get_table_key_set",
    "get_tf_summary_writer",
    "hold_tabular_output",
    "load_itr_params",
    "log",
    "log_to_files",
    "log_variant",
    "logger_context",
    "pop_prefix",
    "pop_tabular_prefix",
    "prefix",
    "push_prefix",
    "push_tabular_prefix",
    "record_dict",
    "record_tabular",
    "record_tabular_misc_stat",
    "release_ancestor_loggers",
    "remove_tabular_output",
    "remove_text_output",
    "reset",
    "save_extra_data",
    "save_itr_params",
    "set_disable_prefix",
    "set_iteration",
    "set_log_tabular_only",
    "set_snapshot_dir",
    "set_snapshot_gap",
    "set_snapshot_mode",
    "set_tf_summary_writer",
    "setup_logger",
    "tabular_prefix",
]

add_sink = process_logger.add_sink
add_tabular_output = process_logger.add_tabular_output
add_text_output = process_logger.add_text_output
bind_run = process_logger.bind_run
close = process_logger.close
configure = process_logger.configure
disable = process_logger.disable
disable_tabular = process_logger.disable_tabular
dump_tabular = process_logger.dump_tabular
enable = process_logger.enable
enable_tabular = process_logger.enable_tabular
get_disable_prefix = process_logger.get_disable_prefix
get_log_tabular_only = process_logger.get_log_tabular_only
get_snapshot_dir = process_logger.get_snapshot_dir
get_snapshot_gap = process_logger.get_snapshot_gap
get_snapshot_mode = process_logger.get_snapshot_mode
get_table_dict = process_logger.get_table_dict
get_table_key_set = process_logger.get_table_key_set
get_tf_summary_writer = process_logger.get_tf_summary_writer
hold_tabular_output = process_logger.hold_tabular_output
load_itr_params = process_logger.load_itr_params
log = process_logger.log
log_to_files = process_logger.log_to_files
log_variant = process_logger.log_variant
logger_context = process_logger.logger_context
pop_prefix = process_logger.pop_prefix
pop_tabular_prefix = process_logger.pop_tabular_prefix
prefix = process_logger.prefix
get_problems = process_logger.get_problems
push_prefix = process_logger.push_prefix
push_tabular_prefix = process_logger.push_tabular_prefix
record_dict = process_logger.record_dict
record_tabular = process_logger.record_tabular
record_tabular_misc_stat = process_logger.record_tabular_misc_stat
remove_tabular_output = process_logger.remove_tabular_output
remove_text_output = process_logger.remove_text_output
reset = process_logger.reset
save_extra_data = process_logger.save_extra_data
save_itr_params = process_logger.save_itr_params
set_disable_prefix = process_logger.set_disable_prefix
set_iteration = process_logger.set_iteration
set_log_tabular_only = process_logger.set_log_tabular_only
set_snapshot_dir = process_logger.set_snapshot_dir
set_snapshot_gap = process_logger.set_snapshot_gap
set_snapshot_mode = process_logger.set_snapshot_mode
set_tf_summary_writer = process_logger.set_tf_summary_writer
setup_logger = process_logger.setup_logger
tabular_prefix = process_logger.tabular_prefix

atexit.register(process_logger.close)
