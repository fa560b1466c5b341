"""MaxNorm, KeyedNoise, Export, WritePredictions and Totals, most around a stranger's module."""

import csv
import math

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from callbacks import Export, KeyedNoise, MaxNorm, Threads, Throughput, Totals, WritePredictions
from datamodules.loading.missing import MISSING
from recipes.classify import Classify
from recipes.parts.networks import MLP
from recipes.running.files import MetricsFile
from trains import digits, fit, rows


class Stranger(LightningModule):
    def __init__(self, validate=False):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
        self.validate = validate
        self.masks = []

    def training_step(self, batch, batch_idx):
        self.masks.append(torch.rand(3).tolist())
        return self.network(batch).square().mean()

    def validation_step(self, batch, batch_idx):
        torch.rand(7)

    def predict_step(self, batch, batch_idx):
        return {"index": batch[:, 0], "score": self.network(batch)}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(12, 4), batch_size=2)

    def val_dataloader(self):
        return self.train_dataloader() if self.validate else []

    def predict_dataloader(self):
        return torch.utils.data.DataLoader(torch.arange(20.0).view(5, 4), batch_size=2)


def trainer(tmp_path, *callbacks, **kwargs):
    return Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **{"max_epochs": 1, "logger": False, **kwargs},
    )


def test_max_norm_bounds_each_units_incoming_weights(tmp_path):
    module = Stranger()
    with torch.no_grad():
        module.network[0].weight.mul_(10)
    small = module.network[2].weight.detach().clone()
    trainer(tmp_path, MaxNorm(0.7), max_steps=1).fit(module)
    norms = module.network[0].weight.norm(dim=1)
    torch.testing.assert_close(norms, torch.full_like(norms, 0.7))
    assert not torch.equal(module.network[2].weight, small)  # trained, and not scaled up
    assert (module.network[2].weight.norm(dim=1) <= 0.7 + 1e-6).all()


@pytest.mark.parametrize("keyed", [True, False])
def test_noise_does_not_depend_on_validation(tmp_path, keyed):
    """The negative control, without the callback, shows that it otherwise does."""
    masks = []
    for validate in (False, True):
        torch.manual_seed(1)
        module = Stranger(validate)
        callbacks = [KeyedNoise(seed=5)] if keyed else []
        trainer(tmp_path, *callbacks, val_check_interval=2, max_epochs=2).fit(module)
        masks.append(module.masks)
    assert (masks[0] == masks[1]) is keyed
    assert len({tuple(mask) for mask in masks[0]}) == 12, "every step has noise of its own"


def test_noise_depends_on_the_seed(tmp_path):
    found = []
    for seed in (5, 6):
        module = Stranger()
        trainer(tmp_path, KeyedNoise(seed)).fit(module)
        found.append(module.masks)
    assert found[0] != found[1]


def test_export_loads_into_the_modules_own_class(tmp_path):
    module = Stranger()
    trainer(tmp_path, Export("network")).fit(module)
    fresh = Stranger().network
    fresh.load_state_dict(torch.load(tmp_path / "network.pt", weights_only=True))
    assert all(
        torch.equal(a, b) for a, b in zip(fresh.parameters(), module.parameters(), strict=True)
    )


def test_export_of_what_is_not_there_is_refused_before_training(tmp_path):
    module = Stranger()
    with pytest.raises(ValueError, match="module=student"):
        trainer(tmp_path, Export("student")).fit(module)
    assert module.masks == []


def test_predictions_are_a_table(tmp_path):
    module = Stranger().eval()
    trainer(tmp_path, WritePredictions()).predict(module)
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["index"]) for row in rows] == [0, 4, 8, 12, 16]
    scores = torch.tensor([[float(row[f"score_{i}"]) for i in range(3)] for row in rows])
    with torch.no_grad():
        torch.testing.assert_close(scores, module.network(torch.arange(20.0).view(5, 4)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_predictions_of_more_dimensions_are_an_array(tmp_path, dtype):
    class Painter(Stranger):
        def predict_step(self, batch, batch_idx):
            return {"image": batch.view(-1, 1, 2, 2).to(dtype), "index": batch[:, 0]}

    trainer(tmp_path, WritePredictions()).predict(Painter())
    array = np.load(tmp_path / "image.npy")
    assert array.dtype == np.float32
    assert np.array_equal(array, np.arange(20.0).reshape(5, 1, 2, 2))
    header, *table = (tmp_path / "predictions.csv").read_text().splitlines()
    assert header == "index" and [float(row) for row in table] == [0, 4, 8, 12, 16]


@pytest.mark.parametrize(
    ("targets", "cells"),
    [
        ([1, MISSING, 0, MISSING, 2], ["1", "", "0", "", "2"]),
        ([1.5, math.nan, 0.0, math.nan, 2.0], ["1.5", "", "0.0", "", "2.0"]),
        ([MISSING] * 5, None),
        ([math.nan] * 5, None),
    ],
)
def test_missing_targets_are_empty_and_none_is_no_column(tmp_path, targets, cells):
    class Asked(Stranger):
        def predict_step(self, batch, batch_idx):
            rows = batch[:, 0].div(4).long()
            return {"target": torch.tensor(targets)[rows], "prediction": rows}

    trainer(tmp_path, WritePredictions()).predict(Asked())
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == list("01234")
    assert [row.get("target") for row in rows] == (cells or [None] * 5)


def test_without_columns_there_is_no_table(tmp_path):
    class Painter(Stranger):
        def predict_step(self, batch, batch_idx):
            return {"image": batch.view(-1, 1, 2, 2)}

    trainer(tmp_path, WritePredictions()).predict(Painter())
    assert [path.name for path in tmp_path.iterdir()] == ["image.npy"]


def test_threads_are_set_when_a_run_starts(tmp_path):
    before = torch.get_num_threads()
    trainer(tmp_path, Threads(2), max_steps=1).fit(Stranger())
    found = torch.get_num_threads()
    torch.set_num_threads(before)
    assert found == 2


def test_throughput_counts_all_batches_of_an_accumulated_step(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("callbacks.throughput.time.perf_counter", lambda: clock[0])

    class Slow(Stranger):
        def training_step(self, batch, batch_idx):
            clock[0] += 2.0 if batch_idx % 3 == 2 else 0.5
            return super().training_step(batch, batch_idx)

    logger = MetricsFile(str(tmp_path / "metrics.jsonl"))
    flags = {"accumulate_grad_batches": 3, "log_every_n_steps": 1, "logger": logger}
    trainer(tmp_path, Throughput(), **flags).fit(Slow())
    key = "throughput/samples_per_second"
    assert [row[key] for row in rows(tmp_path) if key in row] == [2.0, 2.0]


def test_throughput_is_samples_over_the_time_of_training(tmp_path, monkeypatch):
    """On a clock that training steps move by half a second, and validation by ten."""
    clock = [100.0]
    monkeypatch.setattr("callbacks.throughput.time.perf_counter", lambda: clock[0])

    class Slow(Stranger):
        def training_step(self, batch, batch_idx):
            clock[0] += 0.5
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch, batch_idx):
            clock[0] += 10

    logger = MetricsFile(str(tmp_path / "metrics.jsonl"))
    flags = {"val_check_interval": 2, "log_every_n_steps": 3, "max_epochs": 2}
    trainer(tmp_path, Throughput(), **flags | {"logger": logger}).fit(Slow(validate=True))
    key = "throughput/samples_per_second"
    found = [row[key] for row in rows(tmp_path) if key in row]
    assert found == [4.0] * 4, "two samples every half second"


@pytest.mark.parametrize(("batch_size", "left_out"), [(64, 53), (100, 77), (600, 477)])
def test_an_epoch_that_leaves_out_many_rows_says_so(tmp_path, caplog, batch_size, left_out):
    """Those that fill no whole batch, if they are a tenth or more of the 1,077."""
    caplog.set_level("INFO")
    module, data = Classify(MLP(64, [16])), digits(batch_size=batch_size)
    fit(module, data, tmp_path, [Totals()], max_epochs=1)
    said = f"an epoch leaves out {left_out} of 1077 training rows" in caplog.text
    assert said == (left_out > 107)
