"""Flips, shifts and crops beside their definitions, pixel by pixel."""

import math

import pytest
import torch
from torch.nn import functional as F

from datamodules.augmentation import Flip, RandomResizedCrop, Shift
from datamodules.loading.keyed import uniforms


def pictures(count, channels=3, height=5, width=6):
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, height, width)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)


def drawn(augmentation, count=400):
    return uniforms(torch.arange(count), augmentation.draws, 1)


@pytest.mark.parametrize(("horizontal", "vertical"), [(0.5, 0.0), (0.25, 0.75), (1.0, 1.0)])
def test_a_flip_mirrors_so_many_pictures(horizontal, vertical):
    flip, images = Flip(horizontal, vertical), pictures(400)
    random = drawn(flip)
    found = flip(images, random)
    counts = [0, 0]
    for image, changed, numbers in zip(images, found, random.tolist(), strict=True):
        if numbers[0] < horizontal:
            image, counts[0] = image[:, :, range(5, -1, -1)], counts[0] + 1
        if numbers[1] < vertical:
            image, counts[1] = image[:, range(4, -1, -1)], counts[1] + 1
        assert torch.equal(changed, image)
    assert counts == pytest.approx([400 * horizontal, 400 * vertical], abs=35)


def test_a_shift_moves_by_whole_pixels_and_fills_with_black():
    shift, images = Shift(2), pictures(400)
    random = drawn(shift)
    found, seen = shift(images, random), set()
    for image, changed, numbers in zip(images, found, random.tolist(), strict=True):
        down, right = (int(5 * number) - 2 for number in numbers)
        seen.add((down, right))
        expected = torch.zeros_like(image)
        for y in range(5):
            for x in range(6):
                if 0 <= y + down < 5 and 0 <= x + right < 6:
                    expected[:, y, x] = image[:, y + down, x + right]
        assert torch.equal(changed, expected)
    assert len(seen) == 25, "all of them occur"


def test_a_crop_of_whole_pixels_is_what_torch_makes_of_it(monkeypatch):
    """Cut out, then resized: what lies around the rectangle is not seen."""
    images = pictures(6, height=8, width=12)
    boxes = [(0, 0, 12, 8), (3, 2, 5, 4), (11, 7, 1, 1), (0, 0, 6, 8), (2, 1, 9, 7), (5, 0, 2, 3)]
    edges = torch.tensor(boxes, dtype=torch.float32).unbind(1)
    crop = RandomResizedCrop()
    monkeypatch.setattr(crop, "rectangles", lambda *args: edges)
    found = crop(images, drawn(crop, 6))
    for image, changed, (left, upper, wide, high) in zip(images, found, boxes, strict=True):
        part = image[None, :, upper : upper + high, left : left + wide].float()
        expected = F.interpolate(part, size=(8, 12), mode="bilinear", align_corners=False)
        assert (changed - expected[0]).abs().max() <= 0.51
    assert torch.equal(found[0], images[0]), "the whole picture stays as it is"


@pytest.mark.parametrize(("smallest", "stretch"), [(0.08, 4 / 3), (0.5, 1.0), (0.2, 2.0)])
def test_rectangles_have_the_areas_and_sides_that_were_asked_for(smallest, stretch):
    crop = RandomResizedCrop(smallest, stretch)
    left, upper, wide, high = crop.rectangles(drawn(crop, 20_000), 30, 40)
    assert (left >= 0).all() and (left + wide <= 40 + 1e-4).all()
    assert (upper >= 0).all() and (upper + high <= 30 + 1e-4).all()
    area = wide * high / 1200
    assert area.max() <= 1 + 1e-5
    inside = (wide < 40) & (high < 30)
    assert area[inside].min() >= smallest - 1e-5
    ratio = (wide / high).log()[inside]
    assert ratio.abs().max() <= math.log(stretch) + 1e-5
    if stretch > 1:
        assert ratio.abs().max() > 0.95 * math.log(stretch)
        small = ((wide / high).log())[area < 0.3]  # none of which is cut off
        assert small.mean().abs() < 0.05 * math.log(stretch), "wide as often as high"
    assert left.mean() == pytest.approx((40 - wide).mean().item() / 2, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [((0.0,), "smallest=0.0: a share"), ((1.5,), "smallest=1.5"), ((0.5, 0.9), "stretch=0.9: a")],
)
def test_impossible_rectangles_are_refused(arguments, line):
    with pytest.raises(ValueError, match=line):
        RandomResizedCrop(*arguments)
