"""Tensors in rows and snapshots, with the real torch."""

from __future__ import annotations

import pytest

from runslot.logger import cells

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = pytest.mark.adopters


def test_scalars_are_numbers_and_copied(logger, run_dir, rows):
    total = torch.tensor(1.5, requires_grad=True)
    with torch.no_grad():
        logger.record_dict({"total": total, "count": torch.tensor([3])})
        logger.record_tabular("half", torch.tensor(0.5, dtype=torch.bfloat16))
        total *= 0
    logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [{"total": "1.5", "count": "3", "half": "0.5"}]


def test_statistics_of_a_tensor(logger):
    logger.record_tabular_misc_stat("x", torch.tensor([1.0, 3.0], requires_grad=True))
    assert logger.get_table_dict() == {
        "xAverage": "2.0",
        "xStd": "1.0",
        "xMedian": "2.0",
        "xMin": "1.0",
        "xMax": "3.0",
    }


def test_a_module_comes_back_from_a_snapshot(logger, run_dir):
    module = torch.nn.Linear(2, 3)
    logger.save_itr_params(0, {"model": module.state_dict(), "epoch": 0})
    read = torch.load(run_dir / "params.pkl", weights_only=True)
    assert torch.equal(read["model"]["weight"], module.weight)
    assert torch.equal(logger.load_itr_params()["model"]["bias"], module.bias)


def test_values_on_a_device_are_fetched_once_for_each_type(logger, run_dir, rows, monkeypatch):
    """Tensors of the CPU stand for those of a device; the test below has a real one."""
    monkeypatch.setattr(cells, "_is_torch_on_device", lambda value: isinstance(value, torch.Tensor))
    floats = {f"f{i}": torch.tensor(float(i)) for i in range(3)}
    logger.record_dict({**floats, "count": torch.tensor([2**60]), "plain": 1})
    floats["f0"] += 100
    transfers = []
    original = torch.Tensor.tolist
    monkeypatch.setattr(
        torch.Tensor, "tolist", lambda tensor: (transfers.append(1), original(tensor))[1]
    )
    logger.dump_tabular()
    assert len(transfers) == 2
    assert rows(run_dir / "progress.csv") == [
        {"f0": "0.0", "f1": "1.0", "f2": "2.0", "count": str(2**60), "plain": "1"}
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_a_row_waits_for_the_gpu_once(logger, run_dir, rows, monkeypatch):
    values = {f"k{i}": torch.tensor(float(i), device="cuda") for i in range(5)}
    total = values["k0"]
    torch.cuda.set_sync_debug_mode("error")  # recording must not wait
    try:
        logger.record_dict(values)
        total += 100
    finally:
        torch.cuda.set_sync_debug_mode("default")
    transfers = []
    original = torch.Tensor.tolist
    monkeypatch.setattr(
        torch.Tensor, "tolist", lambda tensor: (transfers.append(1), original(tensor))[1]
    )
    logger.dump_tabular()
    assert len(transfers) == 1
    assert rows(run_dir / "progress.csv") == [{f"k{i}": f"{i}.0" for i in range(5)}]
