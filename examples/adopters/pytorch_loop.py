"""A PyTorch loop that continues from its snapshot: a small network learns a sine.

runslot run examples/adopters/pytorch_loop.py:train --grid lr=0.1,0.01 --seeds 3 --retries 2 \\
    --resumable
"""

from __future__ import annotations

from typing import Any

import torch

from runslot import logger


def train(variant: dict[str, Any]) -> float:
    """Return the final loss; `variant`: `lr`, `seed`, and if wanted `epochs`, `hidden`."""
    torch.manual_seed(int(variant.get("seed", 0)))
    inputs = torch.linspace(-3, 3, 256).unsqueeze(1)
    targets = torch.sin(inputs)
    hidden = variant.get("hidden", 32)
    model = torch.nn.Sequential(
        torch.nn.Linear(1, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=variant["lr"])
    logger.configure(async_snapshots=True)

    first = 0
    # an attempt before this one was cut short
    if (snapshot := logger.load_itr_params()) is not None:
        model.load_state_dict(snapshot["model"])
        optimizer.load_state_dict(snapshot["optimizer"])
        first = snapshot["epoch"] + 1

    loss = torch.nn.functional.mse_loss(model(inputs), targets)
    for epoch in range(first, variant.get("epochs", 50)):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        logger.set_iteration(epoch)
        # the tensor itself: on a GPU, all values of a row are fetched together when the row is
        # written
        logger.record_dict({"epoch": epoch, "loss": loss})
        logger.dump_tabular()
        state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        logger.save_itr_params(epoch, state)
    return float(loss.item())


if __name__ == "__main__":
    logger.setup_logger("pytorch", variant={"lr": 0.01})
    train({"lr": 0.01})
