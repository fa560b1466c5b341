"""Order, shards and position of the shared loader, against the definition."""

from itertools import chain

import pytest
import torch

from datamodules.loading.loader import Loader, Table, keyed_seed


class Rows(Table):
    """A table whose batches are the row numbers and the epoch."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return self.rows

    def gather(self, rows, epoch):
        return rows, torch.full_like(rows, epoch)


def seen(loader):
    return [batch[0].tolist() for batch in loader]


def test_order_is_a_function_of_seed_and_epoch():
    one, two = (Loader(Rows(50), 8, shuffle=True, seed=3) for _ in range(2))
    one.set_epoch(5)
    two.set_epoch(2)
    assert seen(one) != seen(two)
    two.set_epoch(5)
    assert seen(one) == seen(two)
    assert seen(one) != seen(Loader(Rows(50), 8, shuffle=True, seed=4))


def test_shuffled_rows_are_distinct_and_the_last_incomplete_batch_is_left_out():
    loader = Loader(Rows(50), 8, shuffle=True)
    rows = list(chain.from_iterable(seen(loader)))
    assert len(loader) == 6 and len(rows) == 48 == len(set(rows))


@pytest.mark.parametrize("rows", [33, 64, 65, 100])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_sees_every_row_once_in_equally_many_batches(rows, world_size):
    shards = [
        seen(Loader(Rows(rows), 16, rank=rank, world_size=world_size)) for rank in range(world_size)
    ]
    assert sorted(row for shard in shards for batch in shard for row in batch) == list(range(rows))
    assert len({len(shard) for shard in shards}) == 1
    assert all(0 < len(batch) <= 16 for shard in shards for batch in shard)


def test_lightnings_own_sampler_pads_where_this_one_does_not():
    sampler = torch.utils.data.DistributedSampler
    shards = [list(sampler(range(33), 2, rank, shuffle=False)) for rank in range(2)]
    assert sum(map(len, shards)) == 34


def test_two_processes_see_the_batches_of_one():
    one = seen(Loader(Rows(100), 16, shuffle=True, seed=1))
    shards = [
        seen(Loader(Rows(100), 8, shuffle=True, seed=1, rank=rank, world_size=2))
        for rank in range(2)
    ]
    for whole, *parts in zip(one, *shards, strict=True):
        assert sorted(whole) == sorted(chain.from_iterable(parts))


@pytest.mark.parametrize("batches", [1, 3, 6])
def test_an_epoch_resumes_at_its_position(batches):
    loader = Loader(Rows(50), 8, shuffle=True)
    loader.set_epoch(4)
    whole = seen(loader)
    iterator = iter(loader)
    for _ in range(batches):
        next(iterator)
    state = loader.state_dict()
    resumed = Loader(Rows(50), 8, shuffle=True)
    resumed.load_state_dict(state)
    resumed.set_epoch(4)
    assert seen(resumed) == whole[batches:]
    assert seen(resumed) == whole, "only the first epoch after a resume is shortened"


def test_an_epoch_that_was_left_early_does_not_shorten_the_next():
    loader = Loader(Rows(50), 8, shuffle=True)
    next(iter(loader))
    loader.set_epoch(1)
    assert len(seen(loader)) == 6
    state = {"epoch": 1, "position": 1}
    loader.load_state_dict(state)
    loader.set_epoch(2)
    assert len(seen(loader)) == 6


def test_orders_start_anew_after_a_period():
    loader, forever = Loader(Rows(50), 8, shuffle=True, period=3), Loader(Rows(50), 8, shuffle=True)
    for epoch in range(7):
        loader.set_epoch(epoch)
        forever.set_epoch(epoch % 3)
        assert seen(loader) == seen(forever)


def test_the_last_batch_can_be_left_out_without_shuffling_and_kept_with_it():
    assert seen(Loader(Rows(11), 4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    kept = seen(Loader(Rows(11), 4, shuffle=True, drop_last=False))
    assert sorted(chain.from_iterable(kept)) == list(range(11)) != list(chain.from_iterable(kept))


@pytest.mark.parametrize(("rows", "batch_size", "world_size"), [(7, 8, 1), (15, 8, 2)])
def test_a_batch_that_does_not_fit_is_refused(rows, batch_size, world_size):
    with pytest.raises(ValueError, match=r"--data.batch_size=8"):
        Loader(Rows(rows), batch_size, shuffle=True, world_size=world_size)


def test_neighbouring_keys_give_unrelated_seeds():
    seeds = {keyed_seed(a, b) for a in range(30) for b in range(30)}
    assert len(seeds) == 900
    low_bits = {seed % 2**32 for seed in seeds}  # all that torch's generator takes
    assert len(low_bits) == 900
