"""Tokens of a file of the `tokenizers` library: pieces of words, as pretrained models have them."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from datamodules.reading.vocabulary import PADDING, Tokens, Vocabulary, swap

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EXTRA = "pip install -e '.[tokenizers]'"
PADS = ("[PAD]", "<pad>", "<|padding|>")  # what a token of padding is called, where no more is said


@dataclass(frozen=True)
class TokenizerFile(Tokens):
    """What a `tokenizer.json` cuts a text into, whole and always the same.

    Truncation, padding and dropout of merges, which such a file may ask for, are switched off. The
    tokens that it puts around a text, as [CLS] and [SEP], are those of `sentence` alone.

    Args:
        content: of the file, JSON

    Raises:
        ValueError: from all methods, if the extra is not installed
    """

    content: str
    kind: ClassVar[str] = "tokenizer"

    @classmethod
    def read(cls, path: str, option: str) -> "TokenizerFile":
        """A file as it is.

        Args:
            path: of the file
            option: that it was given by, for messages

        Raises:
            FileNotFoundError: if nothing is there
            ValueError: if it is no tokenizer's, or the extra is not installed
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"{option}={path}: no such file")
        try:
            found = cls(file.read_text("utf-8"))
            len(found)  # which reads it
        except ValueError as error:
            raise ValueError(f"{option}={path}: {error}") from error
        except Exception as error:  # the library's own are of no other class
            raise ValueError(f"{option}={path} is no file of a tokenizer: {error}") from error
        return found

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The library's object."""
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise ValueError(f"the file of a tokenizer needs: {EXTRA}") from error
        settings = json.loads(self.content)
        settings |= {"truncation": None, "padding": None}
        if (settings.get("model") or {}).get("dropout"):
            settings["model"]["dropout"] = None
        return Tokenizer.from_str(json.dumps(settings))

    @cached_property
    def size(self) -> int:
        """One more than the highest number of a token; some below it may be unused."""
        return 1 + max(self.tokenizer.get_vocab().values(), default=0)

    def __len__(self) -> int:
        return self.size

    def encode(self, text: str) -> Tensor:
        found = self.tokenizer.encode(text, add_special_tokens=False)
        return torch.tensor(found.ids, dtype=torch.int32)

    @cached_property
    def padding(self) -> int:
        """The number of the token that stands behind the end of shorter texts.

        Raises:
            ValueError: if there is none
        """
        if said := json.loads(self.content).get("padding"):
            return said["pad_id"]
        found = (self.tokenizer.token_to_id(name) for name in PADS)
        number = next((number for number in found if number is not None), None)
        if number is None:
            raise ValueError("it has no token of padding, [PAD] or <pad>")
        return number

    def has_tokens_of(self, content: str) -> bool:
        """Whether the file of another tokenizer numbers the same tokens.

        Args:
            content: of that file
        """
        return self.tokenizer.get_vocab() == TokenizerFile(content).tokenizer.get_vocab()

    def sentence(self, text: str, longest: int) -> tuple[Tensor, bool]:
        """A text's tokens as a pretrained encoder takes them, and whether some are cut off.

        Those around it stay where it is cut. Padding that is written in the text is left out.

        Args:
            text: any
            longest: tokens, with those around it

        Returns:
            (tokens,) int32, with `padding` and 0 changed for each other (`swap`), so that 0 stands
            for padding in every batch

        Raises:
            ValueError: if `longest` leaves no room for the text
        """
        room = longest - self.tokenizer.num_special_tokens_to_add(is_pair=False)
        if room < 1:
            raise ValueError(f"{longest} tokens have no room for a text between those around it")
        found = self.tokenizer.encode(text, add_special_tokens=False)
        is_cut = len(found) > room
        found.truncate(room)
        whole = torch.tensor(self.tokenizer.post_process(found).ids, dtype=torch.int32)
        numbers = swap(whole, self.padding)
        return numbers[numbers != PADDING], is_cut

    def words(self, tokens: Tensor) -> list[str | None]:
        """The tokens of a `sentence` as text; None for those that stand around every one."""
        around = {*self.tokenizer.encode("").ids}
        numbers = swap(tokens, self.padding).tolist()
        return [None if n in around else self.tokenizer.id_to_token(n) for n in numbers]

    def decode(self, numbers: Tensor) -> str:
        return self.tokenizer.decode(numbers.tolist(), skip_special_tokens=False)

    def start(self) -> str:
        # Some drop the ends of lines; then any token has to do.
        return "\n" if len(self.encode("\n")) else self.decode(torch.tensor([0]))

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, "content": self.content}


def from_plain(values: dict[str, Any]) -> Tokens:
    """What was kept by `Tokens.plain`."""
    if values["kind"] == TokenizerFile.kind:
        return TokenizerFile(values["content"])
    return Vocabulary(values["kind"], tuple(values["symbols"]))
