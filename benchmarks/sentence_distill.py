"""Distillation of sentences: a small LSTM taught by Kim's convolutional network on TREC, and alone.

python benchmarks/sentence_distill.py [--seeds 0 1 2] [--data data/text]

Trains a teacher and a student a seed, on a split of its own, beside the student's copy without a
teacher. The teacher is that of benchmarks/sentences.py, by its best epoch; student and copy are
tested once, after their last. It may be stopped and started again.
"""

import argparse
from pathlib import Path

from sentences import wanted
from tables import finish, finished, last_row, mean_std

SHOWN = ("test/teacher_accuracy", "test/accuracy", "test/control_accuracy", "test/gain")


def main() -> None:
    """Prints the teacher's, the student's and the lone student's accuracy, and their gain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", choices=range(3), default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=Path("data/text"), help="folder of the files")
    given = parser.parse_args()
    teachers = wanted("TREC", given.data)
    rows = []
    for seed in given.seeds:
        teacher = teachers[seed]
        finish(teacher, test=False)
        # The same files, split and seed.
        same = [flag for flag in teacher.flags if not flag.startswith("--config")]
        best = f"--model.teacher_checkpoint={teacher.folder}/checkpoints/best.ckpt"
        run = finished("distill", "trec", f"trec-s{seed}", *same, best)
        rows.append(last_row(run / "test.jsonl"))
    print(f"test accuracy, %, mean ± std of {len(rows)} seeds")
    for key in SHOWN:
        print(f"| {key} | {mean_std([100 * row[key] for row in rows])} |")


if __name__ == "__main__":
    main()
