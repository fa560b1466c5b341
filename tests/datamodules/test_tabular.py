"""Splits, standardisation, batches and their types, on real and generated rows."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

import datamodules
from datamodules import Diabetes, Friedman, Linear, Quadratic, TabularData, Textbook
from datamodules.loading.splits import centre_and_scale
from recipes.parts.networks import QuadraticModel
from recipes.regress import Regress
from trains import seen_by

TABULAR = [
    getattr(datamodules, name)
    for name in datamodules.__all__
    if issubclass(getattr(datamodules, name), TabularData) and name != "TabularData"
]


class Counted(TabularData):
    """Rows that are their own numbers, and how often they are read."""

    reads = 0

    def load(self):
        self.reads += 1
        numbers = torch.arange(101, dtype=torch.float64)
        return torch.stack([numbers, torch.full_like(numbers, 0.1)], 1), numbers


def rows_of(data, split=0):
    parts = data.splits(split)
    return [part.targets.long().tolist() for part in (parts.train, parts.val, parts.test)]


def inputs_of(loader, epoch=0):
    loader.set_epoch(epoch)
    return torch.cat([inputs for inputs, _ in loader])


@pytest.mark.parametrize("split", range(5))
def test_splits_are_disjoint_complete_and_of_the_documented_sizes(split):
    train, val, test = rows_of(Counted(standardize=False), split)
    assert sorted(train + val + test) == list(range(101))
    assert len(test) == round(0.2 * 101) and len(val) == round(0.2 * 81)
    assert train == sorted(train), "rows stay in stored order"


def test_a_split_is_a_function_of_its_number():
    one, two = Counted(standardize=False, seed=1), Counted(standardize=False, seed=2)
    assert rows_of(one, 3) == rows_of(two, 3) != rows_of(one, 4)
    more = Counted(standardize=False, val_size=0.5)
    assert rows_of(more, 3)[2] == rows_of(one, 3)[2], "val_size leaves the test rows as they are"


@pytest.mark.parametrize(("split", "repeat"), [(0, 0), (3, 0), (1, 2)])
def test_folds_are_scikit_learns(split, repeat):
    expected = KFold(5, shuffle=True, random_state=split + repeat).split(np.zeros(101))
    tested = []
    for fold, (rest, held) in enumerate(expected):
        data = Counted(
            standardize=False, split=split, test_size=0, folds=5, fold=fold, repeat=repeat
        )
        train, val, test = rows_of(data, split)
        assert test == held.tolist() and sorted(train + val) == rest.tolist()
        assert len(val) == round(0.2 * len(rest))
        tested += test
    assert sorted(tested) == list(range(101)), "each row is tested once"


def test_without_folds_the_splits_are_the_random_ones():
    assert rows_of(Counted(standardize=False)) == [
        part.tolist() for part in Counted().split_rows(101, 0)
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fold": 2}, "--data.fold=2 needs --data.folds"),
        ({"repeat": 1}, "--data.repeat=1 needs --data.folds"),
        ({"folds": 1}, "--data.folds=1: 2 or more"),
        ({"folds": 5, "fold": 5}, "--data.fold=5: --data.folds=5 has 0 to 4"),
        ({"folds": 102}, "--data.folds=102 of 101 rows: too few rows"),
    ],
)
def test_a_fold_that_there_is_not_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Counted(**arguments).splits(0)


def test_rows_are_read_and_split_once():
    data = Counted()
    data.setup("fit")
    data.setup("test")
    assert data.reads == 1 and data.splits(0) is data.splits(0)


@pytest.mark.parametrize("split", [0, 7])
def test_standardisation_is_that_of_the_training_rows(split):
    data = Diabetes(split=split)
    data.setup("fit")
    source = load_diabetes(scaled=False)
    train, _, test = data.split_rows(442, split)
    inputs = StandardScaler().fit(source.data[train])
    target = StandardScaler().fit(source.target[train, None])
    parts = data.splits(split)
    for part, rows in ((parts.train, train), (parts.test, test)):
        np.testing.assert_allclose(part.inputs, inputs.transform(source.data[rows]), atol=1e-12)
        expected = target.transform(source.target[rows, None])[:, 0]
        np.testing.assert_allclose(part.targets, expected, atol=1e-12)
    assert data.target_mean == pytest.approx(target.mean_.item(), rel=1e-14)
    assert data.target_std == pytest.approx(target.scale_.item(), rel=1e-14)


def test_a_constant_column_stays_finite():
    parts = Counted().splits(0)
    assert parts.test.inputs[:, 1].abs().max() < 1e-15, "0.1 - 0.1, over 1 and not over 0"


def test_a_column_that_is_constant_but_for_rounding_is_not_blown_up():
    values = torch.tensor([[0.1 + 0.2, 1e9], [0.3, 1e9 + 1e-3]], dtype=torch.float64)
    mean, std = centre_and_scale(values)
    assert std.tolist() == [1.0, pytest.approx(5e-4, rel=1e-3)]
    assert mean[0] == pytest.approx(0.3)


def test_what_is_too_large_to_standardise_is_refused():
    with pytest.raises(ValueError, match=r"--data has values up to 1e\+200: too large"):
        centre_and_scale(torch.tensor([[1e200, 1], [-1e200, 2]], dtype=torch.float64))


def test_what_is_not_standardised_is_as_loaded():
    data = Counted(standardize=False)
    data.setup("fit")
    assert (data.target_mean, data.target_std, data.input_shape) == (0.0, 1.0, (2,))
    assert torch.equal(data.splits(0).train.inputs[:, 0], data.splits(0).train.targets)


def test_training_reshuffles_unless_told_otherwise():
    data, fixed = Diabetes(), Diabetes(reshuffle=False)
    new, same = data.train_dataloader(), fixed.train_dataloader()
    assert torch.equal(inputs_of(new), inputs_of(same))
    assert not torch.equal(inputs_of(new, 1), inputs_of(new))
    assert torch.equal(inputs_of(same, 1), inputs_of(same))
    assert not torch.equal(inputs_of(Diabetes(seed=1).train_dataloader()), inputs_of(new))


def test_overfitting_batches_are_not_shuffled():
    data = Diabetes()
    data.trainer = seen_by(overfit_batches=2)
    assert torch.equal(inputs_of(data.train_dataloader()), data.splits(0).train.inputs.float())


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_a_full_batch_holds_every_training_row(world_size):
    data = Diabetes(batch_size="full")
    parts = []
    for rank in range(world_size):
        data.trainer = seen_by(rank, world_size, torch.float64)
        ((inputs, _),) = data.train_dataloader()
        parts.append(inputs)
    rows = torch.cat(parts)
    assert sorted(rows.tolist()) == sorted(data.splits(0).train.inputs.tolist())


def test_batches_have_the_type_of_the_networks_weights():
    data = Diabetes()
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        data.trainer = seen_by(dtype=dtype)
        for loader in (data.train_dataloader(), data.val_dataloader(), data.predict_dataloader()):
            assert {part.dtype for part in next(iter(loader))} == {dtype}
    data.trainer = None
    assert next(iter(data.train_dataloader()))[0].dtype == torch.float32


class Mean(LightningModule):
    """Learns one number."""

    def __init__(self):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(()))
        self.validated = 0

    def training_step(self, batch, _):
        return (batch[1] - self.mean).square().mean()

    def validation_step(self, batch, _):
        self.validated += 1

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize(("val_size", "validated"), [(0.0, 0), (0.2, 3)])
def test_lightning_trains_with_and_without_validation(tmp_path, val_size, validated):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=tmp_path,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        **quiet,
    )
    network = Mean()
    trainer.fit(network, datamodule=Diabetes(val_size=val_size))
    assert network.validated == validated and trainer.global_step > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test_size": 0.001}, r"--data.test_size=0.001 of 101 rows .*too few"),
        ({"val_size": 0.999}, r"--data.val_size=0.999 of 81 rows .*too few"),
        ({"batch_size": 66}, r"--data.batch_size=66 does not fit 65 rows: give 65 or less"),
    ],
)
def test_impossible_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Counted(**arguments).train_dataloader()


def test_without_test_rows_testing_ends_in_one_line():
    data = Diabetes(test_size=0.0)
    data.setup("test")
    assert len(data.splits(0).test) == 0
    for loader in (data.test_dataloader, data.predict_dataloader):
        with pytest.raises(ValueError, match=r"--data.test_size=0"):
            loader()


def parser():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    return parser


@pytest.mark.parametrize("kind", TABULAR, ids=lambda kind: kind.__name__)
def test_every_set_has_its_name_and_seed_on_the_command_line(kind):
    flags = ["--data.path=rows.csv"] if kind.__name__ == "Tabular" else []
    flags = [f"--data={kind.__name__}", *flags, "--data.seed=3", "--data.batch_size=full"]
    data = parser().instantiate(parser().parse_args(flags)).data
    assert type(data) is kind and data.seed == 3 and data.batch_size == "full"
    assert data.hparams["seed"] == 3


def test_hyperparameters_are_complete_and_copied():
    data = (
        parser().instantiate(parser().parse_args(["--data=Diabetes", "--data.val_size=0.25"])).data
    )
    expected = {
        "batch_size": 32,
        "val_size": 0.25,
        "test_size": 0.2,
        "split": 0,
        "standardize": True,
        "reshuffle": True,
        "seed": 0,
        "folds": None,
        "fold": 0,
        "repeat": 0,
    }
    plain = {key: value for key, value in data.hparams.items() if not key.startswith("_")}
    assert plain == expected == dict(copy.deepcopy(plain))
    assert pickle.loads(pickle.dumps(plain)) == expected


@pytest.mark.parametrize("flag", ["val_size=1", "test_size=-0.1", "batch_size=0", "split=-1"])
def test_bad_values_are_refused_by_their_types(flag):
    with pytest.raises(Exception, match=flag.split("=")[0]):
        parser().parse_args(["--data=Diabetes", f"--data.{flag}"])


def test_diabetes_is_unscaled_and_named():
    data = Diabetes(standardize=False)
    data.setup("fit")
    assert data.feature_names == ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    everything = torch.cat(
        [part.targets for part in vars(data.splits(0)).values() if hasattr(part, "targets")]
    )
    assert (len(everything), everything.min(), everything.max()) == (442, 25, 346)


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_friedmans_functions(variant):
    data = Friedman(variant, rows=200, noise=0.0, standardize=False)
    inputs, targets = data.examples
    x1, x2, x3, x4 = inputs.unbind(1)[:4]
    product = x2 * x3 - 1 / (x2 * x4)
    expected = {
        1: 10 * (torch.pi * x1 * x2).sin()
        + 20 * (x3 - 0.5) ** 2
        + 10 * x4
        + 5 * inputs[:, 4 % inputs.shape[1]],
        2: (x1**2 + product**2).sqrt(),
        3: (product / x1).arctan(),
    }[variant]
    torch.testing.assert_close(targets, expected)
    assert inputs.shape == (200, 10 if variant == 1 else 4) and inputs.dtype == torch.float64
    assert not torch.equal(Friedman(variant, rows=200, data_seed=1).examples[0], inputs)


def test_friedmans_first_function_needs_five_features():
    with pytest.raises(ValueError, match=r"--data.features=4"):
        Friedman(features=4)


def test_the_line_is_the_line():
    data = Linear(rows=500, features=3, noise=0.0, bias=2.0)
    inputs, targets = data.examples
    torch.testing.assert_close(targets, inputs @ data.weights + 2)
    noisy = Linear(rows=20_000, features=3, noise=0.5)
    inputs, targets = noisy.examples
    assert (targets - inputs @ noisy.weights).std().item() == pytest.approx(0.5, rel=0.02)


def test_a_weight_and_a_mean_are_what_was_given_and_change_nothing_else():
    drawn = Linear(rows=400, features=2, noise=0.0)
    given = Linear(rows=400, features=2, noise=0.0, weight=2.0, mean=3.0)
    torch.testing.assert_close(given.examples[0], drawn.examples[0] + 3)
    assert given.weights.tolist() == [2, 2]
    torch.testing.assert_close(given.examples[1], 2 * given.examples[0].sum(1))


@pytest.mark.parametrize("condition", [1.0, 100.0, 1e4])
def test_the_samples_condition_number_approaches_that_asked_for(condition):
    inputs, _ = Linear(rows=200_000, features=6, condition=condition).examples
    eigenvalues = torch.linalg.eigvalsh(inputs.T @ inputs / len(inputs))
    expected = condition ** -torch.linspace(1, 0, 6, dtype=torch.float64)
    torch.testing.assert_close(eigenvalues, expected, rtol=0.03, atol=0)
    if condition > 1:
        spread = (inputs.T @ inputs / len(inputs)).fill_diagonal_(0).abs().max()
        assert spread > 0.01, "rotated: no input is an eigenvector"


def test_the_quadratics_rows_are_the_published_ones():
    data = Quadratic()
    data.setup("fit")
    parts = data.splits(0)
    assert parts.train.inputs.tolist() == (
        np.random.RandomState(42).normal(0, 0.6, (1000, 100)).tolist()
    )
    assert parts.test.inputs[0, 0] == np.random.RandomState(43).normal(0, 0.6)
    assert not parts.train.targets.any() and data.val_dataloader() == []
    assert len(data.train_dataloader()) == 7
    held = Quadratic(val_size=0.1).splits(0)
    assert [len(part) for part in (held.train, held.val, held.test)] == [900, 100, 896]
    assert torch.equal(held.test.inputs, parts.test.inputs)


def test_the_quadratics_test_losses_are_the_published_ones(tmp_path):
    """At the start, and at the minimum of the training loss, through Lightning's test."""
    module = Regress(QuadraticModel, loss="mae")
    trainer = Trainer(
        accelerator="cpu", precision="64-true", logger=False, default_root_dir=tmp_path
    )
    data, found = Quadratic(), []
    for theta in (torch.ones(100), data.splits(0).train.inputs.mean(0)):
        module.network.theta.data.copy_(theta)
        (metrics,) = trainer.test(module, datamodule=data, verbose=False)
        found.append(metrics["test/loss"])
    assert found == [pytest.approx(353.4468, abs=1e-4), pytest.approx(87.04601, abs=1e-5)]


def test_the_textbooks_four_rows_are_for_everything():
    data = Textbook()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        ((inputs, targets),) = loader
        assert inputs.tolist() == [[1, 2], [2, 3], [3, 4], [4, 5]]
        assert targets.tolist() == [2, 3, 4, 5]
    assert len(Textbook(batch_size=1).train_dataloader()) == 4


def test_california_comes_from_scikit_learns_loader(monkeypatch, tmp_path):
    seen = []

    def fetch(data_home, **kwargs):
        seen.append((data_home, kwargs.get("download_if_missing", True)))
        return SimpleNamespace(
            data=np.ones((20, 8)), target=np.arange(20.0), feature_names=["MedInc"] * 8
        )

    monkeypatch.setattr("sklearn.datasets.fetch_california_housing", fetch)
    data = datamodules.California(str(tmp_path / "housing"), batch_size=4)
    data.prepare_data()
    data.setup("fit")
    assert data.input_shape == (8,) and data.target_name == "MedHouseVal"
    assert seen == [(tmp_path / "housing", True), (tmp_path / "housing", False)]


def test_california_offline_ends_in_one_line(monkeypatch, tmp_path):
    def fetch(**kwargs):
        raise ConnectionError

    monkeypatch.setattr("sklearn.datasets.fetch_california_housing", fetch)
    with pytest.raises(OSError, match=r"cannot download California housing .*data_dir"):
        datamodules.California(str(tmp_path)).prepare_data()
