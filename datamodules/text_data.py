"""What datamodules of a text share: splits, vocabulary, and batches of tokens."""

import hashlib
from abc import ABC, abstractmethod
from typing import Any, Literal, TypeVar

import numpy as np
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.loading.data_module import DataModule
from datamodules.loading.loader import Loader, data_rank, place
from datamodules.loading.splits import held_rows
from datamodules.loading.text_streams import Blocks, Streams
from datamodules.reading.tokenizer_file import TokenizerFile
from datamodules.reading.vocabulary import KINDS, UNKNOWN, Tokens, Vocabulary, tokens

MANY = 0.01  # share of unknown words from which on a line tells of them
Order = Literal["streams", "blocks"]
Parts = TypeVar("Parts", np.ndarray, Tensor)  # tokens, or their numbers, of a split
# Tokens, their numbers in each split, and whether these give the text back.
Numbered = tuple[Tokens, dict[str, Tensor], bool]


class TextData(DataModule, ABC):
    """A text in memory, as one tensor of token numbers for each split.

    Batches are (inputs, targets), int64, (batch_size, length) each: the target of a token is the
    one that follows it. A subclass says where the text comes from (`read`).

    Args:
        tokens: what the text is cut into: characters, bytes or words, or the path of a file of the
            `tokenizers` library, such as tokenizer.json
        words: of words, how many are kept, the most frequent; the others are `<unk>`; by default
            all
        length: tokens in a row of a batch; the last batch of an epoch may have shorter rows
        order: streams: each row of a batch goes on where the same row of the batch before ended;
            blocks: rows come from anywhere, in a new order every epoch
        batch_size: rows per batch, on each process
        val_size: share of the text for validation, or a number of tokens, from its end, where it
            has no split of its own
        test_size: the same for testing, behind that
        seed: of the order of blocks
    """

    vocabulary: Tokens

    def __init__(
        self,
        tokens: str = "characters",
        words: PositiveInt | None = None,
        length: PositiveInt = 64,
        order: Order = "streams",
        batch_size: PositiveInt = 32,
        val_size: NonNegativeFloat = 0.1,
        test_size: NonNegativeFloat = 0.1,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        if tokens not in KINDS and not tokens.endswith(".json"):
            known = ", ".join(KINDS)
            raise ValueError(f"--data.tokens={tokens}: {known}, or a file, tokenizer.json")
        if words is not None and tokens != "words":
            raise ValueError(f"--data.words={words}: tokens are {tokens}, not words")
        self.kind, self.words, self.length, self.order = tokens, words, length, order
        self.batch_size, self.seed = batch_size, seed
        self.val_size, self.test_size = val_size, test_size
        self.input_shape = (length,)
        self.ids: dict[str, Tensor] = {}  # of each split, (tokens,) int32
        self.characters: dict[str, int] = {}  # of each split, if tokens give all of them back

    @abstractmethod
    def read(self) -> dict[str, str]:
        """The text for training, `train`; where they are apart, those for `val` and `test` too."""

    def setup(self, stage: str) -> None:
        if self.ids:
            return
        number = self._by_symbols if self.kind in KINDS else self._by_file
        self.vocabulary, self.ids, is_exact = number(self.read())
        if is_exact:
            held = {split: ids for split, ids in self.ids.items() if split != "train"}
            self.characters = {s: len(self.vocabulary.decode(ids)) for s, ids in held.items()}

    def _by_symbols(self, texts: dict[str, str]) -> Numbered:
        """Characters, bytes or words, of which the text decides the numbers."""
        parts = self._held_out({split: tokens(text, self.kind) for split, text in texts.items()})
        others = [part for split, part in parts.items() if split != "train"]
        known = Vocabulary.of(self.kind, parts["train"], others, self.words)
        ids = {split: known.numbers(part) for split, part in parts.items()}
        if self.kind == "words":
            self._note_unknown(known, ids)
        return known, ids, self.kind != "words"

    def _note_unknown(self, known: Vocabulary, ids: dict[str, Tensor]) -> None:
        """Says that what is not known matters in evaluation, and is never seen in training."""
        number = known.number[UNKNOWN]
        shares = {split: (part == number).float().mean().item() for split, part in ids.items()}
        held = max((share for split, share in shares.items() if split != "train"), default=0.0)
        if not shares["train"] and held >= MANY:
            fewer = len(known.symbols) // 2
            said = f"{held:.1%} of the words held out are {UNKNOWN}, which training never meets"
            rank_zero_info(f"note: {said}: --data.words={fewer} would keep fewer words")

    def _by_file(self, texts: dict[str, str]) -> Numbered:
        """Tokens of a file, which has their numbers."""
        known = TokenizerFile.read(self.kind, "--data.tokens")
        whole = {split: known.encode(text) for split, text in texts.items()}
        is_exact = all(known.decode(ids) == texts[split] for split, ids in whole.items())
        return known, self._held_out(whole), is_exact

    def _held_out(self, parts: dict[str, Parts]) -> dict[str, Parts]:
        """The splits, of which those that are not there are cut from the end of the text."""
        train, count, held = parts["train"], len(parts["train"]), {}
        for split, size in {"test": self.test_size, "val": self.val_size}.items():
            size = held_rows(count, size, f"--data.{split}_size", "tokens")
            if split not in parts and size:
                train, held[split] = train[:-size], train[-size:]
        found = parts | held | {"train": train}
        for split, part in found.items():
            if len(part) < 2:
                raise ValueError(f"--data={type(self).__name__}: no text for {split}")
        return found

    def _loader(self, split: str, is_shuffled: bool = False) -> Loader:
        rank, world_size = data_rank(self.trainer)
        if is_shuffled:
            table = Blocks(self.ids[split], self.length, self.seed)
        else:
            table = Streams(self.ids[split], self.batch_size * world_size, self.length)
        place(table, self.trainer)
        options = {"seed": self.seed, "rank": rank, "world_size": world_size}
        return Loader(table, self.batch_size, shuffle=is_shuffled, **options)

    def state_dict(self) -> dict[str, Any]:
        content = hashlib.sha256(self.ids["train"].numpy().tobytes())
        return {"trained": content.hexdigest()[:16]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Compares the text that a fit goes on with.

        Raises:
            ValueError: if it is another one than before: the states of its streams would be of this
        """
        if self.goes_on and state != self.state_dict():
            raise ValueError(
                f"--data={type(self).__name__} has another text than the run was trained on: train "
                "anew without --ckpt_path"
            )

    def train_dataloader(self) -> Loader:
        # Lightning can turn shuffling off only in loaders of its own kind.
        stays = self.trainer and self.trainer.overfit_batches
        return self._loader("train", self.order == "blocks" and not stays)

    def val_dataloader(self) -> Loader | list[Loader]:
        return self._loader("val") if "val" in self.ids else []

    def test_dataloader(self) -> Loader:
        if "test" not in self.ids:
            raise ValueError("--data.test_size=0: there is no text to test on")
        return self._loader("test")
