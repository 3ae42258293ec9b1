"""A runner in rlpyt's manner: sets its own affinity from what it is given, logs a row and a
snapshot an iteration.
"""

import os

from theirs import logger


class MinibatchRl:
    def __init__(self, n_steps, affinity, learning_rate):
        self.n_steps, self.affinity, self.learning_rate = n_steps, affinity, learning_rate

    def train(self):
        if self.affinity.get("master_cpus") and self.affinity.get("set_affinity", True):
            os.sched_setaffinity(0, self.affinity["master_cpus"])
        for itr in range(self.n_steps):
            logger.record_tabular("Iteration", itr)
            logger.record_tabular("ReturnAverage", self.learning_rate * (itr + 1))
            logger.save_itr_params(itr, {"itr": itr})
            logger.dump_tabular()
