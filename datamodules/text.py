"""One's own text: a file, or a folder of files."""

import os
from pathlib import Path

from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt

from datamodules.reading.split_words import split_of
from datamodules.reading.text_files import read_text, text_files
from datamodules.text_data import Order, TextData

PARTS = {"train": "train", "validation": "val", "test": "test"}


class Text(TextData):
    """Any text in UTF-8: a file, plain or compressed by gzip, or all files in a folder.

    The files of a folder are one text, in the order of their names; a word in a name, such as
    `valid.txt` or `test/1.txt`, makes it one for validation or testing. What has no such files is
    cut from the end of the text for training.

    Args:
        path: of the file or folder
        tokens: what the text is cut into: characters; bytes; words: what whitespace separates, and
            `<eos>` at the end of each line; or the path of a file of the `tokenizers` library, such
            as tokenizer.json, which needs `pip install -e '.[tokenizers]'`
        words: of words, how many are kept, the most frequent; the others are `<unk>`; by default
            all
        length: tokens in a row of a batch; the last batch of an epoch may have shorter rows
        order: streams: each row of a batch goes on where the same row of the batch before ended;
            blocks: rows come from anywhere, in a new order every epoch
        batch_size: rows per batch, on each process
        val_size: share of the text for validation, or a number of tokens; 0: no validation
        test_size: the same for testing, from the text's end
        seed: of the order of blocks
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        tokens: str = "characters",
        words: PositiveInt | None = None,
        length: PositiveInt = 64,
        order: Order = "streams",
        batch_size: PositiveInt = 32,
        val_size: NonNegativeFloat = 0.1,
        test_size: NonNegativeFloat = 0.1,
        seed: NonNegativeInt = 0,
    ) -> None:
        path = str(Path(path).expanduser())  # a plain value, as checkpoints hold them
        super().__init__(tokens, words, length, order, batch_size, val_size, test_size, seed)
        self.path = Path(path)

    def read(self) -> dict[str, str]:
        texts: dict[str, list[str]] = {"train": []}
        for file in text_files(self.path, "--data.path"):
            name = str(file.relative_to(self.path)) if self.path.is_dir() else ""
            texts.setdefault(PARTS[split_of(name)], []).append(read_text(file))
        if not any(texts["train"]):
            raise ValueError(f"--data.path={self.path}: no text to train on")
        return {split: joined(found) for split, found in texts.items()}


def joined(texts: list[str]) -> str:
    """The texts of several files as one: a word that ends one is not one with the next's first."""
    *others, last = texts
    ended = [text if text[-1:].isspace() or not text else f"{text}\n" for text in others]
    return "".join([*ended, last])
