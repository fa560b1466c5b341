"""Recipes with every overlay: works, at which speed and in how much memory, or why not.

python benchmarks/hardware.py [--rounds 3] [--only classify gan ...]

A cell is samples per second of all processes (of the steps after the first rows of metrics, median
of the rounds, which take turns over the overlays) and the peak memory of the largest process; the
batch is of the same size on one process and on two. What is refused is listed with its line below.
A study, whose batches are of several streams, has no such rate. hardware.json keeps the cells: what
is cut off goes on with what is missing. A round takes half an hour of two idle cores.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from beside.comparison import kept_here, machine
from recipes.parts.files import replace_file

FILE = Path(__file__).with_name("hardware.json")
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
    "language shakespeare, LSTM": ("language", "--config=shakespeare", 32, 1),
    "language, Transformer": (
        "language",
        "--config=shakespeare_nanogpt_cpu --trainer.limit_train_batches=150",
        12,
        1,
    ),
    "vae digits": ("vae", "--config=digits", 64, 20),
    "diffusion digits": ("diffusion", "--config=digits", 64, 3),
    "diffusion ring": ("diffusion", "--config=ring", 256, 1),
    "em digits": ("em", "--config=digits --data.val_size=361", 1076, 40),
    "feedback digits": ("feedback", "--config=digits", 64, 20),
    "dqn cart_pole": ("dqn", "--config=cart_pole", 64, 1),
    "policy_gradient cart_pole": ("policy_gradient", "--config=cart_pole", 512, 1),
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


FAILED = re.compile(r"error: \w+(Error|Exception)\b")  # of Python: no refusal


def measure(row: str, column: str) -> tuple[float, float] | str:
    """Samples per second and peak memory in MiB of one run, or the line that refuses it.

    Raises:
        RuntimeError: if it fails without such a line
    """
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
        if status and (not lines or FAILED.match(lines[0])):
            raise RuntimeError(f"{' '.join(command)}: status {status}\n{errors.read_text()}")
        if status:
            return lines[0].removeprefix("error: ")
        (metrics,) = Path(folder).glob("runs/*/*/metrics.jsonl")
        rows = [json.loads(line) for line in metrics.read_text().splitlines()]
        rates = [row[key] for row in rows for key in row if key.endswith("samples_per_second")]
        settled = rates[len(rates) // 2 :] if "compile" in overlays else rates[2:] or rates
        return statistics.median(settled), usage.ru_maxrss / 1024


def kept() -> dict[str, Any]:
    """Of each row and overlay, [samples per second, MiB] of each round, or a line; `machine`."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def is_wanted(row: str, column: str, rounds: int) -> bool:
    """Whether a cell is to be measured once more."""
    found = kept().get(row, {}).get(column, [])
    return isinstance(found, list) and len(found) < rounds


def overlays() -> list[list[str]]:
    """A row for each config, a column for each overlay that at least one of them ran with."""
    found = {row: kept()[row] for row in ROWS if row in kept()}
    columns = [c for c in COLUMNS if any(isinstance(f.get(c), list) for f in found.values())]
    return [
        ["", *columns],
        *([row, *(cell(row, f.get(c)) for c in columns)] for row, f in found.items()),
    ]


def cell(row: str, found: list[tuple[float, float]] | str | None) -> str:
    """Samples per second and MiB, or what became of it."""
    if not isinstance(found, list):
        return "refused" if found else "not measured"
    rates, sizes = zip(*found, strict=True)
    rate = "works" if row.startswith("study") else f"{statistics.median(rates):,.0f}"
    return f"{rate}, {statistics.median(sizes):.0f}"


def refusals() -> Iterator[str]:
    """Each line that refuses something, behind the cells that it was said in."""
    where: dict[str, list[str]] = {}
    for row in ROWS:
        for column, found in kept().get(row, {}).items():
            if isinstance(found, str):
                where.setdefault(found, []).append(f"{row} with {column}")
    yield from (f"- {'; '.join(places)}: `{line}`" for line, places in where.items())


def main() -> None:
    """Measures what is missing, and prints the table and the list of what is refused."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(ROWS), help="rows, by how they begin")
    given = parser.parse_args()
    chosen = [row for row in ROWS if row.startswith(tuple(given.only))]
    if not chosen:
        sys.exit(f"error: --only {' '.join(given.only)}: rows are {', '.join(ROWS)}")
    cells = [(row, column) for row in chosen for column in COLUMNS]
    kept_here(FILE)
    for number in range(given.rounds):
        for row, column in tqdm(cells, f"round {number + 1}"):
            if not is_wanted(row, column, number + 1):
                continue
            result, done = measure(row, column), kept_here(FILE)
            found = done.setdefault(row, {})
            found[column] = result if isinstance(result, str) else [*found.get(column, []), result]
            replace_file(FILE, json.dumps(done | {"machine": machine()}, indent=1) + "\n")
    import pages  # large: a process's peak of memory is never less than that of who started it

    pages.write()
    print("\n".join([*(f"| {' | '.join(row)} |" for row in overlays()), "", *refusals()]))


if __name__ == "__main__":
    main()
