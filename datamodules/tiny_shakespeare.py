"""Shakespeare's plays in one file of a megabyte: a real text without a download."""

from pathlib import Path

from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt

from datamodules.reading.text_files import read_text
from datamodules.text_data import Order, TextData

FILE = Path(__file__).with_name("tinyshakespeare.txt.gz")


class TinyShakespeare(TextData):
    """1,115,394 characters of Shakespeare's plays, 65 different ones; in the public domain.

    Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks" (2015),
    https://github.com/karpathy/char-rnn. By default the split of nanoGPT: the last tenth is for
    validation, and there is no text for testing.

    Args:
        tokens: what the text is cut into: characters, bytes or words, or the path of a file of the
            `tokenizers` library, such as tokenizer.json
        words: of words, how many are kept, the most frequent; the others are `<unk>`; by default
            all
        length: tokens in a row of a batch; the last batch of an epoch may have shorter rows
        order: streams: each row of a batch goes on where the same row of the batch before ended;
            blocks: rows come from anywhere, in a new order every epoch
        batch_size: rows per batch, on each process
        val_size: share of the text for validation, or a number of tokens
        test_size: the same for testing, from the text's end
        seed: of the order of blocks
    """

    def __init__(
        self,
        tokens: str = "characters",
        words: PositiveInt | None = None,
        length: PositiveInt = 64,
        order: Order = "streams",
        batch_size: PositiveInt = 32,
        val_size: NonNegativeFloat = 111_540,
        test_size: NonNegativeFloat = 0,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(tokens, words, length, order, batch_size, val_size, test_size, seed)

    def read(self) -> dict[str, str]:
        return {"train": read_text(FILE)}
