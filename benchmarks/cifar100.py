"""Distillation on CIFAR-100 at a CPU's budget: a resnet8 taught by a resnet20, and alone.

python benchmarks/cifar100.py --seeds 0 1 2 [--data_dir data/cifar]

Trains one teacher and a student a seed, beside its copy without a teacher, by the command line,
tests each once, and prints the table. It may be stopped and started again.
"""

import argparse

from tables import finished, last_row, mean_std

SHOWN = ("test/teacher_accuracy", "test/accuracy", "test/control_accuracy", "test/gain")


def main() -> None:
    """Prints the teacher's, the student's and the lone student's accuracy, and their gain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data_dir", default="data/cifar", help="folder of the .tar.gz")
    given = parser.parse_args()
    common = [f"--data.data_dir={given.data_dir}"]
    teacher = finished("classify", "cifar100_cpu", "cifar100_cpu-teacher", *common)
    common.append(f"--model.teacher_checkpoint={teacher}/checkpoints/last.ckpt")
    rows = []
    for seed in given.seeds:
        flags = [*common, f"--seed_everything={seed}"]
        run = finished("distill", "cifar100_cpu", f"cifar100_cpu-s{seed}", *flags)
        rows.append(last_row(run / "test.jsonl"))
    print(f"test accuracy, %, mean ± std of {len(rows)} seeds")
    for key in SHOWN:
        print(f"| {key} | {mean_std([100 * row[key] for row in rows])} |")


if __name__ == "__main__":
    main()
