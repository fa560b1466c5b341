"""Recipes with every overlay: works, at which speed and in how much memory, or why not.

python benchmarks/hardware.py [--rounds 3] [--only classify gan ...]

A cell is samples per second of all processes (of the steps after the first rows of metrics, median
of the rounds, which take turns over the overlays) and the peak memory of the largest process; the
batch is of the same size on one process and on two. What is refused is listed with its line below.
A study, whose batches are of several streams, has no such rate.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from tqdm import tqdm

MLP = "--model.network=MLP --model.network.inputs=64 --model.network.widths=[256,256]"

# Recipe, its config and flags, the batch of all processes together, and epochs of a few seconds.
ROWS = {
    "classify digits": ("classify", "--config=digits", 64, 8),
    "classify digits, MLP": ("classify", f"--config=digits {MLP}", 64, 50),
    "distill digits": ("distill", "--config=digits", 64, 6),
    "regress diabetes": ("regress", "--config=diabetes", 64, 200),
    "regress lbfgs": ("regress", "--config=lbfgs", None, 50),
    "gan digits": ("gan", "--config=digits", 64, 3),
    "gan ring": ("gan", "--config=ring", 256, 1),
    "study diabetes": ("study", "--config=diabetes", 64, 10),
}
# Overlays, and how many processes share out the batch.
COLUMNS = {
    "none": ("", 1),
    "bf16": ("bf16", 1),
    "fp16": ("fp16", 1),
    "compile": ("compile", 1),
    "gpu": ("gpu", 1),
    "ddp": ("ddp", 2),
    "ddp, bf16": ("ddp bf16", 2),
    "ddp_spawn": ("ddp_spawn", 2),
    "fsdp": ("fsdp", 2),
    "tensor_parallel": ("tensor_parallel", 1),
    "hybrid": ("hybrid", 2),
}


def measure(row: str, column: str) -> tuple[float, float] | str:
    """Samples per second and peak memory in MiB of one run, or the line that refuses it."""
    (recipe, flags, batch, epochs), (overlays, shares) = ROWS[row], COLUMNS[column]
    own = [f"--config={overlay}" for overlay in overlays.split()]
    own += [f"--data.batch_size={batch // shares}"] if batch else []
    own += ["--trainer.callbacks+=Throughput", f"--trainer.max_epochs={epochs}"]
    own += ["--trainer.enable_progress_bar=false"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"recipes.{recipe}", "fit", *flags.split(), *own]
        errors = Path(folder, "errors")
        with errors.open("w") as file:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
            environment["PYTHONPATH"] = str(Path(__file__).parents[1])
            process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=folder, env=environment
            )
            _, status, usage = os.wait4(process.pid, 0)
        lines = [line for line in errors.read_text().splitlines() if line.startswith("error: ")]
        if status:
            return lines[0].removeprefix("error: ") if lines else f"status {status}"
        (metrics,) = Path(folder).glob("runs/*/*/metrics.jsonl")
        rows = [json.loads(line) for line in metrics.read_text().splitlines()]
        rates = [row[key] for row in rows for key in row if key.endswith("samples_per_second")]
        settled = rates[len(rates) // 2 :] if "compile" in overlays else rates[2:] or rates
        return statistics.median(settled), usage.ru_maxrss / 1024


def main() -> None:
    """Prints the table and the list of what is refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(ROWS), help="rows, by how they begin")
    arguments = parser.parse_args()
    chosen = [row for row in ROWS if row.startswith(tuple(arguments.only))]
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    refused: dict[tuple[str, str], str] = {}
    cells = [(row, column) for _ in range(arguments.rounds) for row in chosen for column in COLUMNS]
    for cell in tqdm(cells, "runs"):
        if cell not in refused:
            result = measure(*cell)
            if isinstance(result, str):
                refused[cell] = result
            else:
                found.setdefault(cell, []).append(result)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"\n{os.cpu_count()} cores, {gpu}; samples per second, MiB of the largest process\n")
    print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    for row in chosen:
        texts = []
        for column in COLUMNS:
            if (row, column) in refused:
                texts.append("refused")
            else:
                rates, sizes = zip(*found[row, column], strict=True)
                rate = f"{statistics.median(rates):,.0f}"
                rate = "works" if row.startswith("study") else rate
                texts.append(f"{rate}, {statistics.median(sizes):.0f}")
        print(f"| {row} | {' | '.join(texts)} |")
    reasons: dict[str, list[str]] = {}
    for (row, column), reason in refused.items():
        reasons.setdefault(reason, []).append(f"{row} with {column}")
    for reason, where in reasons.items():
        print(f"\n- {'; '.join(where)}: `{reason}`")


if __name__ == "__main__":
    main()
