"""Random numbers of rows: where they are from, and how even they are."""

import torch

from datamodules.loading.keyed import scrambled, uniforms
from datamodules.loading.loader import keyed_seed


def test_the_finaliser_is_that_of_splitmix64():
    """Of a state of GOLDEN and of twice that: the first two numbers of seed 0."""
    golden = 0x9E3779B97F4A7C15
    states = torch.tensor([golden - 2**64, (2 * golden) % 2**64])
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    assert [value % 2**64 for value in scrambled(states).tolist()] == expected
    assert keyed_seed(0) == 0xE220A8397B1DCDAF


def test_they_belong_to_the_row_and_the_key():
    rows = torch.randperm(1000)
    whole = uniforms(torch.arange(1000), 5, 3, 7)
    assert torch.equal(uniforms(rows, 5, 3, 7), whole[rows])
    assert torch.equal(uniforms(rows[:1], 5, 3, 7), whole[rows[:1]])
    for key in ((3, 8), (4, 7), (7, 3), (3, 7, 0), (3,)):
        assert not torch.isclose(uniforms(torch.arange(1000), 5, *key), whole).any(0).all()
        assert (uniforms(torch.arange(1000), 5, *key) == whole).float().mean() < 0.01


def test_they_are_uniform_and_unrelated():
    values = uniforms(torch.arange(100_000), 4, 0, 0)
    assert values.dtype == torch.float32 and values.min() >= 0 and values.max() < 1
    counts = (values * 20).long().flatten().bincount(minlength=20)
    chi = ((counts - 20_000) ** 2 / 20_000).sum()
    assert chi < 50, "19 on average, 44 at 0.1 %"
    assert (torch.corrcoef(values.T) - torch.eye(4)).abs().max() < 0.015
    for column in values.T:
        pair = torch.stack([column[1:], column[:-1]])
        assert torch.corrcoef(pair)[0, 1].abs() < 0.015, "nor are neighbouring rows"
    epochs = torch.stack([uniforms(torch.arange(100_000), 1, 0, e)[:, 0] for e in range(3)])
    assert (torch.corrcoef(epochs) - torch.eye(3)).abs().max() < 0.015
