"""Kills runs and resumes them, beside stock Lightning: how many are then as if nothing had been?

python benchmarks/faults.py [--kinds "random moment" ...] [--recipes gan ...] [--most 20]

Every run is killed at a random moment, during a save, at a fixed point of training or by a signal,
then resumed by what its user would type, and compared with the run that nobody killed: all values
of its checkpoints, bit by bit, and each row of its metrics. Stock Lightning trains the same module
on the same rows with torch's shuffling DataLoader, and resumes with `ckpt_path="last"`.

The verdicts are in benchmarks/faults.json, and their tables on the page: what is cut off goes on
with what is missing, and --anew begins again. Verdicts of cases that are no more are left out. What
is lost of this project stays in --work. It takes 20 minutes on two cores; --most 40 does a part.
"""

import argparse
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

import pages
from killing import processes
from killing.cases import Case, cases
from killing.data import write
from killing.table import FILE, by_kind, by_point, read
from killing.trial import Arm, Trials
from recipes.parts.files import replace_file

ARMS: tuple[Arm, ...] = ("ours", "stock")
OTHER_DISK = Path("/dev/shm")


def arguments() -> argparse.Namespace:
    """The command line's."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    kinds = sorted({case.kind for case in cases()})
    parser.add_argument("--kinds", nargs="+", default=kinds, choices=kinds)
    parser.add_argument("--recipes", nargs="+", help="all by default")
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--most", type=int, help="cases in this session")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases at once")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "faults"))
    parser.add_argument("--anew", action="store_true", help="forget the verdicts that are there")
    return parser.parse_args()


def main() -> None:
    """Runs what is missing, and prints the table."""
    options = arguments()
    every = {f"{arm}: {case}" for arm in ARMS for case in cases()}
    found = {} if options.anew else read(FILE)
    known = {name: fault for name, fault in found.items() if name in every}
    wanted = [case for case in cases() if case.kind in options.kinds]
    wanted = [c for c in wanted if not options.recipes or c.setup.recipe in options.recipes]
    pairs = [(arm, case) for case in wanted for arm in options.arms]
    missing = [(arm, case) for arm, case in pairs if f"{arm}: {case}" not in known][: options.most]
    if missing:
        run(missing, known, options)
    save(known)
    pages.write()
    for rows in (by_kind(known), by_point(known)):
        print("\n".join(f"| {' | '.join(row)} |" for row in rows), end="\n\n")


def save(known: dict[str, str]) -> None:
    """Writes the verdicts."""
    replace_file(FILE, json.dumps(known, indent=0, sort_keys=True) + "\n")


def run(
    missing: list[tuple[Arm, Case]], known: dict[str, str], options: argparse.Namespace
) -> None:
    """Runs cases, and writes each verdict at once."""
    processes.warm()
    work = options.work / str(os.getpid())
    work.mkdir(parents=True)
    write(work / "data")
    with tempfile.TemporaryDirectory(dir=OTHER_DISK if OTHER_DISK.is_dir() else None) as disk:
        trials = Trials(work, Path(disk))
        with ThreadPoolExecutor(options.jobs) as pool, tqdm(total=len(missing)) as bar:

            def one(pair: tuple[Arm, Case]) -> None:
                arm, case = pair
                fault = trials.verdict(*pair)
                known[f"{arm}: {case}"] = fault
                save(known)
                bar.update()
                if fault and arm == "ours":
                    bar.write(f"{case}: {fault}")

            for _ in pool.map(one, missing):
                pass


if __name__ == "__main__":
    main()
