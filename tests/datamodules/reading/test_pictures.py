"""Pictures of any size and mode as squares of pixels."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from datamodules.reading.pictures import Pictures, Unreadable


def encoded(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def random(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (9, 12), (12, 9), (40, 64), (3, 5)])
def test_the_largest_square_in_the_centre_is_resized_with_antialiasing(height, width):
    """Beside torch's own antialiased resizing of the same square; Pillow rounds twice."""
    pixels = random((height, width, 3))
    found = Pictures(4, "RGB").read(encoded(Image.fromarray(pixels)))
    side = min(height, width)
    up, left = (height - side) // 2, (width - side) // 2
    square = torch.from_numpy(pixels[up:, left:][:side, :side]).permute(2, 0, 1)
    expected = F.interpolate(square[None].float(), size=(4, 4), mode="bilinear", antialias=True)
    torch.testing.assert_close(torch.from_numpy(found)[None].float(), expected, atol=1.1, rtol=0)


def test_a_picture_of_the_right_size_keeps_its_pixels():
    pixels = random((6, 6, 3))
    found = Pictures(6, "RGB").read(encoded(Image.fromarray(pixels)))
    assert (found == pixels.transpose(2, 0, 1)).all() and found.dtype == np.uint8
    grey = Pictures(6, "L").read(encoded(Image.fromarray(pixels)))
    assert (grey == np.asarray(Image.fromarray(pixels).convert("L"))[None]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize(("background", "value"), [("white", 255), ("#204060", None)])
def test_transparency_shows_the_background(mode, background, value):
    """Half of it is: pixels are mixed with the background, as alpha says."""
    image = Image.new("RGBA", (2, 1), (100, 100, 100, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    if mode == "P":
        image = image.convert("P")
        assert image.mode == "P"
    content = encoded(image.convert(mode) if mode != "P" else image)
    found = Pictures(None, "RGB", background=background).read(content)
    behind = (255, 255, 255) if value else (0x20, 0x40, 0x60)
    assert tuple(found[:, 0, 0]) == behind
    assert tuple(found[:, 0, 1]) == (100, 100, 100)
    half = Image.new("RGBA", (1, 1), (100, 100, 100, 51))  # a fifth
    found = Pictures(None, "RGB", background=background).read(encoded(half))
    expected = [round(0.2 * 100 + 0.8 * part) for part in behind]
    assert np.abs(found[:, 0, 0].astype(int) - expected).max() <= 1


def test_pillow_itself_drops_what_is_transparent():
    """The negative control: what was never to be seen appears."""
    image = Image.new("RGBA", (1, 1), (9, 8, 7, 0))
    assert image.convert("RGB").getpixel((0, 0)) == (9, 8, 7)


def test_a_palette_is_looked_up():
    image = Image.fromarray(random((5, 5, 3))).quantize(7)
    found = Pictures(None, "RGB").read(encoded(image, "GIF"))
    assert (found.transpose(1, 2, 0) == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_divided_by_257(kind):
    values = np.arange(0, 65536, 13, dtype=np.uint16)[None]
    found = Pictures(None, "L").read(encoded(Image.fromarray(values), kind))[0]
    assert np.abs(found - values / 257).max() <= 0.5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_photographs_are_turned_upright(kind, orientation, mode):
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    image = Image.fromarray(pixels).convert(mode)
    exif = image.getexif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    found = Pictures(None, "L").read(encoded(image, kind, exif=exif, **options))[0]
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).T,
        8: np.rot90(pixels),
    }[orientation]
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() <= (3 if kind == "JPEG" else 0)


def test_an_upright_picture_of_16_bits_stays_of_16_bits():
    values = np.array([[0, 257, 514], [65535, 257 * 9, 257 * 8]], dtype=np.uint16)
    image = Image.fromarray(values)
    exif = image.getexif()
    exif[0x0112] = 3
    found = Pictures(None, "L").read(encoded(image, exif=exif))[0]
    assert found.tolist() == [[8, 9, 255], [2, 1, 0]]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "mode F, .* white is not"),
        (encoded(Image.fromarray(np.ones((2, 2), np.int32)), "TIFF"), "mode I, .* white is not"),
        (b"", "an image is damaged: .*no picture"),
        (b"words", "an image is damaged: .*no picture"),
        (encoded(Image.fromarray(random((40, 40, 3))))[:900], "an image is damaged: "),
        (encoded(Image.fromarray(random((40, 40, 3))), "JPEG")[:900], "an image is damaged: "),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(content, line):
    with pytest.raises(Unreadable, match=line) as error:
        Pictures(8, "RGB").read(content)
    assert " at 0x" not in str(error.value) and "\n" not in str(error.value)


def test_a_large_jpeg_is_decoded_at_a_half_and_hardly_differs():
    """Pillow's `thumbnail` does the same; a smooth picture, as photographs are."""
    x, y = np.meshgrid(np.linspace(0, 6, 400), np.linspace(0, 6, 400))
    image = Image.fromarray((127 + 120 * np.sin(x) * np.cos(y)).astype(np.uint8)).convert("RGB")
    content = encoded(image, "JPEG", quality=95)
    found = Pictures(16, "RGB").read(content).astype(int)
    whole = ImageOps.fit(Image.open(io.BytesIO(content)), (16, 16), Image.Resampling.BILINEAR)
    assert np.abs(found - np.asarray(whole).transpose(2, 0, 1)).max() <= 4


def test_an_unknown_colour_is_refused():
    with pytest.raises(ValueError, match=r"--data.background=whit: no colour, such as white"):
        Pictures(8, "RGB", background="whit")
