"""The files that workers read: rows of this project's own data, as Parquet."""

from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, Value, disable_progress_bars

from datamodules import Diabetes, Digits

SHARDS = 4


def write(folder: Path) -> None:
    """Writes the digits to `images`, and the diabetes data to `table`, each in a few files."""
    disable_progress_bars()
    digits, diabetes = Digits(), Diabetes()
    digits.setup("fit")
    diabetes.setup("fit")
    names = [f"x{i}" for i in range(10)]
    image = Features({"image": Image(), "target": ClassLabel(num_classes=10)})
    number = Features({name: Value("float32") for name in (*names, "target")})
    for split, part in (("train", "train"), ("validation", "val")):
        table, rows = digits.tables[part], getattr(diabetes.splits(0), part)
        columns = {"image": list((table.images * 15).numpy()), "target": table.labels.tolist()}
        shards(Dataset.from_dict(columns, features=image), folder / "images", split)
        inputs = dict(zip(names, rows.inputs.T.numpy().astype(np.float32), strict=True))
        columns = {**inputs, "target": rows.targets.numpy().astype(np.float32)}
        shards(Dataset.from_dict(columns, features=number), folder / "table", split)


def shards(rows: Dataset, folder: Path, split: str) -> None:
    """Writes rows to several files, with more than one group each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(SHARDS):
        path = folder / f"{split}-{number}.parquet"
        rows.shard(SHARDS, number, contiguous=True).to_parquet(path, batch_size=100)
