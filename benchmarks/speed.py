"""What recipes cost beside what people would write or pick instead: one table, goals and all.

python benchmarks/speed.py [--only student study ...] [--rounds 5]

Sides of the same work take turns, on one thread, by the seconds that a core spends on them; a ratio
is that of their medians, beside it the smallest and largest of a round. First the mathematics are
proved equal: the same weights after the same steps, within a tolerance. Ours trains by the command
line with its log, its bar, its checkpoints and W&B. speed.json keeps what is measured; the table
and the picture are made of it. For a machine that does nothing else.
"""

import argparse
import json
import time

import torch

import pages
from beside.comparison import machine
from beside.everything import COMPARISONS
from beside.table import FILE, draw, of_goals, read
from recipes.parts.files import replace_file
from recipes.running.messages import silence_noise


def main() -> None:
    """Measures, and prints a line for each goal."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=list(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    silence_noise()
    for name in given.only:
        comparison, start = COMPARISONS[name](), time.monotonic()
        found = {"apart": comparison.proved(), "rounds": list(comparison.timed(given.rounds))}
        found |= {"machine": machine(), "took": round(time.monotonic() - start)}
        replace_file(FILE, json.dumps(read() | {name: found}, indent=1) + "\n")
        for row in of_goals(comparison, found):
            print(" | ".join(row), flush=True)
    draw()
    pages.write()


if __name__ == "__main__":
    main()
