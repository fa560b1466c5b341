"""Many streams in one batch, each against the shared loader on its own."""

import pytest
import torch

from datamodules import Diabetes
from datamodules.loading.loader import Loader
from datamodules.tabular import JoinedRows, Rows

MEMBERS = [(0, 3), (1, 3), (0, 3), (0, 4), (2, 9)]


def tables(rows=50, streams=3):
    generator = torch.Generator().manual_seed(0)
    return [
        Rows(*(torch.randn(size, generator=generator) for size in ((rows, 2), (rows,))))
        for _ in range(streams)
    ]


def epoch_of(loader, epoch):
    loader.set_epoch(epoch)
    return list(loader)


def assert_streams(batches, alone):
    """Stream i of the joined batches is, batch by batch, what the i-th of `alone` holds."""
    for stream, single in enumerate(alone):
        for (inputs, targets), (expected, target) in zip(batches, single, strict=True):
            assert torch.equal(inputs[stream], expected)
            assert torch.equal(targets[stream], target)


@pytest.mark.parametrize("period", [None, 2])
def test_each_stream_is_what_the_loader_gives_alone(period):
    one, two, three = tables()
    pairs = [(one, 3), (two, 3), (one, 3), (one, 4), (three, 9)]
    joined = Loader(JoinedRows(*map(list, zip(*pairs, strict=True)), period), 8, drop_last=True)
    for epoch in range(4):
        batches = epoch_of(joined, epoch)
        assert batches[0][0].shape == (5, 8, 2) and batches[0][1].shape == (5, 8)
        alone = [
            epoch_of(Loader(table, 8, shuffle=True, seed=seed), epoch % period if period else epoch)
            for table, seed in pairs
        ]
        assert_streams(batches, alone)


def test_without_seeds_rows_come_as_they_are_stored():
    streams = tables()
    batches = list(Loader(JoinedRows(streams), 8))
    assert torch.equal(torch.cat([inputs for inputs, _ in batches], 1)[2], streams[2].inputs)


def test_it_resumes_in_the_middle_of_an_epoch():
    def loader():
        return Loader(JoinedRows(tables(), [1, 2, 3]), 8, drop_last=True)

    whole, first, resumed = epoch_of(loader(), 1), loader(), loader()
    first.set_epoch(1)
    iterator = iter(first)
    next(iterator), next(iterator)
    resumed.load_state_dict(first.state_dict())
    rest = epoch_of(resumed, 1)
    assert len(rest) == len(whole) - 2
    for batch, expected in zip(rest, whole[2:], strict=True):
        assert torch.equal(batch[0], expected[0]) and torch.equal(batch[1], expected[1])


def test_two_processes_see_the_batches_of_one():
    def loader(size, **kwargs):
        return epoch_of(Loader(JoinedRows(tables(), [1, 2, 3]), size, drop_last=True, **kwargs), 1)

    shards = [loader(8, rank=rank, world_size=2) for rank in range(2)]
    for whole, *parts in zip(loader(16), *shards, strict=True):
        together = torch.stack([part[0] for part in parts], 2).flatten(1, 2)
        assert torch.equal(together, whole[0])


def test_tables_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length, not"):
        JoinedRows(tables(50, 1) + tables(51, 1))
    with pytest.raises(ValueError, match="one length"):
        JoinedRows([])


def test_equal_streams_are_stored_and_ordered_once():
    one, two = tables(streams=2)
    joined = JoinedRows([one, two] * 50, [0, 1] * 50)
    assert len(joined.inputs) == 100 and joined.orders(0).shape == (2, 50)


def datamodule(**kwargs):
    data = Diabetes(**kwargs)
    data.setup("fit")
    return data


def alone(part, members, epoch, period=None):
    loaders = []
    for split, seed in members:
        data = datamodule(split=split, seed=seed)
        loader = getattr(data, f"{part}_dataloader")()
        loaders.append(epoch_of(loader, epoch % period if period else epoch))
    return loaders


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_joined_datamodule_is_many_single_ones(part):
    data = datamodule()
    data.join(MEMBERS)
    loader = getattr(data, f"{part}_dataloader")()
    for epoch in range(2):
        assert_streams(epoch_of(loader, epoch), alone(part, MEMBERS, epoch))
    scales = [data.splits(split) for split, _ in MEMBERS]
    expected = [[scale.target_mean, scale.target_std] for scale in scales]
    assert data.target_scale.dtype == torch.float64 and data.target_scale.tolist() == expected


def test_joining_again_is_for_the_loaders_made_afterwards():
    data = datamodule()
    for members, period in ((MEMBERS, None), (MEMBERS[1:4], None), ([(5, 1), (0, 3)], 2)):
        data.join(members, period)
        assert len(data.target_scale) == len(members)
        for part in ("train", "val", "test"):
            loader = getattr(data, f"{part}_dataloader")()
            assert_streams(epoch_of(loader, 3), alone(part, members, 3, period))


def test_one_order_for_all_epochs_joined():
    data = datamodule(reshuffle=False)
    data.join(MEMBERS)
    loader = data.train_dataloader()
    assert torch.equal(epoch_of(loader, 0)[0][0], epoch_of(loader, 7)[0][0])
    assert_streams(epoch_of(loader, 7), alone("train", MEMBERS, 0))


def test_full_batches_joined():
    data = datamodule(batch_size="full")
    data.join(MEMBERS)
    ((inputs, targets),) = data.train_dataloader()
    assert inputs.shape == (5, 283, 10) and targets.shape == (5, 283)
    assert torch.equal(inputs[4], data.splits(2).train.inputs.float())
