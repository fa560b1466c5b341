"""The table of Hinton, Vinyals & Dean 2015, section 3: test errors on MNIST, ours and the paper's.

python benchmarks/mnist_distill.py --seeds 0 1 2 [--data_dir data/mnist]

Trains a teacher and four students a seed by the command line, tests each once, and prints the
table. It may be stopped and started again, and run for several seeds side by side.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from datamodules import MNIST
from recipes.parts.networks import MLP
from tables import finished, last_row, mean_std

ROWS = {  # test errors of 10,000, and the paper's
    "teacher: 2x1200, dropout, weight constraint, shifts": 67,
    "student 2x800 from the labels alone": 146,
    "student from soft targets alone, T = 20": 74,
    "the same, no 3 in the transfer set": 206,
    "... errors on the 1,010 threes": 133,
    "... with the bias of 3 raised": 109,
    "... errors on the threes then": 14,
    "the same, only 7s and 8s in the transfer set": 4730,
    "... with the biases of 7 and 8 lowered": 1320,
}


def train(seed: int, data_dir: str) -> dict[str, Path]:
    """The folders of the five runs of one seed."""
    common = [f"--seed_everything={seed}", f"--data.data_dir={data_dir}"]
    teacher = finished("classify", "mnist_teacher", f"mnist_teacher-s{seed}", *common)
    soft = [*common, f"--model.teacher_checkpoint={teacher}/checkpoints/last.ckpt"]
    no_threes, sevens_eights = "--data.classes=[0,1,2,4,5,6,7,8,9]", "--data.classes=[7,8]"
    return {
        "teacher": teacher,
        "hard": finished("classify", "mnist", f"mnist-s{seed}", *common),
        "soft": finished("distill", "mnist", f"mnist-s{seed}", *soft),
        "no threes": finished("distill", "mnist", f"mnist-no-threes-s{seed}", *soft, no_threes),
        "7 and 8": finished("distill", "mnist", f"mnist-7-8-s{seed}", *soft, sevens_eights),
    }


@torch.no_grad()
def logits(folder: Path, data: MNIST, split: str) -> tuple[Tensor, Tensor]:
    """An exported student's logits of a split, (rows, 10), and the labels, (rows,)."""
    student = MLP(784, [800, 800])
    student.load_state_dict(torch.load(folder / "student.pt", weights_only=True))
    table = data.tables[split]
    with torch.autocast("cpu", torch.bfloat16):  # as in the runs
        return student(data.scale(table.images)), table.labels


def errors(scores: Tensor, labels: Tensor, of: int | None = None) -> int:
    """Number of rows that are classified wrongly, all or those of one class."""
    wrong = scores.argmax(1) != labels
    return int(wrong[labels == of].sum() if of is not None else wrong.sum())


def shifted(scores: Tensor, classes: list[int], bias: float) -> Tensor:
    """The logits with a number added to the biases of some classes."""
    return scores + bias * torch.isin(torch.arange(10), torch.tensor(classes))


def best_bias(folder: Path, data: MNIST, classes: list[int]) -> float:
    """What added to the biases of some classes gives the fewest validation errors."""
    scores, labels = logits(folder, data, "val")
    candidates = [step / 10 for step in range(-300, 301)]
    return min(candidates, key=lambda bias: errors(shifted(scores, classes, bias), labels))


def measure(seed: int, data_dir: str) -> list[float]:
    """The table's rows for one seed."""
    runs = train(seed, data_dir)
    data = MNIST(data_dir)
    data.setup("test")
    rows = [
        last_row(runs[name] / "test.jsonl")["test/errors"] for name in ("teacher", "hard", "soft")
    ]
    for name, classes in (("no threes", [3]), ("7 and 8", [7, 8])):
        scores, labels = logits(runs[name], data, "test")
        bias = best_bias(runs[name], data, classes)
        print(f"seed {seed}, {name}: biases of {classes} changed by {bias:+.1f}")
        for z in (scores, shifted(scores, classes, bias)):
            rows.append(errors(z, labels))
            if classes == [3]:
                rows.append(errors(z, labels, of=3))
    return rows


def main() -> None:
    """Prints a row for each line of the paper's section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data_dir", default="data/mnist", help="folder of the four .gz files")
    arguments = parser.parse_args()
    measured = [measure(seed, arguments.data_dir) for seed in arguments.seeds]
    print(f"| test errors, mean ± std of {len(measured)} seeds | ours | paper |\n|---|---|---|")
    for (name, paper), values in zip(ROWS.items(), zip(*measured, strict=True), strict=True):
        print(f"| {name} | {mean_std(list(values), 0)} | {paper} |")


if __name__ == "__main__":
    main()
