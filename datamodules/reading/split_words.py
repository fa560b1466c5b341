"""Words in names of files and folders by which splits are told, as `datasets` does."""

import re

WORDS = {
    "test": ("test", "testing", "eval", "evaluation"),
    "validation": ("validation", "valid", "dev", "val"),
    "train": ("train", "training"),
}


def split_of(name: str) -> str:
    """The split that a file is of, by a word in its name or a folder's; without one, `train`."""
    words = re.split(r"[-._ 0-9/]+", name.lower())
    return next((split for split in WORDS if not set(words).isdisjoint(WORDS[split])), "train")


def split_named(name: str) -> str | None:
    """The split whose whole name this is, if it is one's."""
    return next((split for split in WORDS if name.lower() in WORDS[split]), None)
