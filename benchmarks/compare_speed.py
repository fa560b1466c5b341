"""How long `recipes.compare` takes for many runs, and how large its page is.

python benchmarks/compare_speed.py [--runs 500] [--rows 1000]

500 runs of 1,000 rows are 100 settings of 5 seeds. The runs are copies of what one real run of the
digits wrote, with other numbers; the time is that of the whole command, imports, picture and page
included, the median of three.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIT = ("fit", "--trainer.max_epochs=1", "--trainer.logger=true", "--name=real")


def real_run(folder: Path) -> tuple[dict[str, object], dict[str, float], dict[str, float]]:
    """The facts of a real run, and a row of its training and of its validation."""
    flags = [f"--trainer.default_root_dir={folder}", "--trainer.enable_progress_bar=false"]
    command = [sys.executable, "-m", "recipes.distill", *FIT, *flags]
    subprocess.run(command, check=True, capture_output=True)
    run = folder / "distill" / "real"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    training = next(row for row in rows if "train/loss" in row)
    return json.loads((run / "run.json").read_text()), training, rows[-1]


def copies(folder: Path, runs: int, rows: int) -> None:
    """Writes the runs; every tenth row is one of validation."""
    with tempfile.TemporaryDirectory() as made:
        facts, training, validation = real_run(Path(made))
    for number in range(runs):
        run = folder / f"run-{number}"
        run.mkdir()
        settings = facts["settings"] | {
            "seed_everything": number % 5,
            "model.temperature": 1 + number // 5 % 10,
            "model.optimizer.lr": 0.001 * (1 + number // 50),
        }
        (run / "run.json").write_text(json.dumps(facts | {"settings": settings}, indent=1))
        lines = []
        for index in range(rows):
            row = validation if index % 10 == 9 else training
            noisy = {key: value * random.uniform(0.9, 1.1) for key, value in row.items()}
            place = {"step": 4 * index + 3, "epoch": index // 10, "samples": 256.0 * (index + 1)}
            lines.append(json.dumps(noisy | place))
        (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Prints the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rows", type=int, default=1000)
    given = parser.parse_args()
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        copies(Path(folder), given.runs, given.rows)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            command = [sys.executable, "-m", "recipes.compare", folder]
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        size = Path(folder, "compare.html").stat().st_size / 1e6
    print(f"the page: {size:.2f} MB")
    print(f"{given.runs} runs of {given.rows} rows: {statistics.median(seconds):.1f} s")


if __name__ == "__main__":
    main()
