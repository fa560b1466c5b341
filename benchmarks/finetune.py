"""Fine-tuning with few labels: of digits 5 to 9 from 0 to 4, of clothes from MNIST's digits.

python benchmarks/finetune.py [--tasks digits fashion] [--labels 10 20 50] [--methods full ...]
    [--mnist_dir data/mnist] [--fashion_dir data/fashion-mnist]

The configs recipes/classify/pretrain.yaml and finetune.yaml, by each method and number of labels a
class; for fashion with the data of MNIST and Fashion-MNIST. The learning rate is the one of the
highest mean validation accuracy of seeds 10 and 11; then seeds 0 to 4 train by it, and their test
data are used once. A seed decides over the split, the labels, the start and the pretrained network
too. It may be stopped and started again: finetune.json keeps each run.
"""

import argparse
import io
import json
import os
import statistics
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from recipes.parts.files import replace_file
from recipes.running.cli import main as run_recipe
from recipes.running.recipe import find_recipe
from recipes.seeds.result import final
from recipes.seeds.wanted import Wanted
from tables import mean_std

FILE = Path(__file__).with_name("finetune.json")
LABELS, RATES = (10, 20, 50), (0.003, 0.01, 0.03, 0.1, 0.3)
CHOOSING, SEEDS = (10, 11), (0, 1, 2, 3, 4)
START = "from scratch"
# The second block of convolutions from a third of the steps on, the first from two thirds.
GRADUAL = "{head: 0, '/features.([7-9]|1[0-9])/': 100ba, features: 200ba}"


def unfreeze(schedule: str) -> tuple[str, ...]:
    """The flags of a schedule."""
    return "--trainer.callbacks+=Unfreeze", f"--trainer.callbacks.schedule={schedule}"


METHODS: dict[str, tuple[str, ...]] = {
    START: (),
    "linear probe": unfreeze("{head: 0}"),
    "gradual unfreezing": unfreeze(GRADUAL),
    "LoRA": (
        "--model.network=recipes.parts.wrappers.lora",
        "--model.network.network=ConvNet",
        "--model.network.network.channels=[16,32]",
        "--model.network.rank=4",
    ),
    "full": (),
}


@dataclass(frozen=True)
class Task:
    """What is learned first, and then from few labels.

    Attributes:
        name: prefix of its runs' names
        before: flags of the data that are learned first
        after: of those that are learned then
    """

    name: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def base(self, seed: int) -> Wanted:
        """The run whose weights the others start from."""
        flags = (f"--seed_everything={seed}", f"--data.split_seed={seed}", *self.before)
        return Wanted("classify", f"{self.name}pretrain-s{seed}", ("--config=pretrain", *flags))

    def wanted(self, method: str, labels: int, rate: float, seed: int) -> Wanted:
        """One run by few labels."""
        flags = (*self.after, f"--data.per_class={labels}")
        flags += (f"--model.optimizer.lr={rate}", f"--seed_everything={seed}")
        flags += (f"--data.split_seed={seed}", *METHODS[method])
        if method != START:
            weights = f"runs/classify/{self.base(seed).name}/network.pt"
            flags += (f"--model.weights={weights}", "--model.weights_except=head")
        name = f"{self.name}finetune-{method.replace(' ', '_')}-{labels}-{rate}-s{seed}"
        return Wanted("classify", name, ("--config=finetune", *flags))


def tasks(mnist: str = "data/mnist", fashion_mnist: str = "data/fashion-mnist") -> dict[str, Task]:
    """Both tasks by name, with the folders of their data."""
    digits = ("--data=MNIST", f"--data.data_dir={mnist}", "--data.batch_size=100")
    clothes = ("--data=FashionMNIST", f"--data.data_dir={fashion_mnist}", "--data.batch_size=25")
    return {
        "digits": Task(),
        "fashion": Task("fashion-", digits, (*clothes, "--data.val_size=1000")),
    }


TASKS = tasks()


def stored() -> dict[str, dict[str, float]]:
    """What is done: the metrics of each run, by its name."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def finish(run: Wanted, *subcommands: str) -> None:
    """Does what is left of a run in this process: it takes seconds, of which imports are most."""
    for subcommand in subcommands:
        if remaining := run.remaining(subcommand):
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                flags = ("--trainer.enable_progress_bar=false",)
                run_recipe(find_recipe(run.recipe).module, [*remaining, *flags])


def made(task: Task, run: Wanted, seed: int, test: bool) -> dict[str, float]:
    """Metrics of a run, which is trained, and tested, first if need be; they are kept at once."""
    done = stored().get(run.name, {})
    if not done or (test and "test/accuracy" not in done):
        finish(task.base(seed), "fit")
        finish(run, "fit", *(("test",) if test else ()))
        done = final(run.folder)
        replace_file(FILE, json.dumps(stored() | {run.name: done}, indent=1) + "\n")
    return done


def chosen(task: Task, method: str, labels: int) -> float | None:
    """The rate that validation chooses; None if its runs are not all there."""
    found = stored()
    means = {}
    for rate in RATES:
        runs = [found.get(task.wanted(method, labels, rate, seed).name) for seed in CHOOSING]
        if None in runs:
            return None
        means[rate] = statistics.mean(run["val/accuracy"] for run in runs)
    return max(RATES, key=means.__getitem__)


def make(task: Task, method: str, labels: int) -> None:
    """Makes what is missing of a method with some labels."""
    for rate in RATES:
        for seed in CHOOSING:
            made(task, task.wanted(method, labels, rate, seed), seed, test=False)
    rate = chosen(task, method, labels)
    for seed in SEEDS:
        made(task, task.wanted(method, labels, rate, seed), seed, test=True)


def accuracies(task: Task, method: str, labels: int) -> list[float]:
    """Test accuracies in percent, one a seed; none if they are not all there."""
    rate = chosen(task, method, labels)
    runs = [stored().get(task.wanted(method, labels, rate, seed).name, {}) for seed in SEEDS]
    done = rate is not None and all("test/accuracy" in run for run in runs)
    return [100 * run["test/accuracy"] for run in runs] if done else []


def compared() -> list[list[str]]:
    """Test accuracies in %, mean ± std of seeds; in brackets the paired gain over START.

    A row for each task and method; a method of a task that has nothing yet has none.
    """
    rows = [["task", "method", *(f"{labels} labels a class" for labels in LABELS), "rates"]]
    for name, task in TASKS.items():
        for method in METHODS:
            cells = [cell(task, method, labels) for labels in LABELS]
            rates = [chosen(task, method, labels) for labels in LABELS]
            said = ", ".join("" if rate is None else f"{rate:g}" for rate in rates)
            if any(cells):
                rows.append([name, method, *cells, said])
    return rows


def cell(task: Task, method: str, labels: int) -> str:
    """One cell of the table; empty if its runs are not all there."""
    found, start = accuracies(task, method, labels), accuracies(task, START, labels)
    if not found or method == START or not start:
        return mean_std(found) if found else ""
    gains: Sequence[float] = [a - b for a, b in zip(found, start, strict=True)]
    return f"{mean_std(found)} ({'+' if statistics.mean(gains) > 0 else ''}{mean_std(gains)})"


def main() -> None:
    """Makes what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--labels", type=int, nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--mnist_dir", default="data/mnist", help="where its files lie")
    parser.add_argument("--fashion_dir", default="data/fashion-mnist", help="likewise")
    given = parser.parse_args()
    os.environ.setdefault("WANDB_MODE", "disabled")
    placed = tasks(given.mnist_dir, given.fashion_dir)
    for name, labels, method in product(given.tasks, given.labels, given.methods):
        make(placed[name], method, labels)
    for row in compared():
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
