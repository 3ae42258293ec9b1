"""An algorithm in RLKit's manner: it writes through `rlkit.core.logger`."""

from rlkit.core import logger


class TD3Trainer:
    def __init__(self, discount, **kwargs):
        self.discount = discount


class TorchBatchRLAlgorithm:
    def __init__(self, trainer, num_epochs):
        self.trainer, self.num_epochs = trainer, num_epochs

    def train(self):
        for epoch in range(self.num_epochs):
            logger.save_itr_params(epoch, {"epoch": epoch})
            logger.record_dict({"Epoch": epoch, "discount": self.trainer.discount})
            logger.dump_tabular()
