"""What grows: steps, studies, tables, pictures, comparisons and searches, each by its size."""

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image as Picture

import compare_speed
import study_speed
from datamodules import HuggingFace, Tabular
from datamodules.loading.data_module import DataModule
from recipes.compare.__main__ import main as compare
from recipes.parts.networks import MLP
from recipes.regress import Regress
from recipes.running.cli import main
from recipes.tune.search import Search
from recipes.tune.space import Space

FEATURES, WARM, STEPS, PER_EPOCH = 20, 5, 40, 20  # of the training steps
BLOCK = 1000  # rows of a file that are different
LATER = 10  # trials that are timed
Work = Callable[[], float | None]  # returns its seconds, where they are not those of the call


@dataclass(frozen=True)
class Series:
    """One thing that grows.

    Attributes:
        what: is measured
        of: what grows
        at: its values
        make: prepares the work of one value in a folder
        beside: the same of a plain loop, if there is one
    """

    what: str
    of: str
    at: tuple[int, ...]
    make: Callable[[int, Path], Work]
    beside: Callable[[int, Path], Work] | None = None


class Watch(Callback):
    """Takes the seconds of a core for a training step, after the first few."""

    def on_train_batch_start(self, trainer: Trainer, *args: object) -> None:
        if trainer.global_step == WARM:
            self.start = time.process_time()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = (time.process_time() - self.start) / (trainer.global_step - WARM)


def step(batch: int, width: int, folder: Path) -> float:
    """Seconds of a step of `recipes.regress fit`, with its log, checkpoints and validation."""
    rows = math.ceil(PER_EPOCH * batch / 0.8)
    flags = ["--data=Friedman", f"--data.rows={rows}", f"--data.features={FEATURES}"]
    flags += [f"--data.batch_size={batch}", "--data.val_size=0.1", "--data.test_size=0.1"]
    flags += [f"--model.network.widths=[{width},{width}]", "--model.network.dropout=0"]
    flags += ["--model.loss=mse", "--model.optimizer=Adam", "--model.optimizer.fused=true"]
    flags += ["--trainer.limit_val_batches=1"]
    flags += [f"--trainer.max_steps={STEPS}", f"--trainer.default_root_dir={folder}"]
    watch = Watch()
    main(Regress, ["fit", *flags], [watch])
    return watch.seconds


def plain_step(batch: int, width: int, folder: Path) -> float:
    """Seconds of a step of a plain loop."""
    rows = torch.randn(PER_EPOCH * batch, FEATURES)
    targets = rows.sum(1)
    model = MLP(FEATURES, [width, width], 1)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for number in range(STEPS):
        if number % PER_EPOCH == 0:
            order = torch.randperm(len(rows)).split(batch)
        if number == WARM:
            start = time.process_time()
        chosen = order[number % PER_EPOCH]
        optimizer.zero_grad()
        outputs = model(rows[chosen]).squeeze(-1)
        torch.nn.functional.mse_loss(outputs, targets[chosen]).backward()
        optimizer.step()
    return (time.process_time() - start) / (STEPS - WARM)


def by_batch(how: Callable[[int, int, Path], float], batch: int, folder: Path) -> Work:
    """Steps of a network of two hidden layers of 64."""
    return partial(how, batch, 64, folder)


def by_width(how: Callable[[int, int, Path], float], width: int, folder: Path) -> Work:
    """Steps of batches of 128."""
    return partial(how, 128, width, folder)


def members(count: int, folder: Path) -> Work:
    """A study's step: four epochs of 14 batches, with its report."""
    return lambda: sum(study_speed.study(4, count)) / (4 * 14)


def single(count: int, folder: Path) -> Work:
    """As many plain loops, of which one is timed."""
    return lambda: study_speed.loop(4) * count / (4 * 14)


def read(data: DataModule) -> None:
    """Reads data, and gives an epoch of batches."""
    data.prepare_data()
    data.setup("fit")
    for _ in data.train_dataloader():
        pass


def table(rows: int, folder: Path) -> Work:
    """A CSV of eight inputs."""
    values = np.random.default_rng(0).normal(size=(BLOCK, 9)).round(4)
    text = pandas.DataFrame(values).add_prefix("x").to_csv(index=False)
    head, _, block = text.partition("\n")
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{head}\n")
        for _ in range(rows // BLOCK):
            file.write(block)
    return lambda: read(Tabular(str(path), batch_size=500, data_dir=str(folder / "data")))


def pictures(rows: int, folder: Path) -> Work:
    """PNG files of 8x8 in Parquet."""
    from datasets import ClassLabel, Dataset, Features, Image, disable_progress_bars

    disable_progress_bars()
    pixels = np.random.default_rng(0).integers(0, 256, (BLOCK, 8, 8), np.uint8)
    images = [{"bytes": png(each), "path": None} for each in pixels]
    kinds = Features({"image": Image(), "target": ClassLabel(num_classes=10)})
    columns = {"image": images, "target": [number % 10 for number in range(BLOCK)]}
    block = Dataset.from_dict(columns, features=kinds)
    for number in range(rows // BLOCK):
        block.to_parquet(folder / f"train-{number:05d}.parquet")
    options = {"inputs": "image", "target": "target", "batch_size": 500}
    options["cache_dir"] = str(folder / "cache")
    return lambda: read(HuggingFace(str(folder / "*.parquet"), **options))


def png(pixels: np.ndarray) -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def runs(count: int, folder: Path) -> Work:
    """A comparison of runs of 30 rows each."""
    compare_speed.copies(folder, count, 30)
    return lambda: compare([str(folder)])


def trials(count: int, folder: Path) -> Work:
    """What a search does around a trial, beside its training, when so many have ended."""
    uniform = {"distribution": "uniform", "min": 0.0, "max": 1.0}
    space = Space("random", {"model.x": uniform}, "val/loss", "minimize", {}, None)
    search = Search(
        recipe="regress",
        flags=[],
        space=space,
        study="growth",
        storage=f"sqlite:///{folder}/study.db",
        folder=folder,
        trials=count + LATER,
        sampler="random",
        pruner="none",
        metric="val/loss",
        goal="minimize",
        value="last",
        seed=0,
        grace=60.0,
    )
    queue = search.open()

    def run(number: int) -> float:
        start = time.process_time()
        for _ in range(number):
            trial = queue.take()
            drawn = space.suggest(trial)
            with queue.alive(trial.number):
                queue.study.tell(trial, drawn["model.x"])
        return (time.process_time() - start) / number

    run(count)
    return partial(run, LATER)


THREES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SERIES = {
    "batch": Series(
        "a step of recipes.regress",
        "rows of a batch",
        (16, 64, 256, 1024, 4096, 16384),
        partial(by_batch, step),
        partial(by_batch, plain_step),
    ),
    "width": Series(
        "a step of recipes.regress",
        "units of two hidden layers",
        (16, 64, 256, 1024, 2048),
        partial(by_width, step),
        partial(by_width, plain_step),
    ),
    "members": Series("a step of recipes.study", "members", (1, 8, 64, 512, 2048), members, single),
    "rows": Series("a table, read, and an epoch", "rows", THREES, table),
    "pictures": Series("pictures, read, and an epoch", "pictures", THREES, pictures),
    "runs": Series("recipes.compare", "runs", (10, 100, 1000, 5000), runs),
    "trials": Series(
        "a trial of recipes.tune, but its training", "trials before", (10, 100, 1000), trials
    ),
}
