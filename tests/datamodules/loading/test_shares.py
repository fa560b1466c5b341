"""Rows held out with the same share of each class."""

import pytest
import torch

from datamodules.loading.shares import hold_out_of_each


@pytest.mark.parametrize("share", [0.25, 0.5, 7])
def test_each_class_gives_its_share_rounded(share):
    sizes = torch.tensor([1, 3, 4, 12, 80])
    labels = torch.repeat_interleave(torch.tensor([3, -1, 0, 7, 2]), sizes)
    labels = labels[torch.randperm(100, generator=torch.Generator().manual_seed(0))]
    rest, held = hold_out_of_each(torch.arange(100), labels, share, "--data.val_size", 5)
    assert torch.equal(torch.cat([rest, held]).sort().values, torch.arange(100))
    assert len(held) == (share if share > 1 else 100 * share)
    counts = torch.stack([(labels[held] == name).sum() for name in (3, -1, 0, 7, 2)])
    exact = sizes * len(held) / 100
    assert (counts - exact).abs().max() <= 0.5 + 1e-6
    assert not torch.equal(held, hold_out_of_each(torch.arange(100), labels, share, "", 6)[1])
