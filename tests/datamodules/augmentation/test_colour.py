"""Changes of colours and TrivialAugment's operations beside Pillow's, picture by picture."""

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.nn import functional as F

from datamodules.augmentation import ColorJitter, TrivialAugment, colour, operations
from datamodules.augmentation.trivial import CHOICES, STRENGTHS
from datamodules.loading.keyed import uniforms


def pictures(count, channels=3, size=16, smooth=False):
    generator = torch.Generator().manual_seed(0)
    small = torch.randint(20, 230, (count, channels, 4, 4), generator=generator).float()
    if smooth:
        return F.interpolate(small, size=(size, size), mode="bilinear").byte()
    shape = (count, channels, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def to_pillow(image):
    pixels = image.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels)


def from_pillow(image):
    pixels = np.array(image)
    return torch.from_numpy(pixels if pixels.ndim == 3 else pixels[..., None]).permute(2, 0, 1)


def enhanced(kind):
    return lambda image, factor: kind(image).enhance(factor)


def affine(*entries):
    return lambda image, strength: image.transform(
        image.size, Image.Transform.AFFINE, [e(strength) if callable(e) else e for e in entries]
    )


def by(strength):
    return strength


FACTORS = [0.0, 0.01, 0.5, 1.0, 1.37, 1.99]
SIGNED = [-0.99, -0.3, 0.0, 0.165, 0.99]
PIXELS = [-32.0, -5.3, 0.0, 2.1, 16.0]
# Ours, Pillow's, strengths, how far values may be off, and the share of pixels that may be further.
CASES = {
    "brightness": (colour.brightness, enhanced(ImageEnhance.Brightness), FACTORS, 1, 0),
    "contrast": (colour.contrast, enhanced(ImageEnhance.Contrast), FACTORS, 2, 0),
    "saturation": (colour.saturation, enhanced(ImageEnhance.Color), FACTORS, 2, 0),
    "sharpness": (colour.sharpness, enhanced(ImageEnhance.Sharpness), FACTORS, 2, 0),
    "shear_across": (operations.shear_across, affine(1, by, 0, 0, 1, 0), SIGNED, 0, 0.02),
    "shear_down": (operations.shear_down, affine(1, 0, 0, by, 1, 0), SIGNED, 0, 0.02),
    "move_across": (operations.move_across, affine(1, 0, int, 0, 1, 0), PIXELS, 0, 0),
    "move_down": (operations.move_down, affine(1, 0, 0, 0, 1, int), PIXELS, 0, 0),
    "rotate": (operations.rotate, lambda i, s: i.rotate(s), [-134.9, -41.3, 0.0, 77.7], 0, 0.02),
    "posterize": (
        operations.posterize,
        lambda i, s: ImageOps.posterize(i, 8 - s),
        range(7),
        0,
        0,
    ),
    "solarize": (
        operations.solarize,
        lambda i, s: ImageOps.solarize(i, 255 - s),
        [0, 100, 255],
        0,
        0,
    ),
    "autocontrast": (operations.autocontrast, lambda i, s: ImageOps.autocontrast(i), [0.0], 0, 0),
    "equalize": (operations.equalize, lambda i, s: ImageOps.equalize(i), [0.0], 0, 0),
}


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_an_operation_is_pillows(name, channels, smooth):
    ours, theirs, strengths, off, share = CASES[name]
    images = pictures(4, channels, smooth=smooth)
    images[0] = 7  # of one value
    for strength in strengths:
        found = ours(images, torch.full((4,), float(strength)))
        assert found.dtype == torch.uint8
        expected = torch.stack([from_pillow(theirs(to_pillow(i), strength)) for i in images])
        difference = (found.int() - expected.int()).abs()
        assert (difference > off).float().mean() <= share, strength


def test_each_picture_has_its_own_strength():
    images, strengths = pictures(5), torch.tensor([0.0, 0.2, 0.9, 1.0, 1.7])
    for name, (ours, *_) in CASES.items():
        scale = {"rotate": 50, "posterize": 3, "solarize": 120}.get(name, 1)
        whole = ours(images, strengths * scale)
        for row in range(5):
            one = ours(images[row : row + 1], strengths[row : row + 1] * scale)
            assert torch.equal(whole[row : row + 1], one)


@pytest.mark.parametrize("turn", [0.0, 0.1, -0.25, 0.5, 1.0])
def test_a_turn_of_the_hue_is_that_of_the_colour_circle(turn):
    images = pictures(2, size=6)
    found = colour.hue(images, torch.full((2,), turn))
    for image, changed in zip(images.flatten(2), found.flatten(2), strict=True):
        for pixel, new in zip(image.T.tolist(), changed.T.tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in pixel))
            expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            assert new == pytest.approx([255 * part for part in expected], abs=0.51)
    grey = pictures(2, channels=1)
    assert torch.equal(colour.hue(grey, torch.full((2,), turn)), grey)


def test_jitter_is_within_its_bounds_and_leaves_out_what_is_zero():
    """On even grey, brightness alone changes the value."""
    images = torch.full((2000, 3, 4, 4), 100, dtype=torch.uint8)
    jitter = ColorJitter(0.3, 0.5, 0.5, 0.1)
    values = jitter(images, uniforms(torch.arange(2000), jitter.draws, 0))[:, 0, 0, 0].float()
    assert values.min() == 70 and values.max() == 130 and abs(values.mean() - 100) < 2
    none = ColorJitter(0.0, 0.0, 0.0, 0.0)
    assert torch.equal(none(images, torch.rand(2000, 4)), images)


def test_trivial_augment_chooses_all_changes_and_strengths_alike():
    random = uniforms(torch.arange(14 * 31 * 40), 3, 0)
    images = torch.zeros(len(random), 1, 3, 3, dtype=torch.uint8)
    seen = {}

    def recorded(number):
        def change(images, strength):
            seen[number] = strength
            return images + 1

        return change

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "datamodules.augmentation.trivial.CHOICES",
            [choice._replace(change=recorded(n)) for n, choice in enumerate(CHOICES)],
        )
        assert (TrivialAugment()(images, random) == 1).all(), "each is changed once"
    assert len(CHOICES) == 14 and sorted(seen) == list(range(14))
    for number, choice in enumerate(CHOICES):
        assert len(seen[number]) == pytest.approx(31 * 40, rel=0.12)
        sizes = (seen[number] - choice.plain).abs()
        if choice.largest:
            steps = sizes / choice.largest * (STRENGTHS - 1)
            torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
            counts = steps.round().long().bincount(minlength=STRENGTHS)
            assert counts.min() > 15 and len(counts) == STRENGTHS
        lower = (seen[number] - choice.plain < 0).float().mean()
        assert lower == pytest.approx(0.48 if choice.signed else 0, abs=0.06)
