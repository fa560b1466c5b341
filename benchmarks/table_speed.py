"""A table of your own: reading, encoding and an epoch beside pandas, and the memory of predict.

python benchmarks/table_speed.py [--rows 1000000] [--rounds 3]
python benchmarks/table_speed.py --memory 100000 10000000    # instead: how much predict takes

Speed: a CSV of 30 columns, 26 of numbers, two of words, a date and the target: by `Tabular` and
`Regress` through a Trainer; and by `pandas.read_csv`, `get_dummies` and a plain loop. Both train
the same network with as many batches of a size, on one thread, without validation. Seconds on the
clock, medians of rounds in turn.

Memory: the largest resident size of the process that predicts a CSV of so many rows of these
columns, of which 10,000 are different; and its seconds.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import torch
from lightning.pytorch import Trainer, seed_everything

from datamodules import Tabular
from recipes.parts.networks import MLP
from recipes.regress import Regress
from recipes.running.messages import silence_noise

NUMBERS, WORDS, BLOCK = 26, {"town": 20, "kind": 5}, 10_000
BATCH, WIDTHS, RATE = 1000, [64], 0.001
TRAIN = 0.64  # share of the rows, as by the default sizes
PARTS = ("read", "encode", "an epoch")


def block(seed: int) -> str:
    """Some rows of the table, as CSV: numbers of four decimals, words, days and the target."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(BLOCK, NUMBERS)).round(4)
    table = pandas.DataFrame(values).add_prefix("x")
    for name, count in WORDS.items():
        words = np.array([f"{name} {number}" for number in range(count)])
        table[name] = words[draw.integers(0, count, BLOCK)]
    days = pandas.to_timedelta(draw.integers(0, 3000, BLOCK), "D")
    table["day"] = (pandas.Timestamp("2015-01-01") + days).strftime("%Y-%m-%d")
    table["y"] = (values.sum(1) + draw.normal(size=BLOCK)).round(4)
    return table.to_csv(index=False, header=not seed)


def write(path: Path, rows: int, repeat: bool = False) -> None:
    """Writes a table, whose rows repeat one block, or do not."""
    first = block(0)
    later = first.partition("\n")[2]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(first)
        for number in range(1, rows // BLOCK):
            file.write(later if repeat else block(number))


def ours(path: Path) -> list[float]:
    """Seconds of each part, by this project."""
    data = Tabular(str(path), "y", batch_size=BATCH)
    started = time.perf_counter()
    assert data.table.sheet.path == path
    read = time.perf_counter()
    data.setup("fit")
    encoded = time.perf_counter()
    network = partial(MLP, len(data.feature_names), WIDTHS, 1)
    module = Regress(network, partial(torch.optim.Adam, lr=RATE, fused=True))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        begun = time.perf_counter()
        trainer.fit(module, data)
    return [read - started, encoded - read, time.perf_counter() - begun]


def plain(path: Path) -> list[float]:
    """Seconds of each part, by pandas and a plain loop."""
    started = time.perf_counter()
    table = pandas.read_csv(path, parse_dates=["day"])
    read = time.perf_counter()
    table["day"] = (table["day"] - pandas.Timestamp("1970-01-01")) / pandas.Timedelta("1D")
    targets = torch.from_numpy(table.pop("y").to_numpy())
    columns = pandas.get_dummies(table, columns=list(WORDS), dtype=float)
    order = torch.randperm(len(columns))[: round(TRAIN * len(columns))]
    inputs = torch.from_numpy(columns.to_numpy())[order]
    inputs = ((inputs - inputs.mean(0)) / inputs.std(0)).float()
    targets = ((targets[order] - targets[order].mean()) / targets[order].std()).float()
    encoded = time.perf_counter()
    network = MLP(inputs.shape[1], WIDTHS, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    begun = time.perf_counter()
    for batch in torch.randperm(len(inputs)).split(BATCH):
        optimizer.zero_grad()
        outputs = network(inputs[batch]).squeeze(-1)
        torch.nn.functional.mse_loss(outputs, targets[batch]).backward()
        optimizer.step()
    return [read - started, encoded - read, time.perf_counter() - begun]


def speed(rows: int, rounds: int) -> None:
    """Prints the seconds of both, and their ratios."""
    sides: dict[str, Callable[[Path], list[float]]] = {"ours": ours, "pandas and a loop": plain}
    times = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        write(path, rows)
        for _ in range(rounds):
            for name, side in sides.items():
                seed_everything(0)
                times[name].append(side(path))
    print(f"{rows:,} rows, {path.name}; seconds, median of {rounds}\n")
    print("| | ours | pandas and a loop | ratio |\n|---|---|---|---|")
    for number, part in enumerate(PARTS):
        mine, other = (statistics.median(found[number] for found in times[name]) for name in sides)
        print(f"| {part} | {mine:.1f} | {other:.1f} | {mine / other:.2f} |")


def run(folder: Path, *args: str) -> tuple[float, float]:
    """Peak memory in MiB and seconds of a command of recipes.regress.

    Raises:
        SystemExit: if it fails
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "recipes.regress", *args], cwd=folder, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"error: recipes.regress {args[0]} has failed")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def memory(sizes: list[int]) -> None:
    """Prints what it takes to predict tables of some sizes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder / "train.csv", BLOCK)
        data = ("--data=Tabular", "--data.path=train.csv", "--data.target=y")
        run(folder, "fit", *data, "--trainer.max_epochs=1", "--name=a")
        found = []
        for rows in sizes:
            write(folder / "test.csv", rows, repeat=True)
            trained = "--ckpt_path=runs/regress/a/checkpoints/last.ckpt"
            given = (trained, "--data.predict=test.csv", f"--data.batch_size={BATCH}")
            found.append((rows, *run(folder, "predict", *given, "--output=out.csv")))
            with (folder / "out.csv").open("rb") as file:
                assert sum(1 for _ in file) == rows + 1
    print("\n| rows | peak memory, MiB | s |\n|---|---|---|")
    for rows, size, seconds in found:
        print(f"| {rows:,} | {size:.0f} | {seconds:.0f} |")


def main() -> None:
    """Prints one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="+", metavar="ROWS", help="memory of predict")
    arguments = parser.parse_args()
    if arguments.memory:
        return memory(arguments.memory)
    torch.set_num_threads(1)
    silence_noise()
    speed(arguments.rows, arguments.rounds)


if __name__ == "__main__":
    main()
