"""Texts as numbers: characters, bytes or words, and back."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

Kind = Literal["characters", "bytes", "words"]
KINDS: tuple[str, ...] = get_args(Kind)
UNKNOWN, END_OF_LINE = "<unk>", "<eos>"
PADDING = 0  # the token that stands where a row is shorter than its batch


def tokens(text: str, kind: Kind) -> np.ndarray:
    """A text cut into its tokens, (tokens,).

    Args:
        text: any
        kind: characters: code points, uint32; bytes: of UTF-8, uint8; words: what whitespace
            separates, and `<eos>` at the end of each line
    """
    if kind == "bytes":
        return np.frombuffer(text.encode(), np.uint8)
    if kind == "characters":
        return np.frombuffer(text.encode("utf-32-le"), "<u4")
    lines = text.removesuffix("\n").split("\n")
    return np.array([word for line in lines for word in [*line.split(), END_OF_LINE]], object)


def swap(tokens: Tensor, padding: int) -> Tensor:
    """Tokens with `PADDING` and another number for padding changed for each other; its own inverse.

    Args:
        tokens: of any shape
        padding: what a pretrained network has for it
    """
    if padding == PADDING:
        return tokens
    others = torch.where(tokens == padding, PADDING, tokens)
    return torch.where(tokens == PADDING, padding, others)


class Tokens(ABC):
    """What a language model reads and writes, each token by its number.

    Attributes:
        kind: of the tokens
    """

    kind: str

    @abstractmethod
    def __len__(self) -> int:
        """How many different tokens there are."""

    @abstractmethod
    def encode(self, text: str) -> Tensor:
        """The numbers of a text's tokens, (tokens,) int32.

        Raises:
            ValueError: if there is one that is not known
        """

    @abstractmethod
    def decode(self, numbers: Tensor) -> str:
        """The text of tokens, (tokens,)."""

    @abstractmethod
    def start(self) -> str:
        """What a text begins with of which nothing else is said: the start of a line, if any."""

    @abstractmethod
    def plain(self) -> dict[str, Any]:
        """All of it as plain values, for a checkpoint."""

    def prompt(self, text: str | None, option: str) -> Tensor:
        """The numbers of what a text is to begin with, (tokens,) int64.

        Args:
            text: None: `start`
            option: that it was given by, for the message

        Raises:
            ValueError: if it has no token, or one that is not known
        """
        try:
            found = self.encode(self.start() if text is None else text).long()
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from error
        if not len(found):
            raise ValueError(f"{option} is empty: give at least one token")
        return found


@dataclass(frozen=True)
class Vocabulary(Tokens):
    """Characters, bytes, or the words of a text.

    Args:
        kind: of the tokens
        symbols: the tokens in the order of their numbers; of bytes none, as they are numbers

    Raises:
        ValueError: from `encode`
    """

    kind: Kind
    symbols: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, kind: Kind, train: np.ndarray, others: Sequence[np.ndarray], words: int | None = None
    ) -> "Vocabulary":
        """The vocabulary of a text.

        Args:
            kind: of the tokens
            train: the tokens for training, whose most frequent words it has
            others: those for validation and testing, of which it has the characters too
            words: how many it has, with `<unk>` for all others; by default all
        """
        if kind == "bytes":
            return cls(kind)
        if kind == "characters":
            return cls(kind, tuple(map(chr, np.unique(np.concatenate([train, *others])))))
        counts = Counter(train.tolist())
        counts.setdefault(UNKNOWN, 0)
        # By frequency, then by alphabet; `<unk>` has a place however rare it is.
        by_count = sorted(counts, key=lambda word: (word != UNKNOWN, -counts[word], word))
        return cls(kind, tuple(by_count[:words]))

    def __len__(self) -> int:
        return len(self.symbols) or 256

    @cached_property
    def number(self) -> dict[str, int]:
        """The number of each symbol."""
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def numbers(self, pieces: np.ndarray) -> Tensor:
        """The numbers of tokens, (tokens,) int32.

        Raises:
            ValueError: with the first character that is not known
        """
        if self.kind == "bytes":
            return torch.from_numpy(pieces.astype(np.int32))
        if self.kind == "words":
            unknown = self.number[UNKNOWN]
            found = [self.number.get(word, unknown) for word in pieces]
            return torch.tensor(found, dtype=torch.int32)
        known = np.array([ord(symbol) for symbol in self.symbols], np.uint32)  # ascending
        places = known.searchsorted(pieces).clip(max=len(known) - 1)
        if len(strange := pieces[known[places] != pieces]):
            raise ValueError(f"{chr(strange[0])!r} is no character of the training text")
        return torch.from_numpy(places.astype(np.int32))

    def encode(self, text: str) -> Tensor:
        """As `Tokens.encode`; of words, a last line that does not end has no `<eos>`."""
        pieces = tokens(text, self.kind)
        is_open = self.kind == "words" and not text.endswith("\n")
        return self.numbers(pieces[:-1] if is_open else pieces)

    def decode(self, numbers: Tensor) -> str:
        """As `Tokens.decode`; bytes that are no UTF-8 become the replacement character."""
        if self.kind == "bytes":
            return bytes(numbers.tolist()).decode(errors="replace")
        found = [self.symbols[number] for number in numbers.tolist()]
        if self.kind == "characters":
            return "".join(found)
        return re.sub(f" ?{END_OF_LINE} ?", "\n", " ".join(found))

    def start(self) -> str:
        has_lines = self.kind != "characters" or "\n" in self.number
        return "\n" if has_lines else self.symbols[0]

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, "symbols": list(self.symbols)}
