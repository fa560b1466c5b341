"""Sentences of your own, each with a class."""

import re
from collections import Counter
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.loading.folds import check_fold
from datamodules.loading.in_memory import InMemory
from datamodules.loading.loader import Loader
from datamodules.loading.missing import check_known
from datamodules.loading.padded import BucketLoader, PaddedTable
from datamodules.loading.partition import Partition, Parts, check_ways
from datamodules.loading.pictures import Numbered, class_numbers
from datamodules.loading.splits import Share
from datamodules.reading.classes import Classes
from datamodules.reading.digest import digest
from datamodules.reading.labelled_texts import LabelledTexts, OnError, read_labelled
from datamodules.reading.listing import class_order
from datamodules.reading.tokenizer_file import TokenizerFile, from_plain
from datamodules.reading.vocabulary import UNKNOWN, Vocabulary

PAD = "<pad>"
WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")


class Sentences(InMemory):
    """Texts with a class each: lines of a class and a text, or a CSV, TSV or Parquet file.

    Batches are (tokens (batch, longest), labels (batch,)), int64; token 0 stands behind the end of
    texts that are shorter than the batch's longest. Training batches are of texts of about equal
    lengths, in an order that is a pure function of (seed, epoch).

    Args:
        path: of the file: `.csv`, `.tsv` or `.parquet` with a column of texts and one of classes;
            any other has lines, each a class, a blank, and a text
        text: a table's column of texts
        label: its column of classes
        cut: a text's tokens: words, in lower case, and each sign; or what blanks separate, as it is
        words: how many are kept, the most frequent in the training texts; others are `<unk>`; by
            default all
        min_count: a word that the training texts have less often is `<unk>`, too
        tokens: path of a pretrained network's tokenizer.json, whose tokens a text is cut into, with
            those that it puts around a sentence; `cut`, `words` and `min_count` do not count then
        max_length: of longer texts only so many first tokens are seen
        val_path: a file whose texts are for validation, in place of `val_size`
        test_path: a file whose texts are for testing, in place of `test_size`
        val_size: share of the texts that are not for testing that is for validation
        test_size: share of all texts that is for testing
        split: number of the random split
        stratify: whether each part has each class's share of texts
        folds: parts that all texts are cut into, one of them for testing in place of `test_size`
        fold: number of the part that is for testing
        repeat: number of the random cutting
        predict: a file to predict: lines, each a text; or a table with the column of texts
        on_error: refuse a text that is empty, or skip it and say where it is
        encoding: of a text file; by default UTF-8, or UTF-16 where the file says so
        batch_size: texts per batch, on each process
        seed: of the order
    """

    id = "text"  # what tells texts apart: the column's name in predictions
    input_dtype = torch.int64
    loader = BucketLoader

    def __init__(
        self,
        path: str,
        text: str = "text",
        label: str = "label",
        cut: Literal["words", "blanks"] = "words",
        words: PositiveInt | None = None,
        min_count: PositiveInt = 1,
        tokens: str | None = None,
        max_length: PositiveInt = 256,
        val_path: str | None = None,
        test_path: str | None = None,
        val_size: Share = 0.1,
        test_size: Share = 0.1,
        split: NonNegativeInt = 0,
        stratify: bool = True,
        folds: PositiveInt | None = None,
        fold: NonNegativeInt = 0,
        repeat: NonNegativeInt = 0,
        predict: str | None = None,
        on_error: OnError = "refuse",
        encoding: str | None = None,
        batch_size: PositiveInt = 50,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        check_fold(folds, fold, repeat)
        check_ways(folds, test_path)
        self.path = Path(path).expanduser()
        given = {"val": val_path, "test": test_path}
        self.files = {part: Path(file).expanduser() for part, file in given.items() if file}
        self.predict = Path(predict).expanduser() if predict else None
        self.read = partial(read_labelled, text=text, encoding=encoding, on_error=on_error)
        self.label, self.cut, self.max_length = label, cut, max_length
        self.words, self.min_count, self.tokens_file = words, min_count, tokens
        if tokens is not None and (words is not None or min_count > 1 or cut != "words"):
            raise ValueError(f"--data.tokens={tokens}: cut, words and min_count are of words")
        self.val_size, self.test_size, self.split = val_size, test_size, split
        self.stratify = stratify
        self.folds, self.fold, self.repeat = folds, fold, repeat
        self.input_shape = torch.Size([max_length])
        self.vocabulary: Vocabulary | TokenizerFile | None = None
        self.class_names: list[str] = []
        self.texts: dict[str, list[tuple[Path, str, str]]] = {}  # of each split: file, place, text
        self.new: LabelledTexts | None = None  # that are predicted
        self.long: Counter[Path] = Counter()  # texts of each file that are cut

    def setup(self, stage: str) -> None:
        if stage == "predict" and self.predict is not None:
            self.new = self._read(self.predict, label=None)
        elif "train" not in self.tables:
            self._make_tables()

    def _make_tables(self) -> None:
        others = {part: self._read(file, self.label) for part, file in self.files.items()}
        every = [*self.whole.labels, *(name for found in others.values() for name in found.labels)]
        self.class_names = class_order({*every} - {None})
        if len(self.class_names) < 2:
            only = self.class_names[0] if self.class_names else "none"
            raise ValueError(f"--data.path={self.path}: one class, {only}: nothing to tell apart")
        parts = self.rows_of(self.split)
        self.vocabulary = self._vocabulary([self.whole.texts[row] for row in parts[0].tolist()])
        for part, rows in zip(("train", "val", "test"), parts, strict=True):
            if len(rows):
                self._add(part, self.whole, rows.tolist())
        for part, found in others.items():
            self._add(part, found, range(len(found)))
        self._note_long(self.whole, *others.values())

    @cached_property
    def whole(self) -> LabelledTexts:
        """The texts of `path`, which are split."""
        return self._read(self.path, self.label)

    def rows_of(self, split: int) -> Parts:
        """The numbers of the texts of `path` for train, val and test."""
        strata = None
        if self.stratify:
            names = class_order({*self.whole.labels} - {None})
            strata = class_numbers(self.whole.labels, names, str(self.path))
        sizes = {"val": self.val_size, "test": self.test_size} | dict.fromkeys(self.files, 0.0)
        partition = Partition(len(self.whole), sizes["val"], sizes["test"], strata=strata)
        if self.folds is None:
            return partition.split(split)
        return partition.fold(self.folds, self.fold, split + self.repeat)

    def _read(self, path: Path, label: str | None) -> LabelledTexts:
        found = self.read(path, label=label)
        if found.skipped:
            where = ", ".join(found.skipped[:5]) + (", ..." if len(found.skipped) > 5 else "")
            rank_zero_info(f"note: {path}: {len(found.skipped)} without text left out: {where}")
        return found

    def _vocabulary(self, texts: list[str]) -> Vocabulary | TokenizerFile:
        """A tokenizer's file; or padding, the unknown word, and those of texts by frequency."""
        if self.tokens_file is not None:
            return TokenizerFile.read(self.tokens_file, "--data.tokens")
        counts = Counter(word for text in texts for word in self.tokens(text))
        kept = [word for word, count in counts.items() if count >= self.min_count]
        kept = sorted({*kept} - {PAD, UNKNOWN}, key=lambda word: (-counts[word], word))
        return Vocabulary("words", (PAD, UNKNOWN, *kept[: self.words]))

    def cut_up(self, text: str) -> list[str]:
        """A text's tokens."""
        return WORD.findall(text.lower()) if self.cut == "words" else text.split()

    def tokens(self, text: str) -> list[str]:
        """A text's first tokens, at most `max_length`."""
        return self.cut_up(text)[: self.max_length]

    def numbers(self, text: str) -> tuple[Tensor, bool]:
        """A text's tokens by number, (tokens,) int32, and whether some are cut off.

        Raises:
            ValueError: if `max_length` is too short for a tokenizer's sentences
        """
        if isinstance(self.vocabulary, TokenizerFile):
            try:
                return self.vocabulary.sentence(text, self.max_length)
            except ValueError as error:
                raise ValueError(f"--data.tokens, --data.max_length: {error}") from error
        known, unknown = self.vocabulary.number, self.vocabulary.number[UNKNOWN]
        words = self.cut_up(text)
        # What is written like padding is a word that is not known.
        found = [known.get(word, unknown) or unknown for word in words[: self.max_length]]
        return torch.tensor(found, dtype=torch.int32), len(words) > self.max_length

    def _add(self, part: str, found: LabelledTexts, rows: list[int] | range) -> None:
        texts = [found.texts[row] for row in rows]
        every = [self.numbers(text) for text in texts]
        self.long[found.path] += sum(is_cut for _, is_cut in every)
        names = [found.labels[row] for row in rows]
        labels = class_numbers(names, self.class_names, str(found.path))
        self.tables[part] = PaddedTable([numbers for numbers, _ in every], labels)
        self.texts[part] = [(found.path, found.places[row], found.texts[row]) for row in rows]

    def _note_long(self, *every: LabelledTexts) -> None:
        """Says of how many texts in each file only the beginning is seen."""
        for found in every:
            if long := self.long.pop(found.path, 0):
                said = f"longer than --data.max_length={self.max_length}"
                said = f"{long} of {len(found)} texts are {said}: only their beginning is seen"
                rank_zero_info(f"note: {found.path}: {said}")

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    def origin(self, split: str, row: int) -> str:
        path, place, _ = self.texts[split][row]
        return f"{path}, {place}"

    def check_classes(self, classes: Classes) -> None:
        """Refuses more classes than a network knows.

        Raises:
            ValueError: if there are more
        """
        classes.check_room(self.classes, "--data=Sentences")
        for split, table in self.tables.items():
            check_known(table.labels, classes, partial(self.origin, split))

    def identifiers(self, rows: Tensor) -> list[str]:
        """The texts of predictions, by their numbers, (batch,)."""
        part = "test" if self.new is None else "predict"
        return [self.texts[part][row][2] for row in rows.tolist()]

    def predict_dataloader(self) -> Loader:
        """Batches (tokens, labels, rows): `identifiers` has the rows' texts."""
        if self.new is not None:  # with the words of the checkpoint, which is loaded by now
            self._add("predict", self.new, range(len(self.new)))
            self._note_long(self.new)
        part = "test" if self.new is None else "predict"
        return self._batches(Numbered(self._table(part)))

    def scale(self, inputs: Tensor) -> Tensor:
        """Tokens stay whole numbers."""
        return inputs

    def _table(self, part: str) -> PaddedTable:
        if part not in self.tables:
            raise ValueError(f"--data.{part}_size=0: there are no texts for it")
        return self.tables[part]

    def test_dataloader(self) -> Loader:
        return self._batches(self._table("test"))

    def state_dict(self) -> dict[str, Any]:
        texts = [text for _, _, text in self.texts.get("train", ())]
        labels = self.tables["train"].labels.tolist() if texts else []
        rows = digest(zip(texts, labels, strict=True))
        state = {"class_names": self.class_names, "rows": rows}
        if isinstance(self.vocabulary, TokenizerFile):
            return state | {"tokens": self.vocabulary.plain()}
        return state | {"words": list(self.vocabulary.symbols)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes the words and classes of the fit.

        Raises:
            ValueError: if there are other words or classes, or a fit goes on with other texts
        """
        own = {} if self.vocabulary is None else self.state_dict()
        # Older checkpoints do not say their rows.
        compared = own.keys() if self.goes_on and "rows" in state else own.keys() - {"rows"}
        what = [key for key in compared if own[key] != state.get(key)]
        if what:
            said = "texts or labels" if what == ["rows"] else "words or classes"
            raise ValueError(
                f"--data.path={self.path} has other {said} than the run was trained on"
            )
        words = {"kind": "words", "symbols": state.get("words")}
        self.vocabulary = from_plain(state.get("tokens", words))
        self.class_names = state["class_names"]
