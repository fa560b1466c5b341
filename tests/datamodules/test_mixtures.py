"""Points around known centres: where they are, how they spread, and which split they are in."""

import math

import pytest
import torch
from jsonargparse import ArgumentParser

from datamodules import Grid, Mixture, Ring
from datamodules.loading.in_memory import InMemory
from trains import seen_by

BOTH = [Ring, Grid]


def drawn(kind, split="train", **kwargs):
    data = kind(**kwargs)
    data.setup("fit")
    return data.tables[split]


def on(data, dtype=torch.float32, rank=0, world_size=1):
    """The data as a trainer on one of several processes sees it."""
    data.trainer = seen_by(rank, world_size, dtype)
    data.setup("fit")
    return data


def test_centres_are_the_papers():
    expected = [[math.cos(2 * math.pi * i / 8), math.sin(2 * math.pi * i / 8)] for i in range(8)]
    assert torch.allclose(Ring().centers, torch.tensor(expected), atol=1e-7)
    assert Ring().std == 0.01 and Ring().modes == 8
    axis = (-4.0, -2.0, 0.0, 2.0, 4.0)
    assert Grid().centers.tolist() == [[x, y] for x in axis for y in axis]
    assert Grid().std == 0.05 and Grid().modes == 25


def test_centres_follow_the_arguments():
    assert torch.allclose(Ring(modes=3, radius=2.5).centers.norm(dim=1), torch.tensor(2.5))
    assert Grid(size=2, spacing=3.0).centers.tolist() == [
        [-1.5, -1.5],
        [-1.5, 1.5],
        [1.5, -1.5],
        [1.5, 1.5],
    ]
    assert Grid(size=1).centers.tolist() == [[0.0, 0.0]] and Ring(modes=1).modes == 1


@pytest.mark.parametrize("kind", BOTH)
def test_points_are_normal_around_the_centre_of_their_target(kind):
    data = kind()
    table = drawn(kind)
    assert torch.equal(torch.cdist(table.inputs, data.centers).argmin(1), table.targets)
    shares = table.targets.bincount(minlength=data.modes) / len(table)
    expected = 1 / data.modes
    assert (shares - expected).abs().max() < 5 * math.sqrt(expected / len(table))
    for mode, center in enumerate(data.centers):
        noise = (table.inputs[table.targets == mode] - center) / data.std
        rows = len(noise)
        assert noise.mean(0).abs().max() < 5 / math.sqrt(rows)
        covariance = noise.T.cov()
        assert (covariance - torch.eye(2)).abs().max() < 5 * math.sqrt(2 / rows)
        kurtosis = noise.pow(4).mean(0) / covariance.diagonal() ** 2
        assert (kurtosis - 3).abs().max() < 5 * math.sqrt(24 / rows)


@pytest.mark.parametrize("kind", BOTH)
def test_splits_are_independent_draws_and_functions_of_the_data_seed(kind):
    data = kind(samples=2500)
    data.setup("fit")
    for split, table in data.tables.items():
        again = drawn(kind, split, samples=2500, seed=7, batch_size=5)
        assert torch.equal(table.inputs, again.inputs) and torch.equal(table.targets, again.targets)
        assert not torch.equal(table.targets, drawn(kind, split, samples=2500, data_seed=1).targets)
    train, val, test = data.tables.values()
    for one, two in ((train, val), (train, test), (val, test)):
        same = (one.targets == two.targets).float().mean().item()
        assert abs(same - 1 / data.modes) < 5 * math.sqrt(1 / data.modes / 2500)
        noises = [part.inputs - data.centers[part.targets] for part in (one, two)]
        correlation = torch.stack([noise[:, 0] for noise in noises]).corrcoef()[0, 1]
        assert abs(correlation) < 5 / math.sqrt(2500)
    assert len(drawn(kind, "train", val_samples=7)) == 100_000
    assert len(drawn(kind, "val", val_samples=7)) == 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_batch_is_points_in_the_networks_type_and_modes(dtype):
    data = on(Ring(batch_size=64, samples=1000), dtype)
    batch = next(iter(data.train_dataloader()))
    inputs, targets = data.on_after_batch_transfer(batch, 0)
    assert inputs.shape == (64, *data.input_shape) == (64, 2) and inputs.dtype == dtype
    assert targets.shape == (64,) and targets.dtype == torch.int64
    assert torch.equal(inputs, batch[0].to(dtype))


def test_two_processes_train_on_disjoint_halves_of_one_processs_batches():
    def rows(rank, world_size, batch_size):
        data = on(Ring(samples=1024, batch_size=batch_size), rank=rank, world_size=world_size)
        return [set(map(tuple, inputs.tolist())) for inputs, _ in data.train_dataloader()]

    halves = zip(rows(0, 2, 128), rows(1, 2, 128), rows(0, 1, 256), strict=True)
    for first, second, whole in halves:
        assert len(first) == len(second) == 128
        assert not first & second and first | second == whole


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Ring, {"std": math.inf}),
        (Ring, {"radius": math.inf}),
        (Ring, {"std": 1e-8, "radius": 1.0}),
        (Grid, {"spacing": 1e9}),
    ],
)
def test_a_spread_that_numbers_cannot_hold_is_refused(kind, arguments):
    with pytest.raises(ValueError, match=r"^--data.std=\S+ does not fit modes \S+ from the ori"):
        kind(**arguments)


def test_too_few_points_for_a_batch_are_refused():
    data = on(Ring(samples=100))
    with pytest.raises(ValueError, match=r"--data.batch_size=256 does not fit 100 rows"):
        data.train_dataloader()


@pytest.mark.parametrize("wrong", ["modes=0", "radius=0", "std=-1", "samples=0", "val_samples=a"])
def test_the_command_line_refuses_other_numbers(wrong):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Mixture, "data")
    assert parser.parse_args(["--data=Ring"]).data.init_args.modes == 8
    name = wrong.partition("=")[0]
    with pytest.raises(Exception, match=name):
        parser.parse_args(["--data=Ring", f"--data.{wrong}"])


@pytest.mark.parametrize("kind", [Mixture, InMemory])
def test_what_only_subclasses_complete_is_abstract(kind):
    with pytest.raises(TypeError, match="abstract"):
        kind(1.0, 1)


def test_hyperparameters_are_plain_and_complete():
    assert Grid(samples=300).hparams == {
        "size": 5,
        "spacing": 2.0,
        "std": 0.05,
        "samples": 300,
        "val_samples": 2500,
        "test_samples": 2500,
        "batch_size": 256,
        "data_seed": 0,
        "seed": 0,
    }
