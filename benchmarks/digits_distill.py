"""What distillation gains on the digits, under each scheme: RESULTS.md's first table.

python benchmarks/digits_distill.py [--seeds 0 1 2 3 4] [--split val]

For every seed: the teacher alone, then a student under each scheme with its control, the same
student from the same initialisation on the same batches without a teacher. Each is tested once,
or not at all with --split val, the numbers to tune by. Further flags, such as
--model.optimizer.lr=0.01, go to the students' runs.
"""

import argparse

from tables import finished, last_row, mean_std


def measure(seed: int, split: str, overrides: list[str]) -> dict[str, dict[str, float]]:
    """The last row of metrics of each run of one seed."""
    flags = [f"--seed_everything={seed}", f"--data.split_seed={seed}"]
    test = split == "test"
    teacher = finished("classify", "digits", f"digits-s{seed}", *flags, test=test)
    checkpoint = f"--model.teacher_checkpoint={teacher}/checkpoints/last.ckpt"
    schemes = {
        "frozen": ["--model.scheme=frozen", checkpoint],
        "online": ["--model.scheme=online"],
        "mutual": ["--model.scheme=mutual"],
    }
    runs = {"teacher": teacher}
    for name, scheme in schemes.items():
        run = f"digits-{name}-s{seed}"
        runs[name] = finished("distill", "digits", run, *flags, *scheme, *overrides, test=test)
    file = "test.jsonl" if test else "metrics.jsonl"
    return {name: last_row(folder / file) for name, folder in runs.items()}


def main() -> None:
    """Prints accuracies in percent, and the paired gain in percentage points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", choices=["val", "test"], default="test")
    arguments, overrides = parser.parse_known_args()
    seeds = [measure(seed, arguments.split, overrides) for seed in arguments.seeds]

    def column(run: str, metric: str) -> str:
        return mean_std([100 * seed[run][f"{arguments.split}/{metric}"] for seed in seeds], 2)

    print(f"| {arguments.split} accuracy, % | teacher | student | student alone | gain |")
    print("|---|---|---|---|---|")
    print(f"| teacher alone | {column('teacher', 'accuracy')} | | | |")
    for scheme in ("frozen", "online", "mutual"):
        metrics = ("teacher_accuracy", "accuracy", "control_accuracy", "gain")
        print(f"| {scheme} | {' | '.join(column(scheme, metric) for metric in metrics)} |")


if __name__ == "__main__":
    main()
