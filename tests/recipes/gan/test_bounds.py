"""What bounds an evaluation: fewer numbers and examples; and its bars."""

from types import SimpleNamespace

import pytest
import torch
from rich.progress import Progress

from datamodules import Digits
from recipes.parts.evaluation import ImageQuality, distances
from recipes.parts.evaluation.bars import below, silent
from recipes.parts.evaluation.distances import kernel_distance
from recipes.parts.evaluation.extractor import Extractor
from recipes.parts.evaluation.images import quality
from recipes.parts.evaluation.neighbours import ROWS
from recipes.parts.evaluation.projection import MOST, Projection, random_projection


def features(seed, count):
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))


def photographs(count, seed, brightness=0.0):
    draw = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 8, 8, generator=draw) + brightness
    return torch.nn.functional.interpolate(small, scale_factor=8).flatten(1)


def test_projections_keep_distances_and_mean_squares():
    features = photographs(40, 0)
    found = features @ random_projection(features.shape[1])
    assert found.shape == (40, 256)
    before, after = (torch.pdist(each).square() / each.shape[1] for each in (features, found))
    ratio = after / before
    assert abs(ratio.mean() - 1) < 0.05 and ratio.std() == pytest.approx((2 / 256) ** 0.5, rel=0.4)
    assert found.square().mean() == pytest.approx(float(features.square().mean()), rel=0.15)


def test_kid_of_projections_is_near_that_of_the_pixels():
    real, fake = photographs(60, 1), photographs(60, 2, brightness=0.3)
    matrix = random_projection(real.shape[1])
    projected = kernel_distance(real @ matrix, fake @ matrix)
    assert projected.item() == pytest.approx(kernel_distance(real, fake).item(), rel=0.3)


def test_a_projection_is_always_the_same_and_draws_from_no_other_generator():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one = random_projection(3000)
    assert torch.rand(1) == expected and torch.equal(one, random_projection(3000))


@pytest.mark.parametrize(("width", "found"), [(MOST, MOST), (MOST + 1, 256)])
def test_only_what_is_wider_is_projected(width, found):
    features = torch.rand(4, width)
    projection = Projection()
    assert projection(features).shape == (4, found)
    assert (projection(features) is features) == (width == found) == (not projection.fact)
    assert not projection.state_dict()


def test_features_of_a_classifier_are_projected_too():
    extractor = Extractor()
    extractor.features, extractor.head = torch.nn.Flatten(), torch.nn.Flatten()
    features, logits = extractor(torch.rand(2, 3, 32, 32))
    assert features.shape == (2, 256) and logits.shape == (2, 3072)
    assert extractor.facts["projection"].startswith("3,072 features are compared by 256 random")


def judge(count, **options):
    data = Digits(batch_size=64)
    data.setup("fit")
    real = torch.cat([batch[0] / 16 for batch in data.val_dataloader()])[:count]
    metric = ImageQuality(**options)
    metric.prepare(data, "val")
    for part in real.split(50):
        metric.update(1 - part, part, torch.zeros(len(part)))
    return metric.compute()


def test_no_more_examples_are_compared_than_is_said():
    whole, first = judge(120), judge(300, examples=120)
    assert whole == first != judge(300)


def test_each_part_has_a_bar_which_goes_when_it_is_done(monkeypatch):
    monkeypatch.setattr(distances, "SIZE", 50)
    seen = []

    class Watched(Progress):
        def refresh(self):
            seen.extend((task.description, task.completed, task.total) for task in self.tasks)

    bars = Watched(auto_refresh=False, disable=True)
    trainer = SimpleNamespace(progress_bar_callback=SimpleNamespace(progress=bars))
    found = quality(features(1, ROWS + 2), features(2, ROWS + 2), below(trainer))
    assert found == quality(features(1, ROWS + 2), features(2, ROWS + 2))
    for name, total, times in (("KID", 100, 1), ("FID", 1, 1), ("neighbours", 2, 3)):
        counts = [count for what, count, of in seen if (what, of) == (f"[white]{name}", total)]
        assert counts == [*range(total + 1)] * times
    assert bars.tasks == []


@pytest.mark.parametrize("bar", [None, SimpleNamespace(progress=None), SimpleNamespace()])
def test_without_bars_of_rich_there_is_none(bar):
    assert below(SimpleNamespace(progress_bar_callback=bar)) is silent
