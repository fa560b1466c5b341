"""MixUp and CutMix: shares of pictures and of targets, and where nothing is known."""

import pytest
import torch
from scipy import stats

from datamodules.augmentation import CutMix, MixUp
from datamodules.augmentation.mixing import Mixed, beta
from datamodules.loading.keyed import uniforms
from datamodules.loading.missing import MISSING
from datamodules.loading.pictures import PictureTable


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_weights_are_from_the_beta_distribution(alpha):
    values = beta(uniforms(torch.arange(5000), 1, 0)[:, 0], alpha)
    assert stats.kstest(values.double().numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_mixup_is_a_weighted_mean():
    images, others = torch.full((500, 3, 2, 2), 200).byte(), torch.full((500, 3, 2, 2), 100).byte()
    mix = MixUp(1.0, 0.7)
    mixed, own = mix(images, others, uniforms(torch.arange(500), mix.draws, 0))
    expected = 100 + 100 * own.view(-1, 1, 1, 1)
    assert (mixed - expected).abs().max() <= 0.501
    assert (own == 1).float().mean() == pytest.approx(0.3, abs=0.06)
    assert 0.45 < own[own < 1].mean() < 0.55


def test_cutmix_cuts_a_rectangle_whose_area_is_the_others_share():
    images, others = torch.zeros(2000, 1, 8, 10).byte(), torch.ones(2000, 1, 8, 10).byte()
    mix = CutMix(1.0)
    mixed, own = mix(images, others, uniforms(torch.arange(2000), mix.draws, 0))
    torch.testing.assert_close(1 - own, mixed.float().mean((1, 2, 3)))
    for picture in mixed[:200, 0]:
        rows, columns = picture.amax(1), picture.amax(0)
        assert torch.equal(picture, rows[:, None] * columns), "a rectangle"
        for line in (rows, columns):
            assert (line.int().diff() == 1).sum() <= 1 and (line.int().diff() == -1).sum() <= 1
    assert mixed.float().mean((0, 1)).min() > 0.1, "everywhere in the picture"
    same, own = CutMix(1.0, 0.0)(images, others, torch.rand(2000, mix.draws))
    assert torch.equal(same, images) and (own == 1).all()


def table(count=50, known=True):
    images = torch.arange(count).byte().view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()
    labels = torch.arange(count) % 5
    if not known:
        labels[::3] = MISSING
    return PictureTable(images, labels)


def test_targets_are_the_shares_of_both_classes():
    """Of pictures whose values say which they are: own a + (1 - own) b."""
    whole = Mixed(table(), MixUp(1.0), 5, seed=3)
    images, targets = whole.gather(torch.arange(50), 2)
    assert targets.shape == (50, 5) and targets.dtype == torch.float32
    torch.testing.assert_close(targets.sum(1), torch.ones(50))
    assert ((targets > 0).sum(1) <= 2).all() and (targets >= 0).all()
    partners = (uniforms(torch.arange(50), 3, 3, 2, 1)[:, 0] * 50).long()
    assert len(partners.unique()) > 20
    for row, other in enumerate(partners.tolist()):
        if row % 5 == other % 5:
            assert targets[row, row % 5] == pytest.approx(1)
            continue
        own = targets[row, row % 5].item()
        assert targets[row, other % 5] == pytest.approx(1 - own)
        assert images[row, 0, 0, 0] == pytest.approx(own * row + (1 - own) * other, abs=0.51)


def test_what_is_mixed_with_an_unknown_label_is_unknown():
    half = table(known=False)
    _, targets = Mixed(half, CutMix(), 5, seed=3).gather(torch.arange(50), 0)
    missing = half.labels == MISSING
    partners = (uniforms(torch.arange(50), 5, 3, 0, 1)[:, 0] * 50).long()
    unknown = missing | missing[partners]
    assert torch.equal(targets.isnan().all(1), unknown) and unknown.sum() > missing.sum()
    assert torch.equal(targets.isnan().any(1), unknown)
