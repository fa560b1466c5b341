"""Your own pictures: a folder, a CSV of files and labels, or Parquet."""

from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.augmentation.changes import Augmentation
from datamodules.augmentation.mixing import Mix
from datamodules.loading.loader import Loader, data_rank
from datamodules.loading.missing import MISSING
from datamodules.loading.pictures import Numbered, PictureTable, UndecodedPictures, class_numbers
from datamodules.loading.shares import hold_out_of_each
from datamodules.picture_data import PictureData
from datamodules.reading.decoding import write_skipped
from datamodules.reading.digest import digest
from datamodules.reading.listing import Listing, class_order
from datamodules.reading.picture_sources import new_pictures, picture_splits
from datamodules.reading.pictures import Pictures
from datamodules.reading.pixel_file import PixelFile

GIGABYTE = 10**9


class ImageFolder(PictureData):
    """Pictures of your own: a folder with a subfolder for each class, a CSV, or Parquet files.

    `path` is one of: a folder with a subfolder for each class; a folder of such folders named
    train, val and test; a folder of pictures without labels; a CSV with a column of files, relative
    to its own folder, and one of labels; Parquet files, whose splits are told by words in their
    names. Where there is no folder or file for validation or testing, a share is held out, of each
    class the same. Classes are numbered in alphabetical order; names that are all numbers, by them.

    Pictures may be of any size, and grey, in colours, with a palette or transparency, or grey of 16
    bits (which is divided by 257). They are turned upright as the camera says. They are decoded
    once, to a file in `cache_dir` that is made anew when a picture's size or time changes.

    Args:
        path: folder, CSV (.csv, .tsv), or Parquet file or pattern, as 'shards/*.parquet'
        size: the largest square in a picture's centre is resized to so many pixels each way
        mode: pictures are converted to grey (L) or to colours (RGB)
        background: colour behind transparent pixels: a name or '#rrggbb'
        file: a table's column of files or pictures; by default `file` of a CSV, `image` of Parquet
        label: a table's column of labels; null if it has none
        train_classes: names of the classes kept in the training pictures, by default all;
            validation and test keep all classes, so that anomalies can be measured
        val_size: held out for validation where there is no such split: a number of pictures, or a
            share of them below 1; 0: no validation
        test_size: held out for testing where there is no such split, before `val_size`
        batch_size: pictures per batch, on each process
        augment: random changes of the training pictures, in their order, as Flip
        mix: MixUp or CutMix of the training pictures
        memory: gigabytes of pixels that are kept in memory, on each process; where there are more,
            they are read from the file in every epoch
        cache_dir: folder of the decoded pictures
        on_error: refuse a picture that cannot be read, or skip it, and list it beside the decoded
            and in the run's folder, skipped-fit.csv and skipped-predict.csv
        predict: what `predict` reads in place of the test pictures: a folder, whose subfolders mean
            nothing, one picture, a CSV or Parquet
        split_seed: decides which pictures are held out
        seed: of the order, and of what is random in `augment` and `mix`
    """

    def __init__(
        self,
        path: str,
        size: PositiveInt = 64,
        mode: Literal["L", "RGB"] = "RGB",
        background: str = "white",
        file: str | None = None,
        label: str | None = "label",
        train_classes: list[str] | None = None,
        val_size: NonNegativeFloat = 0.1,
        test_size: NonNegativeFloat = 0.1,
        batch_size: PositiveInt = 64,
        augment: list[Augmentation] | None = None,
        mix: Mix | None = None,
        memory: NonNegativeFloat = 2.0,
        cache_dir: str = "data/pictures",
        on_error: Literal["refuse", "skip"] = "refuse",
        predict: str | None = None,
        split_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, augment, mix, seed)
        self.path, self.file, self.label, self.predict = path, file, label, predict
        self.train_classes = train_classes
        self.pictures = Pictures(size, mode, background=background)
        self.sizes, self.split_seed = {"test": test_size, "val": val_size}, split_seed
        self.memory, self.on_error = memory, on_error
        self.cache_dir = Path(cache_dir).expanduser()
        self.input_shape = torch.Size((1 if mode == "L" else 3, size, size))
        self.names: dict[str, list[str]] = {}  # of the files, by split
        self.new: UndecodedPictures | None = None

    @cached_property
    def _files(self) -> dict[str, PixelFile]:
        """The decoded pictures of each split that the source has."""
        splits = picture_splits(self.path, self.file, self.label)
        return {part: self._pixels(listing) for part, listing in splits.items()}

    def _pixels(self, listing: Listing) -> PixelFile:
        return PixelFile(listing, self.pictures.within(listing.root), self.cache_dir, self.on_error)

    def _predicts_new(self, stage: str | None) -> bool:
        return self.predict is not None and stage == "predict"

    def prepare_data(self) -> None:
        if not self._predicts_new(self.trainer and self.trainer.state.fn):
            for file in self._files.values():
                file.make()

    def setup(self, stage: str) -> None:
        if self._predicts_new(stage):
            listing = new_pictures(self.predict, self.file)
            pictures = self.pictures.within(listing.root)
            self.new = UndecodedPictures(listing, pictures, self.on_error)
        elif not self.tables:
            self.prepare_data()  # which has been done, unless there is no trainer
            self._make_tables()
            self._hold_out()
            self._leave_out()
        if stage == "fit" and not getattr(self.trainer, "fast_dev_run", True):
            self._list_skipped(stage, self._skipped())

    def _skipped(self) -> dict[str, str]:
        """What hindered each picture that is left out of the fit, by its path."""
        return {
            str(file.listing.root / name): reason
            for file in self._files.values()
            for name, reason in file.skipped().items()
        }

    def _list_skipped(self, stage: str, skipped: dict[str, str]) -> Path | None:
        """Lists what is left out in the run's folder; the path, of the process that does."""
        if not skipped or not self.trainer.is_global_zero:
            return None
        path = Path(self.trainer.default_root_dir, f"skipped-{TrainerFn(stage).value}.csv")
        write_skipped(path, skipped)
        return path

    def _make_tables(self) -> None:
        mapped = sum(file.nbytes for file in self._files.values()) > self.memory * GIGABYTE
        first = self._files.get("train") or next(iter(self._files.values()))
        names = first.listing.class_names()
        if self.train_classes is not None:  # others may be in another split alone
            every = {name for file in self._files.values() for name in file.listing.labels}
            names = first.listing.order or class_order(every - {None})
        self.class_names = names or None
        for part, file in self._files.items():
            kept = file.kept()
            listing = file.listing
            labels = class_numbers(
                [listing.labels[row] for row in kept], self.class_names or [], str(listing.root)
            )
            self.names[part] = [listing.names[row] for row in kept]
            self.tables[part] = PictureTable(file.read(mapped), labels, mapped=mapped)

    def _hold_out(self) -> None:
        """Takes the splits that the source does not have from its training pictures."""
        for key, (part, size) in enumerate(self.sizes.items()):
            if part in self.tables or "train" not in self.tables or not size:
                continue
            whole, names = self.tables["train"], self.names["train"]
            rows, option = torch.arange(len(whole)), f"--data.{part}_size"
            shares = hold_out_of_each(rows, whole.labels, size, option, self.split_seed, key)
            for name, of_name in zip(("train", part), shares, strict=True):
                self.tables[name] = PictureTable(
                    whole.pixels, whole.labels[of_name], whole.rows[of_name], mapped=whole.mapped
                )
                self.names[name] = [names[row] for row in of_name.tolist()]

    def _leave_out(self) -> None:
        """Removes from the training pictures each class that `train_classes` does not name."""
        if self.train_classes is None or "train" not in self.tables:
            return
        table, names = self.tables["train"], self.names["train"]
        is_kept = torch.isin(table.labels, torch.tensor(self.trained_classes))
        if not is_kept.any():
            raise ValueError(f"--data.train_classes={self.train_classes}: no training pictures")
        rows = is_kept.nonzero().squeeze(1)
        self.tables["train"] = PictureTable(
            table.pixels, table.labels[rows], table.rows[rows], mapped=table.mapped
        )
        self.names["train"] = [names[row] for row in rows.tolist()]

    @property
    def trained_classes(self) -> list[int] | None:
        """The numbers of `train_classes`; None if all are trained.

        Raises:
            ValueError: if there is no such class
        """
        if self.train_classes is None:
            return None
        there = self.class_names or []
        if strangers := [name for name in self.train_classes if name not in there]:
            known = ", ".join(there) or "none"
            raise ValueError(f"--data.train_classes: no class {strangers[0]}: there are {known}")
        return [there.index(name) for name in self.train_classes]

    def predict_dataloader(self) -> Loader:
        """Batches (inputs, targets, rows): `identifiers` has the rows' files."""
        return self._batches(Numbered(self._table("test")) if self.new is None else self.new)

    def identifiers(self, rows: Tensor) -> list[str]:
        """The files of what `predict` or `test` reads, relative to their folder.

        Args:
            rows: numbers of pictures, (n,), as the last column of a predict batch
        """
        names = self.names["test"] if self.new is None else self.new.listing.names
        return [names[row] for row in rows.tolist()]

    def teardown(self, stage: str) -> None:
        if self.new is None:
            return
        every = [self.new.skipped] * data_rank(self.trainer)[1]
        if len(every) > 1:
            dist.all_gather_object(every, self.new.skipped)
        skipped = dict(sorted(chain.from_iterable(part.items() for part in every)))
        if path := self._list_skipped(stage, skipped):
            count = f"{len(skipped)} of {len(self.new)} pictures"
            said = f"cannot be read and are left out, listed in {path}"
            rank_zero_info(f"note: --data.predict={self.predict}: {count} {said}")

    def state_dict(self) -> dict[str, Any]:
        names = self.names.get("train", [])
        labels = self.tables["train"].labels.tolist() if names else []
        rows = digest(zip(names, labels, strict=True))
        return {"class_names": self.class_names, "rows": rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes the classes of the fit: what is predicted or tested has no others.

        Raises:
            ValueError: if a fit goes on with other pictures or classes, or a class is none of them
        """
        mine = self.state_dict()
        if self.goes_on and any(mine[key] != state[key] for key in mine.keys() & state.keys()):
            raise ValueError(
                f"--data.path={self.path} has other pictures or classes than the run was trained "
                "on: train anew without --ckpt_path"
            )
        found, self.class_names = self.class_names, state["class_names"]
        if found and found != self.class_names:
            numbers = class_numbers(found, self.class_names or [], self.path)
            for table in self.tables.values():
                known = table.labels != MISSING
                table.labels[known] = numbers[table.labels[known]]
