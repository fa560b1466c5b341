"""Folders of small pictures, of which each one's pixels say which it is."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images


def colour(number):
    """A colour that no other number up to 1,000 has: told by its red and green."""
    return number % 256, number // 256, 200


def plain(path, number, size=(8, 8)):
    """Writes a picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour(number)).save(path)
    return path


def class_folders(root, count=8, names=("ant", "bee", "cow"), start=0):
    """Folders of classes with so many pictures each; a picture's number says its class and place.

    Returns:
        the folder; the class of number n is names[(n - start) // count]
    """
    for label, name in enumerate(names):
        for place in range(count):
            number = start + label * count + place
            plain(Path(root, name, f"{number:03}.png"), number)
    return Path(root)


def numbers(images):
    """Which pictures of `plain` these are: (batch, 3, height, width) uint8."""
    assert (images == images[..., :1, :1]).all(), "each is of one colour"
    return (images[:, 0, 0, 0].long() + 256 * images[:, 1, 0, 0].long()).tolist()


def noise(path, seed=0, size=(12, 9), mode="RGB"):
    """Writes a picture of random pixels, and returns them (height, width, channels)."""
    width, height = size
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode).save(path)
    return pixels


def crops(root, count, sizes=(64, 128), only=None):
    """Writes real pixels: squares of scikit-learn's two photographs, in turn, or of one of them.

    Args:
        root: folder
        count: of pictures
        sizes: their least and largest height, pixels
        only: 0: the temple, 1: the flower
    """
    photographs = load_sample_images().images
    draw = np.random.default_rng(0)
    for number in range(count):
        whole = photographs[number % 2 if only is None else only]
        side = draw.integers(*sizes, endpoint=True)
        top, left = (draw.integers(size - side + 1) for size in whole.shape[:2])
        path = Path(root, f"{number:03}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(whole[top : top + side, left : left + side]).save(path)
    return Path(root)
